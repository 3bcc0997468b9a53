//! What a client hears when the store or the proxy can't.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::bench::{Bench, route};
use crate::fakes::{AWAY, FULL, GOOD, LOST, READ_ONLY, UNSURE};

#[tokio::test]
async fn each_failure_of_the_store_has_its_status_and_its_next_step() {
    let bench = Bench::new().await;
    for (mood, status, code) in
        [(FULL, 507, "disk_full"), (AWAY, 503, "store_away"), (READ_ONLY, 403, "read_only")]
    {
        let plan =
            bench.plan(json!([{ "op": "put", "kind": "route", "id": "1", "value": route("/a") }])).await;
        bench.mood(mood);
        let seen =
            bench.call("POST", &format!("/plans/{}/apply", plan["id"].as_str().unwrap()), json!({})).await;
        assert_eq!(seen.refusal(), (status, code.to_owned()), "{}", seen.text);
        assert_eq!(bench.get("/objects/routes").await.status, 200, "reads go on");
        bench.mood(GOOD);
    }
    assert_eq!(bench.get("/objects/route/1").await.status, 404);
}

#[tokio::test]
async fn the_status_says_that_the_store_is_away() {
    let bench = Bench::new().await;
    let well = bench.get("/status").await.json();
    assert_eq!(
        (&well["store"]["kind"], &well["store"]["away"], &well["in_force"]),
        (&json!("memory"), &Value::Null, &json!(7))
    );
    assert_eq!(well["you"]["name"], "ops");
    bench.mood(AWAY);
    assert_eq!(bench.get("/status").await.json()["store"]["away"], "it sleeps");
    bench.mood(FULL);
    let full = bench.get("/status").await.json();
    assert_eq!(full["store"]["writes_fail"], "no space left on the device");
    // Also at the moment when it goes away, which this very question may be the first to see.
    bench.mood(LOST);
    let told = bench.get("/status").await;
    assert_eq!(told.status, 200, "{}", told.text);
    let away = told.json()["store"]["away"].clone();
    assert!(away.as_str().is_some_and(|away| away.contains("nobody answers")), "{away}");
}

#[tokio::test]
async fn a_change_that_is_not_in_force_is_no_success() {
    let bench = Bench::new().await;
    let plan = bench.plan(json!([{ "op": "put", "kind": "route", "id": "1", "value": route("/a") }])).await;
    bench.moods.slow.store(true, Ordering::SeqCst);
    let seen = bench.call("POST", &format!("/plans/{}/apply", plan["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(seen.refusal(), (503, "not_in_force".to_owned()));
}

#[tokio::test]
async fn a_plan_that_is_too_large_for_the_store_needs_steps() {
    let bench = Bench::new().await;
    bench.moods.most_writes.store(12, Ordering::SeqCst);
    let changes: Vec<Value> = (0..40)
        .map(|at| json!({ "op": "put", "kind": "route", "id": format!("r{at}"), "value": route(&format!("/{at}")) }))
        .collect();
    let plan = bench.plan(json!(changes)).await;
    assert!(plan["steps"].as_u64().unwrap() > 1, "{}", plan["steps"]);
    let path = format!("/plans/{}/apply", plan["id"].as_str().unwrap());
    let whole = bench.call("POST", &path, json!({ "approval": { "person": "a test" } })).await;
    assert_eq!(whole.refusal(), (413, "needs_steps".to_owned()));
    let steps =
        bench.call("POST", &path, json!({ "in_steps": true, "approval": { "person": "a test" } })).await;
    assert_eq!(steps.status, 200, "{}", steps.text);
    assert_eq!(bench.get("/objects/routes").await.json()["total"], 40);
}

#[tokio::test]
async fn an_outcome_that_is_not_known_is_said_with_how_to_find_out() {
    let bench = Bench::new().await;
    let plan = bench.plan(json!([{ "op": "put", "kind": "route", "id": "1", "value": route("/a") }])).await;
    bench.mood(UNSURE);
    let seen = bench.call("POST", &format!("/plans/{}/apply", plan["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(seen.refusal(), (503, "unknown_outcome".to_owned()), "{}", seen.text);
    let error = seen.json()["error"].clone();
    assert!(
        error["message"].as_str().unwrap().contains("not known whether the change is in force"),
        "{error}"
    );
    assert!(error["next"].as_str().unwrap().contains("GET /usher/v1/history"), "{error}");
    // Nobody is invited to a second write.
    assert!(seen.headers.get("retry-after").is_none());
    bench.mood(GOOD);
    // And that is where it is found.
    let history = bench.get("/history").await.json();
    assert_eq!(history["entries"][0]["plan"], plan["id"], "{history}");
}
