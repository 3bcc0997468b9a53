//! Who sees secrets: an admin's GET does, nothing else; a mask written back keeps what is stored (contract, section 8).

use serde_json::{Value, json};

use crate::bench::{Bench, Seen, VIEWER};

const CLEAR: &str = "s3cret-of-jack";

fn key(seen: &Seen) -> String {
    seen.json()["value"]["plugins"]["key-auth"]["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_admin_reads_clear_and_everybody_else_a_mask() {
    let bench = Bench::new().await;
    let jack = json!({ "username": "jack", "plugins": { "key-auth": { "key": CLEAR } } });
    let created = bench.put("/consumers/jack", jack.clone()).await;
    let replaced = bench.put("/consumers/jack", jack).await;
    for seen in [&created, &replaced] {
        assert!(key(seen).starts_with("***") && !seen.text().contains(CLEAR), "{}", seen.text());
    }
    assert_eq!(key(&bench.call("GET", "/consumers/jack", Value::Null).await), CLEAR);
    let listed = bench.call("GET", "/consumers", Value::Null).await;
    assert!(listed.text().contains(CLEAR));
    for path in ["/consumers/jack", "/consumers"] {
        let seen = bench.send("GET", path, &[("x-api-key", VIEWER)], Value::Null).await;
        assert!(
            seen.status == 200 && seen.text().contains("***") && !seen.text().contains(CLEAR),
            "{}",
            seen.text()
        );
    }
}

#[tokio::test]
async fn a_mask_written_back_keeps_the_secret() {
    let bench = Bench::new().await;
    let jack = |key: &str| json!({ "username": "jack", "plugins": { "key-auth": { "key": key } } });
    let mask = key(&bench.put("/consumers/jack", jack(CLEAR)).await);
    bench.put("/consumers/jack", jack(&mask)).await;
    assert_eq!(key(&bench.call("GET", "/consumers/jack", Value::Null).await), CLEAR);
    let foreign = bench.call("PUT", "/consumers/jack", jack("***000000")).await;
    assert_eq!(foreign.status, 400);
    assert!(foreign.error().contains("mask"), "{}", foreign.error());
}

#[tokio::test]
async fn nobody_reads_the_private_key_of_an_upstream_and_its_mask_keeps_it() {
    let bench = Bench::new().await;
    let upstream = json!({ "nodes": {}, "scheme": "https",
        "tls": { "client_cert": "c".repeat(140), "client_key": CLEAR.repeat(8) } });
    for (path, value, place) in [
        ("/upstreams/1", upstream.clone(), "/value/tls/client_key"),
        ("/services/1", json!({ "upstream": upstream }), "/value/upstream/tls/client_key"),
        ("/routes/1", json!({ "uri": "/a", "upstream": upstream }), "/value/upstream/tls/client_key"),
    ] {
        let mask = bench.put(path, value).await.json().pointer(place).unwrap().clone();
        let read = bench.call("GET", path, Value::Null).await;
        assert_eq!(read.json().pointer(place), Some(&mask));
        let listed = bench.call("GET", path.trim_end_matches("/1"), Value::Null).await;
        for seen in [&read, &listed] {
            assert!(seen.text().contains("***") && !seen.text().contains(CLEAR), "{path}: {}", seen.text());
        }
        // The mask tells one key from another, so it stays the same where the key does.
        let written = bench.put(path, read.timeless()["value"].clone()).await;
        let patched = bench.call("PATCH", path, json!({ "desc": "d" })).await;
        for seen in [&written, &patched] {
            assert_eq!((seen.status, seen.json().pointer(place)), (200, Some(&mask)), "{path}");
        }
    }
}

#[tokio::test]
async fn a_patch_elsewhere_keeps_the_secret_and_shows_a_mask() {
    let bench = Bench::new().await;
    let plugins = json!({ "limit-count": { "count": 1, "time_window": 1, "redis_password": CLEAR } });
    bench.put("/routes/1", json!({ "uri": "/a", "plugins": plugins })).await;
    for (path, body) in [("", json!({ "desc": "d" })), ("/plugins/limit-count/count", json!(2))] {
        let patched = bench.call("PATCH", &format!("/routes/1{path}"), body).await;
        assert!(
            patched.status == 200 && patched.text().contains("***") && !patched.text().contains(CLEAR),
            "{}",
            patched.text()
        );
        assert!(bench.call("GET", "/routes/1", Value::Null).await.text().contains(CLEAR));
    }
}

#[tokio::test]
async fn sentences_do_not_repeat_secrets() {
    let bench = Bench::new().await;
    let body = json!({ "uri": "/a", "plugins": { "limit-count": { "count": 1, "time_window": 1, "redis_password": [CLEAR] } } });
    let seen = bench.call("PUT", "/routes/1", body).await;
    assert!(seen.status == 400 && !seen.text().contains(CLEAR), "{}", seen.text());
}
