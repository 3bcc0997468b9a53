//! What was served, as a running gateway tells it, and over a restart.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{KEY, Origin, Usher, binary, eventually, request};

fn traffic(usher: &Usher, query: &str) -> Value {
    let target = format!("/usher/v1/traffic?{query}");
    let answer = request(usher.address("admin"), "GET", &target, &[("X-API-KEY", KEY)], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Each series as `key: requests`.
fn rows(told: &Value) -> Vec<String> {
    let series = told["series"].as_array().unwrap();
    series
        .iter()
        .map(|row| {
            let key: Vec<&str> = row["key"].as_object().unwrap().values().filter_map(Value::as_str).collect();
            format!("{}: {}", key.join(" "), row["total"]["requests"])
        })
        .collect()
}

#[test]
fn who_got_what_and_why_is_known_and_outlives_a_restart() {
    let origin = Origin::start("a");
    let usher = Usher::start(&["--workers", "2"]);
    let key = json!({ "username": "jack", "plugins": { "key-auth": { "key": "jacks-key-in-this-test" } } });
    usher.put("/consumers", &key);
    usher.put("/routes/open", &json!({ "uri": "/open/*", "upstream": origin.upstream() }));
    usher.put(
        "/routes/closed",
        &json!({ "uri": "/closed/*", "plugins": { "key-auth": {} }, "upstream": origin.upstream() }),
    );
    usher.put("/routes/dead", &json!({ "uri": "/dead", "upstream": { "nodes": { "127.0.0.1:1": 1 } } }));
    for _ in 0..5 {
        assert_eq!(usher.get("/open/1", &[]).status, 200);
    }
    for _ in 0..3 {
        assert_eq!(usher.get("/closed/1", &[]).status, 401);
    }
    assert_eq!(usher.get("/closed/1", &[("apikey", "jacks-key-in-this-test")]).status, 200);
    assert_eq!(usher.get("/dead", &[]).status, 502);
    assert_eq!(usher.get("/nowhere", &[]).status, 404);

    eventually("eleven requests are counted", || traffic(&usher, "")["total"]["requests"] == 11);
    assert_eq!(rows(&traffic(&usher, "group=route")), ["open: 5", "closed: 4", ": 1", "dead: 1"]);
    let refused = traffic(&usher, "status=401&group=client,route,plugin");
    assert_eq!(rows(&refused), ["127.0.0.1 closed key-auth: 3"]);
    assert_eq!(rows(&traffic(&usher, "group=consumer&route=closed")), [": 3", "jack: 1"]);
    assert_eq!(rows(&traffic(&usher, "group=cause&status=5xx")), ["connect-failed: 1"]);
    let points = &traffic(&usher, "range=1m&step=1")["series"][0];
    let sum = |name: &str| points[name].as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!((sum("requests"), sum("errors"), sum("refused")), (11, 1, 4));
    assert!(points["total"]["p95_ms"].as_f64().unwrap() > 0.0 && sum("sent_bytes") > 0);

    let url = format!("http://{}", usher.address("admin"));
    let shown = binary()
        .args(["traffic", "route,plugin", "--status", "4xx", "--url", &url])
        .env("USHER_ADMIN_KEY", KEY)
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("closed  key-auth") && shown.contains("no route"), "{shown}");

    let folder = Arc::clone(&usher.folder);
    assert!(usher.terminate().success());
    let again = Usher::start_in(folder, &[]);
    assert_eq!(rows(&traffic(&again, "group=route")), ["open: 5", "closed: 4", ": 1", "dead: 1"]);
    assert_eq!(again.get("/open/1", &[]).status, 200);
    eventually("the next request is added", || traffic(&again, "")["total"]["requests"] == 12);
}
