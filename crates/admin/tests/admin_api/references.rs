//! What is in use can't be deleted, unless forced; what may exist only once exists once (contract, sections 4 and 5).

use serde_json::{Value, json};

use crate::bench::Bench;

#[tokio::test]
async fn what_is_in_use_stays() {
    let bench = Bench::new().await;
    bench.put("/upstreams/u", json!({ "nodes": {} })).await;
    bench.put("/upstreams/v", json!({ "nodes": {} })).await;
    bench.put("/upstreams/w", json!({ "nodes": {} })).await;
    bench.put("/services/s", json!({ "upstream_id": "v" })).await;
    bench.put("/plugin_configs/p", json!({ "plugins": {} })).await;
    bench.put("/routes/1", json!({ "uri": "/a", "upstream_id": "u" })).await;
    bench.put("/routes/2", json!({ "uri": "/b", "service_id": "s", "plugin_config_id": "p" })).await;
    bench
        .put("/routes/3", json!({ "uri": "/c", "plugins": { "traffic-split": { "upstream_id": "w" } } }))
        .await;
    for (path, wanted) in [
        ("/upstreams/u", "can not delete this upstream, route [1] is still using it now"),
        ("/upstreams/v", "can not delete this upstream, service [s] is still using it now"),
        ("/upstreams/w", "can not delete this upstream, plugin in route [3] is still using it now"),
        ("/services/s", "can not delete this service directly, route [2] is still using it now"),
        ("/plugin_configs/p", "can not delete this plugin config, route [2] is still using it now"),
    ] {
        for force in ["", "?force=1", "?force=TRUE", "?force="] {
            let seen = bench.call("DELETE", &format!("{path}{force}"), Value::Null).await;
            assert_eq!((seen.status, seen.error().as_str()), (400, wanted), "{path}{force}");
        }
    }
    let forced = bench.call("DELETE", "/upstreams/u?force=true", Value::Null).await;
    assert_eq!(
        (forced.status, forced.json()),
        (200, json!({ "key": "/apisix/upstreams/u", "deleted": "1" }))
    );
    assert_eq!(bench.call("DELETE", "/routes/2", Value::Null).await.status, 200);
    assert_eq!(bench.call("DELETE", "/services/s", Value::Null).await.status, 200);
}

#[tokio::test]
async fn what_may_exist_once_exists_once() {
    let bench = Bench::new().await;
    let auth = |key: &str| json!({ "key-auth": { "key": key } });
    bench.put("/consumers/bob", json!({ "username": "bob", "plugins": auth("k1") })).await;
    bench.put("/consumers/jack", json!({ "username": "jack" })).await;
    bench.put("/consumers/jack/credentials/c1", json!({ "plugins": auth("k2") })).await;
    bench.put("/global_rules/1", json!({ "plugins": { "notes": {} } })).await;
    for (path, body, wanted) in [
        (
            "/consumers/jill",
            json!({ "username": "jill", "plugins": auth("k1") }),
            "duplicate key of plugin key-auth found with consumer: bob",
        ),
        (
            "/consumers/jill",
            json!({ "username": "jill", "plugins": auth("k2") }),
            "duplicate key of plugin key-auth found with credential: c1 of consumer: jack",
        ),
        (
            "/consumers/jack/credentials/c2",
            json!({ "plugins": auth("k1") }),
            "duplicate key of plugin key-auth found with consumer: bob",
        ),
        (
            "/global_rules/2",
            json!({ "plugins": { "notes": {} } }),
            "plugin 'notes' already exists in global rule with id '1'",
        ),
    ] {
        let seen = bench.call("PUT", path, body).await;
        assert_eq!((seen.status, seen.error().as_str()), (400, wanted), "{path}");
    }
    // Its own key is no duplicate.
    bench.put("/consumers/bob", json!({ "username": "bob", "plugins": auth("k1") })).await;
}
