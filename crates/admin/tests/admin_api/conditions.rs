//! `ETag`, `If-Match` and `If-None-Match`: no write over what its caller hasn't seen.

use serde_json::{Value, json};

use crate::bench::{ADMIN, Bench};

#[tokio::test]
async fn writes_happen_only_at_the_revision_that_was_seen() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    let tag = bench.call("GET", "/upstreams/1", Value::Null).await.header("etag").unwrap().to_owned();
    assert_eq!(tag, "\"2\"");
    let body = json!({ "nodes": {}, "desc": "d" });
    let patch = json!({ "desc": "e" });
    for (method, path, header, value, body, status) in [
        ("PUT", "/upstreams/1", "if-match", "\"1\"", &body, 412),
        ("PATCH", "/upstreams/1", "if-match", "\"1\"", &patch, 412),
        ("PATCH", "/upstreams/1/desc", "if-match", "\"1\"", &json!("x"), 412),
        ("DELETE", "/upstreams/1", "if-match", "\"1\"", &Value::Null, 412),
        ("PUT", "/upstreams/1", "if-none-match", "*", &body, 412),
        ("PUT", "/upstreams/2", "if-match", "*", &body, 412),
        ("PUT", "/upstreams/2", "if-match", "\"2\"", &body, 412),
        ("PATCH", "/upstreams/2", "if-match", "*", &patch, 412),
        ("DELETE", "/upstreams/2", "if-match", "\"2\"", &Value::Null, 412),
        ("POST", "/upstreams", "if-match", "*", &body, 412),
        ("PUT", "/upstreams/1", "if-match", "2", &body, 400),
        ("PUT", "/upstreams/1", "if-match", "\"2\"", &body, 200),
        ("PATCH", "/upstreams/1", "if-match", "\"9\", \"3\"", &patch, 200),
        ("PUT", "/upstreams/1", "if-match", "*", &body, 200),
        ("PUT", "/upstreams/2", "if-none-match", "*", &body, 201),
        ("POST", "/upstreams", "if-none-match", "*", &body, 201),
        ("DELETE", "/upstreams/1", "if-match", "\"5\"", &Value::Null, 200),
    ] {
        let headers = [("x-api-key", ADMIN), (header, value)];
        let seen = bench.send(method, path, &headers, body.clone()).await;
        assert_eq!(seen.status, status, "{method} {path} {header}: {value}: {}", seen.text());
        if status == 412 {
            assert!(seen.error().contains("read it again"), "{}", seen.error());
        }
    }
}

#[tokio::test]
async fn of_many_that_saw_the_same_revision_one_wins() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    let attempts = (0..20).map(|at| {
        let headers = [("x-api-key", ADMIN), ("if-match", "\"1\"")];
        let bench = &bench;
        async move {
            bench.send("PATCH", "/upstreams/1", &headers, json!({ "desc": format!("{at}") })).await.status
        }
    });
    let statuses = futures_util::future::join_all(attempts).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 412)), "{statuses:?}");
}

#[tokio::test]
async fn a_reader_that_has_the_newest_is_not_sent_it_again() {
    let bench = Bench::new().await;
    let made = bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    assert_eq!(made.header("etag"), Some("\"1\""));
    for (header, value, status) in [
        ("if-none-match", "\"1\"", 304),
        ("if-none-match", "W/\"1\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"0\"", 200),
        ("if-match", "\"1\"", 200),
        ("if-match", "\"0\"", 412),
        ("if-none-match", "1", 400),
    ] {
        for method in ["GET", "HEAD"] {
            let headers = [("x-api-key", ADMIN), (header, value)];
            let seen = bench.send(method, "/upstreams/1", &headers, Value::Null).await;
            assert_eq!(seen.status, status, "{method} {header}: {value}");
            if status == 304 {
                assert_eq!((seen.text(), seen.header("etag")), ("", Some("\"1\"")), "{method}");
            }
        }
    }
    let patched = bench.call("PATCH", "/upstreams/1", json!({ "desc": "d" })).await;
    let read = bench.call("GET", "/upstreams/1", Value::Null).await;
    assert_eq!(patched.header("etag"), read.header("etag"));
}
