//! A running APISIX as the store. The far side of these tests is an Usher that shows itself as one (`compat: apisix`).

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Answer, KEY, Origin, Usher, eventually, request, run};

/// The far side, and a gateway that is managed with it.
struct Pair {
    far: Usher,
    near: Usher,
}

fn far(words: &[&str]) -> Usher {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    far_in(folder, words)
}

fn far_in(folder: Arc<tempfile::TempDir>, words: &[&str]) -> Usher {
    let config = folder.path().join("far.yaml");
    std::fs::write(&config, "compat: apisix\n").unwrap();
    let mut all = vec!["--config", config.to_str().unwrap()];
    all.extend(words);
    Usher::start_in(Arc::clone(&folder), &all)
}

/// The settings with the key of the far side.
fn settings(folder: &Path, key: &str) -> String {
    let key_file = folder.join("far.key");
    std::fs::write(&key_file, format!("{key}\n")).unwrap();
    let config = folder.join("near.yaml");
    std::fs::write(&config, format!("store_key_file: {}\n", key_file.display())).unwrap();
    config.to_str().unwrap().to_owned()
}

fn near(folder: Arc<tempfile::TempDir>, far: &str) -> Usher {
    let config = settings(folder.path(), KEY);
    Usher::start_in(folder, &["--config", &config, "--store", &format!("apisix+http://{far}")])
}

impl Pair {
    fn start() -> Self {
        let far = far(&["--store", "memory"]);
        let address = far.address("admin").to_string();
        let near = near(Arc::new(tempfile::tempdir().unwrap()), &address);
        Self { far, near }
    }
}

fn say(usher: &Usher, sentence: &str) -> String {
    let url = format!("http://{}", usher.address("chat"));
    let output = run(&["chat", "--url", &url, "--yes", sentence]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{sentence}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn status(usher: &Usher) -> Value {
    let fields = [("X-API-KEY", KEY)];
    request(usher.address("admin"), "GET", "/usher/v1/status", &fields, b"").json()["store"].clone()
}

fn body(answer: &Answer) -> Value {
    answer.json()["value"].clone()
}

#[test]
fn a_conversation_manages_it_and_every_change_can_be_taken_back() {
    let origin = Origin::start("a");
    let Pair { far, near } = Pair::start();
    say(&near, &format!("put http://{} behind /c/*, ten requests a minute per client", origin.address));
    // In force on both sides: the far one serves what it was told.
    assert_eq!((near.get("/c/1", &[]).status, far.get("/c/1", &[]).status), (200, 200));
    let there = far.admin("GET", "/routes", None).json();
    assert_eq!(there["total"], 1, "{there}");
    let id = there["list"][0]["value"]["id"].as_str().unwrap().to_owned();
    assert!(say(&near, "show all routes").contains(&id));
    assert!(say(&near, &format!("show route {id}")).contains("/c/*"));
    assert!(say(&near, "what changed?").contains(&id));
    assert!(!say(&near, "how is the gateway?").is_empty());
    say(&near, &format!("disable route {id}"));
    assert_eq!(body(&far.admin("GET", &format!("/routes/{id}"), None))["status"], 0);
    say(&near, "undo that");
    assert_eq!(
        body(&far.admin("GET", &format!("/routes/{id}"), None))
            .get("status")
            .and_then(Value::as_u64)
            .unwrap_or(1),
        1
    );
    say(&near, "undo that");
    eventually("the route is gone on both sides", || {
        far.admin("GET", "/routes", None).json()["total"] == 0 && near.get("/c/1", &[]).status == 404
    });
}

#[test]
fn what_others_change_at_the_far_side_appears() {
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    let Pair { far, near } = Pair::start();
    far.put("/routes/r", &json!({ "uri": "/*", "upstream": one.upstream() }));
    eventually("the new route", || near.get("/x", &[]).status == 200);
    far.put("/routes/r", &json!({ "uri": "/*", "upstream": two.upstream() }));
    eventually("the changed route", || near.get("/x", &[]).json()["origin"] == "two");
    // A change of ours that goes by what was there before is refused, and nothing of theirs is overwritten.
    let seen = near.admin("GET", "/routes/r", None);
    let etag = seen.field("etag").unwrap().to_owned();
    far.put("/routes/r", &json!({ "uri": "/theirs", "upstream": two.upstream() }));
    let ours = json!({ "uri": "/ours", "upstream": one.upstream() }).to_string();
    let fields = [("X-API-KEY", KEY), ("If-Match", etag.as_str()), ("Content-Type", "application/json")];
    let answer = request(near.address("admin"), "PUT", "/apisix/admin/routes/r", &fields, ours.as_bytes());
    assert!(matches!(answer.status, 409 | 412 | 503), "{} {}", answer.status, answer.text());
    assert_eq!(body(&far.admin("GET", "/routes/r", None))["uri"], "/theirs");
    assert_eq!(far.admin("DELETE", "/routes/r", None).status, 200);
    eventually("the deleted route", || near.admin("GET", "/routes/r", None).status == 404);
}

#[test]
fn it_says_what_is_best_effort() {
    let Pair { far: _far, near } = Pair::start();
    let store = status(&near);
    assert_eq!((&store["kind"], &store["writable"]), (&json!("apisix"), &json!(true)));
    assert_eq!((&store["atomic"], &store["watches"]), (&json!(false), &json!(false)));
    let answer = near.admin("PUT", "/routes/t?ttl=5", Some(&json!({ "uri": "/a", "plugins": {} })));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("ttl"), "{}", answer.text());
}

#[test]
fn every_kind_of_object_goes_over() {
    let Pair { far, near } = Pair::start();
    let key = "k-canary-9f2e77aa";
    for (path, value) in [
        ("/upstreams/u", json!({ "nodes": { "127.0.0.1:1": 1 } })),
        ("/services/s", json!({ "upstream_id": "u" })),
        ("/plugin_configs/p", json!({ "plugins": { "cors": {} } })),
        ("/routes/r", json!({ "uri": "/r", "service_id": "s", "plugin_config_id": "p" })),
        ("/consumer_groups/g", json!({ "plugins": { "cors": {} } })),
        ("/consumers/jack", json!({ "username": "jack", "group_id": "g" })),
        ("/consumers/jack/credentials/c", json!({ "plugins": { "key-auth": { "key": key } } })),
        ("/global_rules/1", json!({ "plugins": { "prometheus": {} } })),
        ("/secrets/vault/1", json!({ "uri": "http://127.0.0.1:1", "prefix": "kv", "token": "t" })),
    ] {
        near.put(path, &value);
        let there = far.admin("GET", path, None);
        assert_eq!(there.status, 200, "{path}: {}", there.text());
    }
    // The far side holds the secret itself, this one holds it sealed.
    let there = body(&far.admin("GET", "/consumers/jack/credentials/c", None));
    assert_eq!(there["plugins"]["key-auth"]["key"], key, "{there}");
    for path in [
        "/routes/r",
        "/services/s",
        "/upstreams/u",
        "/plugin_configs/p",
        "/consumers/jack/credentials/c",
        "/consumers/jack",
        "/consumer_groups/g",
        "/global_rules/1",
        "/secrets/vault/1",
    ] {
        let answer = near.admin("DELETE", path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(far.admin("GET", path, None).status, 404, "{path}");
    }
    drop(far);
    assert_is_nowhere(near.kill().path(), key);
}

fn assert_is_nowhere(folder: &Path, secret: &str) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            assert_is_nowhere(&path, secret);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds the key in clear", path.display());
        }
    }
}

#[test]
fn a_certificate_is_changed_without_its_key_being_known() {
    let Pair { far, near } = Pair::start();
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    far.put("/ssls/a", &json!({ "sni": "a.example", "cert": cert, "key": key }));
    eventually("the certificate", || near.admin("GET", "/ssls/a", None).status == 200);
    let answer = near.admin("PATCH", "/ssls/a", Some(&json!({ "labels": { "team": "web" } })));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let there = body(&far.admin("GET", "/ssls/a", None));
    assert_eq!(there["labels"]["team"], "web");
    // The key there is still the one that it was: with the certificate it was made for, it is taken.
    let answer = far.admin("PATCH", "/ssls/a", Some(&json!({ "labels": { "team": "api" } })));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(near.admin("DELETE", "/ssls/a", None).status, 200);
    assert_eq!(far.admin("GET", "/ssls/a", None).status, 404);
}

#[test]
fn while_it_is_away_the_copy_serves_and_writes_are_refused() {
    let origin = Origin::start("a");
    let there = far(&[]);
    let address = there.address("admin").to_string();
    there.put("/routes/r", &json!({ "uri": "/*", "upstream": origin.upstream() }));
    let here = near(Arc::new(tempfile::tempdir().unwrap()), &address);
    assert_eq!(here.get("/x", &[]).status, 200);
    let folder = there.kill();
    let refused = here.admin("PUT", "/routes/n", Some(&json!({ "uri": "/n", "plugins": {} })));
    assert_eq!(refused.status, 503, "{}", refused.text());
    eventually("the loss is told", || status(&here)["away"].is_string());
    assert_eq!((here.get("/x", &[]).status, here.admin("GET", "/routes/r", None).status), (200, 200));
    // A start without it serves the copy, too.
    let here = near(here.kill(), &address);
    assert_eq!(here.get("/x", &[]).status, 200);
    assert!(status(&here)["away"].is_string());
    let there = far_in(folder, &["--admin-listen", &address]);
    eventually("it is back", || {
        here.admin("PUT", "/routes/n", Some(&json!({ "uri": "/n", "plugins": {} }))).status < 300
    });
    let port = address.rsplit_once(':').unwrap().1;
    let answer =
        request(address.parse().unwrap(), "GET", "/apisix/admin/routes/n", &[("X-API-KEY", KEY)], b"");
    assert_eq!(answer.status, 200, "port {port}: {}", answer.text());
    drop(there);
}

#[test]
fn a_start_that_can_t_work_is_refused_with_the_next_step() {
    let far = far(&["--store", "memory"]);
    let address = far.address("admin").to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let begin = |words: &[&str]| {
        let mut all = vec!["serve", "--data", data.to_str().unwrap(), "--proxy-listen", "127.0.0.1:0"];
        all.extend(["--admin-listen", "off", "--chat-listen", "off", "--metrics-listen", "off"]);
        all.extend(words);
        let output = run(&all);
        assert!(!output.status.success(), "{words:?} started");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = begin(&["--store", &format!("apisix+http://{address}")]);
    assert!(text.contains("USHER_APISIX_KEY") && text.contains("store_key_file"), "{text}");
    let config = settings(folder.path(), "a-wrong-key-of-the-far-side");
    let text = begin(&["--config", &config, "--store", &format!("apisix+http://{address}")]);
    assert!(text.contains("refuses the key") && !text.contains("a-wrong-key"), "{text}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let text = begin(&["--config", &config, "--store", &format!("apisix+http://{free}")]);
    assert!(text.contains(&free), "{text}");
    let text = begin(&["--store", &format!("http://{free}")]);
    assert!(text.contains(&format!("apisix+http://{free}")), "{text}");
}
