//! A store that refuses, a proxy that doesn't follow: the client hears it, and nothing is half done (contract, section 3).

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::fakes::{AWAY, BUSY, CANT_USE, FULL, GOOD, SLOW, UNAVAILABLE};

#[tokio::test]
async fn a_store_that_refuses_is_told_and_changes_nothing() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    for (mood, status, part) in
        [(FULL, 507, "full"), (BUSY, 503, "too many writes"), (UNAVAILABLE, 503, "it sleeps")]
    {
        bench.moods.set_store(mood);
        for (method, path, body) in [
            ("PUT", "/upstreams/1", json!({ "nodes": {}, "desc": "d" })),
            ("PUT", "/upstreams/2", json!({ "nodes": {} })),
            ("POST", "/upstreams", json!({ "nodes": {} })),
            ("PATCH", "/upstreams/1", json!({ "desc": "d" })),
            ("DELETE", "/upstreams/1", Value::Null),
        ] {
            let before = bench.moods.commits();
            let seen = bench.call(method, path, body).await;
            assert_eq!(seen.status, status, "{method} {path}: {}", seen.text());
            assert!(seen.error().contains(part), "{method} {path}: {}", seen.error());
            assert_eq!(seen.header("x-api-version"), Some("v3"));
            assert_eq!(seen.header("retry-after"), (status == 503).then_some("1"), "{method} {path}");
            assert_eq!(bench.moods.commits(), before + 1, "{method} {path} was tried again");
        }
        assert_eq!(bench.call("GET", "/upstreams", Value::Null).await.json()["total"], 1);
    }
    bench.moods.set_store(GOOD);
    bench.put("/upstreams/1", json!({ "nodes": {}, "desc": "d" })).await;
}

#[tokio::test]
async fn a_change_that_is_not_in_force_is_no_2xx() {
    let bench = Bench::new().await;
    bench.moods.set_live(SLOW);
    for (method, path, body) in [
        ("PUT", "/upstreams/1", json!({ "nodes": {} })),
        ("POST", "/upstreams", json!({ "nodes": {} })),
        ("PATCH", "/upstreams/1", json!({ "desc": "d" })),
        ("DELETE", "/upstreams/1", Value::Null),
    ] {
        let seen = bench.call(method, path, body).await;
        assert_eq!(seen.status, 503, "{method} {path}: {}", seen.text());
        assert!(seen.error().contains("stored"), "{}", seen.error());
    }
}

#[tokio::test]
async fn an_object_that_the_gateway_can_not_use_is_told() {
    let bench = Bench::new().await;
    bench.moods.set_live(CANT_USE);
    let seen = bench.call("PUT", "/upstreams/1", json!({ "nodes": {} })).await;
    assert_eq!(seen.status, 503, "{}", seen.text());
    assert!(
        seen.error().contains("stored as revision 1") && seen.error().contains("it can't be built"),
        "{}",
        seen.error()
    );
}

#[tokio::test]
async fn what_waits_for_a_secret_that_is_kept_elsewhere_is_stored_and_warned_of() {
    let bench = Bench::new().await;
    bench.moods.set_live(CANT_USE);
    let tls = json!({ "client_cert": "$env://A", "client_key": "$env://B" });
    let seen = bench.call("PUT", "/upstreams/1", json!({ "nodes": {}, "tls": tls })).await;
    assert_eq!(seen.status, 201, "{}", seen.text());
    let warning = seen.header("x-usher-warning").unwrap_or_default();
    assert!(warning.contains("waits") && warning.contains("it can't be built"), "{warning}");
}

#[tokio::test]
async fn a_deletion_that_leaves_others_unusable_is_done_all_the_same() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    bench.moods.set_live(CANT_USE);
    let seen = bench.call("DELETE", "/upstreams/1?force=true", Value::Null).await;
    assert_eq!((seen.status, seen.json()), (200, json!({ "key": "/apisix/upstreams/1", "deleted": "1" })));
    assert_eq!(bench.call("GET", "/upstreams/1", Value::Null).await.status, 404);
}

#[tokio::test]
async fn what_is_read_while_the_store_is_away_says_that_it_may_be_old() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    let fresh = bench.call("GET", "/upstreams/1", Value::Null).await;
    assert_eq!(fresh.header("x-usher-stale"), None);
    bench.moods.set_store(AWAY);
    for (method, path) in [("GET", "/upstreams/1"), ("HEAD", "/upstreams/1"), ("GET", "/upstreams")] {
        let seen = bench.call(method, path, Value::Null).await;
        assert_eq!(seen.status, 200, "{method} {path}");
        let since = seen.header("x-usher-stale");
        assert_eq!(since, Some("since Sun, 06 Nov 1994 08:49:37 GMT"), "{method} {path}");
    }
    let write = bench.call("PUT", "/upstreams/1", json!({ "nodes": {} })).await;
    assert_eq!((write.status, write.header("retry-after")), (503, Some("1")));
    assert_eq!(write.header("x-usher-stale"), None);
    bench.moods.set_store(GOOD);
    assert_eq!(bench.call("GET", "/upstreams/1", Value::Null).await.header("x-usher-stale"), None);
}
