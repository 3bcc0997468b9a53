//! Many clients at once: nothing is lost, no id is given twice.

use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_at_the_same_time_lose_nothing() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    let patches = (0..100).map(|at| {
        let bench = &bench;
        async move {
            let node = format!("10.0.0.{at}:80");
            let seen = if at % 2 == 0 {
                bench.call("PATCH", "/upstreams/1", json!({ "nodes": { node: at } })).await
            } else {
                bench.call("PATCH", &format!("/upstreams/1/nodes/{node}"), json!(at)).await
            };
            assert_eq!(seen.status, 200, "{}", seen.text());
        }
    });
    join_all(patches).await;
    let value = bench.call("GET", "/upstreams/1", Value::Null).await.json()["value"]["nodes"].clone();
    let mut wanted = Map::new();
    for at in 0..100 {
        wanted.insert(format!("10.0.0.{at}:80"), at.into());
    }
    assert_eq!(value, Value::Object(wanted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_and_puts_at_the_same_time_all_succeed() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    let calls = (0..40).map(|at| {
        let bench = &bench;
        async move {
            let seen = if at % 2 == 0 {
                bench.call("PUT", "/upstreams/1", json!({ "nodes": {}, "desc": format!("{at}") })).await
            } else {
                bench.call("PATCH", "/upstreams/1", json!({ "labels": { "at": format!("{at}") } })).await
            };
            assert_eq!(seen.status, 200, "{}", seen.text());
        }
    });
    join_all(calls).await;
    assert_eq!(bench.service.revision(), 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_at_the_same_time_get_ids_of_their_own() {
    let bench = Bench::new().await;
    // An id that a POST would come to, taken by hand.
    bench.put(&format!("/upstreams/{:020}", 2), json!({ "nodes": {} })).await;
    let posts = (0..50).map(|_| {
        let bench = &bench;
        async move {
            let seen = bench.call("POST", "/upstreams", json!({ "nodes": {} })).await;
            assert_eq!(seen.status, 201, "{}", seen.text());
            seen.json()["value"]["id"].as_str().unwrap().to_owned()
        }
    });
    let mut ids = join_all(posts).await;
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
    assert_eq!(bench.call("GET", "/upstreams", Value::Null).await.json()["total"], 51);
}

#[tokio::test]
async fn an_interrupted_client_leaves_a_whole_change_or_none() {
    let bench = Bench::new().await;
    for _ in 0..20 {
        let call = bench.call("PUT", "/upstreams/1", json!({ "nodes": {} }));
        let mut call = Box::pin(call);
        // One look, and the client is gone.
        let _ = futures_util::poll!(call.as_mut());
        drop(call);
    }
    let seen = bench.call("PATCH", "/upstreams/1", json!({ "desc": "d" })).await;
    assert!(matches!(seen.status, 200 | 404), "{}", seen.text());
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
}
