//! Exports, and their way back in.

use serde_json::{Value, json};

use crate::bench::{ADMIN, Bench, VIEWER, route};

async fn filled() -> Bench {
    let bench = Bench::new().await;
    let mut with_secret = route("/a");
    with_secret["plugins"] = json!({ "limit-count": { "count": 1, "redis_password": "canary" } });
    with_secret["labels"] = json!({ "team": "pay" });
    bench.put("route", "1", with_secret).await;
    bench.put("upstream", "u", json!({ "nodes": { "127.0.0.1:80": 1 } })).await;
    bench
}

#[tokio::test]
async fn an_export_is_masked_unless_an_admin_asks_for_secrets_which_is_audited() {
    let bench = filled().await;
    let masked = bench.get("/export").await;
    assert!(masked.text.starts_with("usher: 1") && !masked.text.contains("canary"), "{}", masked.text);
    assert!(!masked.text.contains("create_time"), "{}", masked.text);
    let viewer = bench.send("GET", "/export?secrets=reveal", &[("x-api-key", VIEWER)], Value::Null).await;
    assert_eq!(viewer.refusal().0, 403);
    let before = bench.get("/audit").await.json()["records"].as_array().unwrap().len();
    let clear = bench.get("/export?secrets=reveal").await;
    assert!(clear.text.contains("canary"), "{}", clear.text);
    let records = bench.get("/audit").await.json()["records"].clone();
    let newest = records.as_array().unwrap().last().unwrap().clone();
    assert_eq!((records.as_array().unwrap().len(), &newest["event"]), (before + 1, &json!("revealed")));
    assert!(!newest.to_string().contains("canary"));
}

#[tokio::test]
async fn an_export_of_everything_is_imported_into_another_usher() {
    let bench = filled().await;
    let clear = bench.get("/export?secrets=reveal").await.text;
    let other = Bench::new().await;
    let plan = other.call("POST", "/plans", json!({ "document": clear })).await;
    assert_eq!(plan.status, 201, "{}", plan.text);
    let path = format!("/plans/{}/apply", plan.json()["id"].as_str().unwrap());
    assert_eq!(other.call("POST", &path, json!({ "approval": { "person": "a test" } })).await.status, 200);
    assert_eq!(other.get("/export?secrets=reveal").await.text, clear);
    // The same Usher knows its own masks.
    let masked = bench.get("/export").await.text;
    assert_eq!(
        bench.call("POST", "/plans", json!({ "document": masked })).await.refusal().1,
        "nothing_to_change"
    );
    let lost = Bench::new().await.call("POST", "/plans", json!({ "document": masked })).await;
    assert_eq!(lost.status, 422, "a mask of somebody else stands for nothing: {}", lost.text);
}

#[tokio::test]
async fn an_export_can_be_a_part_and_in_apisix_s_form() {
    let bench = filled().await;
    let part = bench.get("/export?kinds=routes").await.text;
    assert!(part.contains("/a") && !part.contains("upstreams"), "{part}");
    let part = bench.get("/export?label=team%3Dshop").await.text;
    assert!(!part.contains("/a"), "{part}");
    let apisix = bench.get("/export?format=apisix").await.text;
    assert!(apisix.trim_end().ends_with("#END"), "{apisix}");
    let wrong = bench.get("/export?format=toml").await;
    assert_eq!(wrong.refusal().0, 422);
}

#[tokio::test]
async fn a_backup_is_an_archive_with_its_secrets_sealed() {
    let bench = filled().await;
    let seen = bench.send("GET", "/backup", &[("x-api-key", ADMIN)], Value::Null).await;
    assert_eq!(seen.status, 200);
    assert!(seen.text.starts_with("{\"usher_archive\":1") && !seen.text.contains("canary"));
    let read = usher_store::archive::read(seen.text.as_bytes()).unwrap();
    assert!(read.entries.iter().any(|archived| &*archived.entry.key == "/apisix/routes/1"));
}
