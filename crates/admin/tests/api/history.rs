//! History, undo and audit.

use serde_json::{Value, json};

use crate::bench::{ADMIN, Bench, route};

#[tokio::test]
async fn the_history_tells_who_what_and_through_which_door() {
    let bench = Bench::new().await;
    bench.put("route", "1", route("/a")).await;
    bench.put("route", "2", route("/b")).await;
    let plan = json!({ "changes": [{ "op": "patch", "kind": "route", "id": "1", "value": { "desc": "x" } }], "intent": "say what it is" });
    let cli = [("x-api-key", ADMIN), ("user-agent", "usher-cli/1")];
    let plan = bench.send("POST", "/plans", &cli, plan).await.json();
    let path = format!("/plans/{}/apply", plan["id"].as_str().unwrap());
    assert_eq!(bench.send("POST", &path, &cli, json!({})).await.status, 200);
    let entries = bench.get("/history").await.json()["entries"].clone();
    let newest = &entries[0];
    assert_eq!(
        (&newest["principal"], &newest["door"], &newest["intent"]),
        (&json!("ops"), &json!("cli"), &json!("say what it is"))
    );
    assert_eq!(
        newest["objects"],
        json!([{ "op": "update", "kind": "route", "id": "1", "fields": ["desc"] }])
    );
    let one = bench.get(&format!("/history/{}", newest["revision"])).await.json();
    assert_eq!(
        (&one["entry"], &one["changes"], &one["next"]),
        (
            newest,
            &json!([{ "op": "update", "kind": "route", "id": "1", "fields": [{ "path": "desc", "after": "x" }] }]),
            &Value::Null
        )
    );
    assert_eq!(entries[1]["door"], "api");
    let of = |path: &'static str| async { bench.get(path).await.json()["entries"].as_array().unwrap().len() };
    assert_eq!((of("/history?key=route/1").await, of("/history?limit=1").await), (2, 1));
    let before = newest["revision"].as_u64().unwrap();
    let seen = bench.get(&format!("/history?before={before}")).await;
    assert_eq!(seen.json()["entries"].as_array().unwrap().len(), 2);
    for (wrong, field) in
        [("key=route", "key"), ("key=rote/1", "kind"), ("before=x", "before"), ("befor=1", "befor")]
    {
        let seen = bench.get(&format!("/history?{wrong}")).await;
        assert!(matches!(seen.status, 404 | 422), "{wrong}: {}", seen.text);
        assert!(seen.text.contains(field), "{wrong}: {}", seen.text);
    }
}

#[tokio::test]
async fn a_large_change_is_told_a_page_at_a_time() {
    let bench = Bench::new().await;
    let secret = "x".repeat(20_000);
    // Three mebibytes: more than an entry holds itself.
    let limits = json!({ "limit-count": { "count": 1, "redis_password": secret } });
    let value = json!({ "uri": "/a", "plugins": limits });
    let changes: Vec<Value> = (0..150)
        .map(|at| json!({ "op": "put", "kind": "route", "id": format!("r{at:03}"), "value": value }))
        .collect();
    let plan = bench.call("POST", "/plans", json!({ "changes": changes })).await.json();
    let path = format!("/plans/{}/apply", plan["id"].as_str().unwrap());
    let applied = bench.call("POST", &path, json!({ "approval": { "person": "a test" } })).await;
    assert_eq!(applied.status, 200, "{}", applied.text);
    let revision = applied.json()["revision"].as_u64().unwrap();
    let list = bench.get("/history?limit=1").await;
    assert!(list.text.len() < 4_000, "a list holds no values: {} bytes", list.text.len());
    let entry = &list.json()["entries"][0];
    assert_eq!((&entry["total"], entry["objects"].as_array().unwrap().len()), (&json!(150), 10));
    let (mut seen, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = bench.get(&format!("/history/{revision}?limit=40{after}")).await;
        let told = page.json();
        let changes = told["changes"].as_array().unwrap();
        assert!(changes.len() <= 40 && page.text.len() < 1 << 20, "{} of {}", changes.len(), page.text.len());
        seen.extend(changes.iter().map(|change| change["id"].as_str().unwrap().to_owned()));
        pages += 1;
        match told["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!((seen, pages), ((0..150).map(|at| format!("r{at:03}")).collect(), 4));
    let one = bench.get(&format!("/history/{revision}?key=route/r149")).await.json();
    assert_eq!(one["changes"].as_array().unwrap().len(), 1);
    assert_eq!(one["changes"][0]["id"], "r149");
    let listed = bench.get("/history?key=route/r149").await.json();
    assert_eq!(listed["entries"][0]["objects"], json!([{ "op": "create", "kind": "route", "id": "r149" }]));
    for (wrong, status, field) in [
        ("999", 404, "revision"),
        ("x", 422, "revision"),
        (&format!("{revision}?after=x"), 422, "after"),
        (&format!("{revision}?key=r"), 422, "key"),
    ] {
        let refused = bench.get(&format!("/history/{wrong}")).await;
        assert_eq!((refused.status, &refused.json()["error"]["field"]), (status, &json!(field)), "{wrong}");
    }
}

#[tokio::test]
async fn a_change_is_taken_back_by_a_plan() {
    let bench = Bench::new().await;
    let nothing = bench.call("POST", "/undo", Value::Null).await;
    assert_eq!(nothing.refusal(), (409, "nothing_to_undo".to_owned()));
    let first = bench.put("route", "1", route("/a")).await;
    bench.put("route", "2", route("/b")).await;
    let plan = bench.call("POST", "/undo", json!({ "revision": first })).await;
    assert_eq!((plan.status, &plan.json()["undoes"]), (201, &json!(first)));
    let path = format!("/plans/{}/apply", plan.json()["id"].as_str().unwrap());
    assert_eq!(bench.call("POST", &path, json!({ "approval": { "person": "a test" } })).await.status, 200);
    assert_eq!(bench.get("/objects/route/1").await.status, 404);
    assert_eq!(bench.get("/objects/route/2").await.status, 200);
    assert_eq!(bench.call("POST", "/undo", json!({ "revision": 999 })).await.refusal().0, 404);
}

#[tokio::test]
async fn the_audit_is_a_chain_that_can_be_exported_and_checked() {
    let bench = Bench::new().await;
    bench.put("route", "1", route("/a")).await;
    bench.token("viewer", json!({})).await;
    let records = bench.get("/audit").await.json()["records"].clone();
    let records = records.as_array().unwrap();
    assert!(records.len() >= 2, "{records:?}");
    for pair in records.windows(2) {
        assert_eq!(pair[1]["previous"], pair[0]["digest"]);
    }
    let lines = bench.get("/audit/export").await;
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    let exported: Vec<Value> = lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&exported, records);
    let after = bench.get("/audit?after=1&limit=1").await.json();
    assert_eq!((&after["records"][0]["number"], &after["next"]), (&json!(2), &json!(2)));
    assert_eq!(bench.get("/audit/verify").await.json()["whole"], true);
}

#[tokio::test]
async fn the_audit_is_looked_through_by_who_what_and_when() {
    let bench = Bench::new().await;
    bench.put("route", "1", route("/a")).await;
    bench.put("upstream", "pay", json!({ "nodes": { "127.0.0.1:1": 1 } })).await;
    let viewer = bench.token("viewer", json!({})).await;
    let denied = [("x-api-key", viewer.as_str())];
    assert_eq!(bench.send("GET", "/audit", &denied, Value::Null).await.status, 403);
    let guess = json!({ "user": "mallory", "password": "a guess" });
    assert_eq!(bench.send("POST", "/session", &[("x-usher-console", "1")], guess).await.status, 401);
    let numbers = async |query: &str| {
        let seen = bench.get(&format!("/audit?{query}")).await;
        assert_eq!(seen.status, 200, "{query}: {}", seen.text);
        let records = seen.json()["records"].as_array().unwrap().clone();
        let numbers: Vec<u64> = records.iter().map(|record| record["number"].as_u64().unwrap()).collect();
        (numbers, seen.json()["next"].as_u64())
    };
    assert_eq!(numbers("").await.0, [1, 2, 3, 4], "oldest first, as ever");
    assert_eq!(numbers("order=newest&limit=2").await, (vec![4, 3], Some(3)));
    assert_eq!(numbers("order=newest&limit=2&after=3").await.0, [2, 1]);
    assert_eq!(numbers("event=change&order=newest").await.0, [2, 1]);
    assert_eq!(numbers("object=upstream/pay").await.0, [2]);
    assert_eq!(numbers("outcome=denied").await.0, [4]);
    assert_eq!(numbers("outcome=done&who=OPS").await.0, [1, 2, 3]);
    assert_eq!(numbers("since_ms=1").await.0.len(), 4);
    assert_eq!(numbers("until_ms=1").await.0, [0; 0]);
    for (wrong, field) in [("order=up", "order"), ("event=nothing", "event"), ("outcome=good", "outcome")] {
        let seen = bench.get(&format!("/audit?{wrong}")).await;
        assert_eq!((seen.status, &seen.json()["error"]["field"]), (422, &json!(field)), "{}", seen.text);
    }
}
