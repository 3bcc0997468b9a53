//! The same paths on the chat port: no key, masked secrets, and bodies that have to say that they are JSON.

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use usher_model::change::{Door, Principal, Role};
use usher_model::kind::{Key, Kind};

use crate::bench::{Bench, send};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn the_plugin_s_operations_work_without_a_key() {
    let bench = Bench::new().await;
    let nodes = json!({ "nodes": { "127.0.0.1:1": 1 } });
    for (method, path, body, status) in [
        ("PUT", "/upstreams/1", nodes.clone(), 201),
        ("POST", "/upstreams", nodes, 201),
        ("PATCH", "/upstreams/1", json!({ "desc": "d" }), 200),
        ("GET", "/upstreams/1", Value::Null, 200),
        ("GET", "/upstreams", Value::Null, 200),
        ("GET", "/upstreams/", Value::Null, 200),
        ("DELETE", "/upstreams/1", Value::Null, 200),
        ("GET", "/upstreams/1", Value::Null, 404),
        ("GET", "/schema/route", Value::Null, 200),
        ("GET", "/plugins/list", Value::Null, 200),
        ("GET", "/apisix/admin", Value::Null, 404),
        ("HEAD", "/apisix/admin", Value::Null, 200),
        ("GET", "/apisix/admin/", Value::Null, 404),
        ("GET", "/ssls", Value::Null, 200),
        ("GET", "/stream_routes", Value::Null, 400),
        ("GET", "/configs", Value::Null, 404),
    ] {
        let seen = send(&bench.chat, method, path, &JSON, body).await;
        assert_eq!(seen.status, status, "{method} {path}: {}", seen.text());
    }
    let who = Principal::new("test", Role::Admin, Door::AdminApi);
    let history = bench.service.history(&who, usher_admin::service::HistoryQuery::default()).await.unwrap();
    assert_eq!(history.len(), 4);
    assert!(history.iter().all(|entry| entry.principal == "local-plugin" && entry.door == Door::Plugin));
}

#[tokio::test]
async fn a_body_has_to_say_that_it_is_json() {
    let bench = Bench::new().await;
    let body = json!({ "nodes": {} });
    for (kind, status) in [
        (None, 415),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("multipart/form-data; boundary=application/json"), 415),
        (Some("application/jsonx"), 415),
        (Some("application/json"), 201),
        (Some("application/json; charset=utf-8"), 200),
        (Some("APPLICATION/JSON"), 200),
        (Some("application/merge-patch+json"), 200),
    ] {
        let headers: Vec<(&str, &str)> = kind.iter().map(|kind| ("content-type", *kind)).collect();
        let seen = send(&bench.chat, "PUT", "/upstreams/1", &headers, body.clone()).await;
        assert_eq!(seen.status, status, "{kind:?}: {}", seen.text());
        if status == 415 {
            assert!(seen.error().contains("Content-Type: application/json"), "{}", seen.error());
        }
        // On the Admin API's own port, the key is what keeps pages out.
        assert!(
            bench
                .send("PUT", "/upstreams/2", &[("x-api-key", crate::bench::ADMIN)], body.clone())
                .await
                .status
                < 300
        );
    }
    for method in ["POST", "PATCH", "DELETE"] {
        assert_eq!(
            send(&bench.chat, method, "/upstreams/1", &[], body.clone()).await.status,
            415,
            "{method}"
        );
    }
    assert_eq!(send(&bench.chat, "DELETE", "/upstreams/1", &[], Value::Null).await.status, 200);
}

#[tokio::test]
async fn secrets_are_masked_and_survive_a_patch() {
    let bench = Bench::new().await;
    let plugins = json!({ "limit-count": { "count": 1, "time_window": 1, "redis_password": "hush-hush" } });
    bench.put("/routes/1", json!({ "uri": "/a", "plugins": plugins })).await;
    for path in ["/routes/1", "/routes"] {
        let seen = send(&bench.chat, "GET", path, &[], Value::Null).await;
        assert!(
            seen.status == 200 && seen.text().contains("***") && !seen.text().contains("hush"),
            "{}",
            seen.text()
        );
    }
    let patched = send(&bench.chat, "PATCH", "/routes/1/plugins/limit-count/count", &JSON, json!(2)).await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    let merged = send(&bench.chat, "PATCH", "/routes/1", &JSON, json!({ "desc": "d" })).await;
    assert_eq!(merged.status, 200, "{}", merged.text());
    let who = Principal::new("test", Role::Admin, Door::AdminApi);
    let stored = bench.service.get(&who, &Key::new(Kind::Route, "1")).await.unwrap().unwrap().value;
    assert_eq!(
        stored["plugins"]["limit-count"],
        json!({ "count": 2, "time_window": 1, "redis_password": "hush-hush" })
    );
}

#[tokio::test]
async fn the_paths_fit_into_a_router_with_paths_of_its_own() {
    let bench = Bench::new().await;
    let whole: Router = Router::new()
        .route("/logo.png", get(|| async { "logo" }))
        .merge(bench.chat.clone())
        .fallback(|| async { "fallback" });
    assert_eq!(send(&whole, "GET", "/apisix/admin/routes", &[], Value::Null).await.status, 200);
    assert_eq!(send(&whole, "GET", "/apisix/other", &[], Value::Null).await.text(), "fallback");
}

#[tokio::test]
async fn where_a_person_has_to_agree_a_write_is_refused() {
    let bench = Bench::careful().await;
    let seen = send(&bench.chat, "PUT", "/upstreams/1", &JSON, json!({ "nodes": {} })).await;
    assert_eq!(seen.status, 403, "{}", seen.text());
    assert!(seen.error().contains("person"), "{}", seen.error());
    assert_eq!(bench.call("GET", "/upstreams", Value::Null).await.json()["total"], 0);
    // An admin key is that person's own.
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
}
