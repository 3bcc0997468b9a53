//! Plans of whole documents.

use serde_json::json;

use crate::bench::{Bench, route};

const YAML: &str = "usher: 1\nroutes:\n  a:\n    uri: /a\n    labels: {team: pay}\n    upstream: {nodes: {\"127.0.0.1:80\": 1}}\n";

#[tokio::test]
async fn a_document_is_planned_whole_and_deletes_only_when_told_to() {
    let bench = Bench::new().await;
    bench.put("route", "old", route("/old")).await;
    bench.put("upstream", "u", json!({ "nodes": { "127.0.0.1:80": 1 } })).await;
    let keep = bench.call("POST", "/plans", json!({ "document": YAML })).await;
    assert_eq!(
        (keep.status, &keep.json()["counts"]),
        (201, &json!({ "created": 1, "updated": 0, "deleted": 0 })),
        "{}",
        keep.text
    );
    let prune = bench.call("POST", "/plans", json!({ "document": YAML, "delete": true })).await.json();
    // Only of the kinds that the document holds.
    assert_eq!(prune["counts"], json!({ "created": 1, "updated": 0, "deleted": 1 }));
    let all = bench
        .call("POST", "/plans", json!({ "document": YAML, "delete": true, "kinds": ["routes", "upstreams"] }))
        .await;
    assert_eq!(all.json()["counts"]["deleted"], 2);
    let path = format!("/plans/{}/apply", prune["id"].as_str().unwrap());
    assert_eq!(bench.call("POST", &path, json!({ "approval": { "person": "a test" } })).await.status, 200);
    assert_eq!(
        (bench.get("/objects/route/old").await.status, bench.get("/objects/route/a").await.status),
        (404, 200)
    );
    let again = bench.call("POST", "/plans", json!({ "document": YAML })).await;
    assert_eq!(again.refusal(), (409, "nothing_to_change".to_owned()));
}

#[tokio::test]
async fn labels_bound_what_a_document_speaks_for() {
    let bench = Bench::new().await;
    for (id, team) in [("x", "pay"), ("y", "shop")] {
        let mut value = route(&format!("/{id}"));
        value["labels"] = json!({ "team": team });
        bench.put("route", id, value).await;
    }
    let body = json!({ "document": YAML, "delete": true, "labels": { "team": "pay" } });
    let plan = bench.call("POST", "/plans", body).await.json();
    assert_eq!(plan["counts"], json!({ "created": 1, "updated": 0, "deleted": 1 }), "{plan}");
}

#[tokio::test]
async fn a_document_may_be_an_object_and_its_mistakes_are_named() {
    let bench = Bench::new().await;
    let object = json!({ "document": { "usher": 1, "routes": { "a": route("/a") } } });
    assert_eq!(bench.call("POST", "/plans", object).await.status, 201);
    for (body, part) in [
        (json!({ "document": "usher: 1\nrotes: {}\n" }), "line 2"),
        (json!({ "document": 7 }), "/document"),
        (json!({ "document": YAML, "force": true }), "force"),
        (json!({ "document": YAML, "kinds": ["rotes"] }), "did you mean routes?"),
        (json!({ "document": "usher: 1\nroutes:\n  a: {uri: 7}\n" }), "route"),
    ] {
        let seen = bench.call("POST", "/plans", body.clone()).await;
        assert!(matches!(seen.status, 404 | 422), "{body}: {}", seen.text);
        assert!(seen.text.contains(part), "{part} is missing in {}", seen.text);
    }
}
