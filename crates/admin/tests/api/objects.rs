//! Reading single objects and lists.

use std::time::Instant;

use serde_json::{Value, json};
use usher_store::{Store as _, Transaction};

use crate::bench::{ADMIN, Bench, route};

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let bench = Bench::new().await;
    for (id, team) in [("a", "pay"), ("b", "pay"), ("c", "shop"), ("d", "pay")] {
        let mut value = route(&format!("/{id}"));
        value["name"] = json!(format!("route of {team} {id}"));
        value["labels"] = json!({ "team": team });
        bench.put("route", id, value).await;
    }
    let ids = |seen: &crate::bench::Seen| -> Vec<String> {
        seen.json()["objects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["id"].as_str().unwrap().to_owned())
            .collect()
    };
    for (query, wanted, total) in [
        ("", &["a", "b", "c", "d"][..], 4),
        ("?label=team%3Dpay", &["a", "b", "d"], 3),
        ("?label=team", &["a", "b", "c", "d"], 4),
        ("?name=shop", &["c"], 1),
        ("?uri=/d", &["d"], 1),
        ("?limit=2", &["a", "b"], 4),
        ("?limit=2&after=b", &["c", "d"], 4),
        ("?label=team%3Dpay&limit=1&after=b", &["d"], 3),
    ] {
        let seen = bench.get(&format!("/objects/routes{query}")).await;
        assert_eq!(ids(&seen), wanted, "{query}");
        assert_eq!(seen.json()["total"], total, "{query}");
    }
    assert_eq!(bench.get("/objects/routes?limit=2").await.json()["next"], "b");
    assert_eq!(bench.get("/objects/routes?limit=2&after=b").await.json().get("next"), None);
    let wrong = bench.get("/objects/routes?lable=x").await;
    assert_eq!((wrong.status, wrong.next()), (422, "did you mean label?".to_owned()));
    assert_eq!(bench.get("/objects/rotes").await.status, 404);
}

#[tokio::test]
async fn what_lives_below_another_is_found_by_its_short_id() {
    let bench = Bench::new().await;
    bench.put("consumer", "jack", json!({ "username": "jack" })).await;
    bench.put("credential", "jack/c1", json!({ "plugins": { "key-auth": { "key": "canary-key" } } })).await;
    for path in [
        "/objects/credential/jack/c1",
        "/objects/credentials/jack%2Fcredentials%2Fc1",
        "/objects/credential/jack/credentials/c1",
    ] {
        let seen = bench.get(path).await;
        assert_eq!((seen.status, &seen.json()["id"]), (200, &json!("jack/credentials/c1")), "{path}");
        assert!(!seen.text.contains("canary"), "{}", seen.text);
    }
    let lost = bench.get("/objects/credential/jack/none").await;
    assert_eq!(lost.refusal(), (404, "no_object".to_owned()));
}

#[tokio::test]
async fn a_scoped_token_sees_and_changes_its_part_alone() {
    let bench = Bench::new().await;
    for (id, team) in [("a", "pay"), ("b", "shop")] {
        let mut value = route(&format!("/{id}"));
        value["labels"] = json!({ "team": team });
        bench.put("route", id, value).await;
    }
    let token = bench.token("editor", json!({ "labels": ["team=pay"] })).await;
    let headers = [("x-api-key", token.as_str())];
    let listed = bench.send("GET", "/objects/routes", &headers, Value::Null).await.json();
    assert_eq!((listed["objects"].as_array().unwrap().len(), &listed["objects"][0]["id"]), (1, &json!("a")));
    assert_ne!(bench.send("GET", "/objects/route/b", &headers, Value::Null).await.status, 200);
    let change = json!({ "changes": [{ "op": "patch", "kind": "route", "id": "a", "value": { "labels": { "team": "shop" } } }] });
    assert_eq!(bench.send("POST", "/plans", &headers, change).await.refusal().0, 403);
    let status = bench.send("GET", "/status", &headers, Value::Null).await.json();
    assert_eq!(status["you"]["labels"], json!(["team=pay"]));
    let yaml = bench.send("GET", "/export", &headers, Value::Null).await.text;
    assert!(yaml.contains("/a") && !yaml.contains("/b"), "{yaml}");
    assert_eq!(
        bench.send("GET", "/objects/routes", &[("x-api-key", ADMIN)], Value::Null).await.json()["total"],
        2
    );
}

#[tokio::test]
async fn a_page_of_a_hundred_thousand_routes_is_no_larger_than_a_page() {
    const ROUTES: usize = 100_000;
    let bench = Bench::new().await;
    for begin in (0..ROUTES).step_by(1000) {
        let put = |transaction: Transaction, at: usize| {
            let value = json!({ "id": at.to_string(), "name": format!("route {at}"), "uri": format!("/{at}"), "upstream_id": "1" });
            transaction.put(format!("/apisix/routes/{at}"), value.to_string())
        };
        bench.store.commit((begin..begin + 1000).fold(Transaction::default(), put)).await.unwrap();
    }
    for (query, total) in [("limit=50", ROUTES), ("limit=50&after=5", ROUTES), ("limit=50&q=/9999", 11)] {
        let begun = Instant::now();
        let seen = bench.get(&format!("/objects/routes?{query}")).await;
        println!("{query}: {} bytes in {:?}, not optimised", seen.text.len(), begun.elapsed());
        let answer = seen.json();
        assert_eq!(answer["total"], total, "{query}");
        assert_eq!(answer["objects"].as_array().unwrap().len(), total.min(50), "{query}");
        assert!(seen.text.len() < 16 << 10, "{query} gave {} bytes", seen.text.len());
    }
}
