//! PUT and POST: what a body may hold, and the sentences for what it may not (contract, sections 4.2 and 5).

use serde_json::{Value, json};

use crate::bench::Bench;

#[tokio::test]
async fn a_body_is_needed() {
    let bench = Bench::new().await;
    for (method, path) in [
        ("PUT", "/routes/1"),
        ("PUT", "/routes"),
        ("POST", "/routes"),
        ("PUT", "/consumers"),
        ("PUT", "/consumers/bob/credentials/c"),
    ] {
        let seen = bench.call(method, path, Value::Null).await;
        assert_eq!((seen.status, seen.error().as_str()), (400, "missing configurations"), "{method} {path}");
    }
}

#[tokio::test]
async fn times_are_ours_to_write() {
    let bench = Bench::new().await;
    for (path, body, found) in [
        ("/routes/1", json!({ "uri": "/a", "plugins": {}, "create_time": 1 }), " create_time"),
        ("/routes/1", json!({ "uri": "/a", "plugins": {}, "update_time": 1 }), " update_time"),
        ("/routes/1", json!({ "create_time": 1, "update_time": 1 }), " create_time update_time"),
        (
            "/routes/1",
            json!({ "uri": "/a", "upstream": { "nodes": {}, "create_time": 1 } }),
            " upstream.create_time",
        ),
        ("/routes/1", json!({ "uri": "/a", "plugins": { "update_time": {} } }), " plugins.update_time"),
        (
            "/services/1",
            json!({ "create_time": 1, "upstream": { "nodes": {}, "update_time": 1 } }),
            " create_time upstream.update_time",
        ),
        ("/upstreams/1", json!({ "nodes": {}, "create_time": 1 }), " create_time"),
        ("/consumers/bob", json!({ "username": "bob", "create_time": 1 }), " create_time"),
    ] {
        let wanted = format!("the property is forbidden: {found}");
        let seen = bench.call("PUT", path, body.clone()).await;
        assert_eq!((seen.status, seen.error()), (400, wanted.clone()), "{path} {body}");
        if path.starts_with("/routes") {
            let seen = bench.call("POST", "/routes", body.clone()).await;
            assert_eq!((seen.status, seen.error()), (400, wanted), "POST {body}");
        }
    }
    let created = bench.put("/upstreams/1", json!({ "nodes": {} })).await.json();
    let read = bench.call("GET", "/upstreams/1", Value::Null).await.json()["value"].clone();
    assert_eq!(read, created["value"]);
    // What a GET gave can't be put back as it is.
    assert_eq!(bench.call("PUT", "/upstreams/1", read).await.status, 400);
}

#[tokio::test]
async fn put_keeps_the_time_of_creation() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    bench.call("PATCH", "/upstreams/1", json!({ "create_time": 1_600_000_000 })).await;
    let replaced = bench.put("/upstreams/1", json!({ "nodes": {}, "desc": "new" })).await.json();
    assert_eq!(replaced["value"]["create_time"], 1_600_000_000);
    assert!(replaced["value"]["update_time"].as_u64().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn bad_values_are_refused_in_apisix_s_words() {
    let bench = Bench::new().await;
    bench.put("/consumers/bob", json!({ "username": "bob" })).await;
    for (path, body, wanted) in [
        (
            "/routes/1",
            json!({ "uri": "/a", "plugins": {}, "foo": 1 }),
            "invalid configuration: additional properties forbidden, found foo",
        ),
        (
            "/routes/1",
            json!({ "uri": 7, "plugins": {} }),
            "invalid configuration: property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        (
            "/routes/1",
            json!({ "uri": "/a", "methods": ["GOT"], "plugins": {} }),
            "invalid configuration: property \"methods\" validation failed: failed to validate item 1: matches none of the enum values",
        ),
        (
            "/routes/1",
            json!({ "plugins": {} }),
            "invalid configuration: allOf 1 failed: value should match only one schema, but matches none",
        ),
        (
            "/routes/1",
            json!({ "uri": "/a", "host": "a", "hosts": ["b"], "plugins": {} }),
            "only one of host or hosts is allowed",
        ),
        (
            "/routes/1",
            json!({ "uri": "/a", "plugins": { "limit-count": { "count": 0, "time_window": 1 } } }),
            "failed to check the configuration of plugin limit-count err: property \"count\" validation failed: expected 0 to be at least 1",
        ),
        (
            "/routes/1",
            json!({ "uri": "/a", "plugins": { "notes": "x" } }),
            "invalid plugin conf \"x\" for plugin [notes]",
        ),
        (
            "/routes/1",
            json!({ "uri": "/a", "upstream_id": "9" }),
            "failed to fetch upstream info by upstream id [9], response code: 404",
        ),
        (
            "/routes/1",
            json!({ "uri": "/a", "service_id": "9" }),
            "failed to fetch service info by service id [9], response code: 404",
        ),
        (
            "/routes/1",
            json!({ "uri": "/a", "plugin_config_id": "9" }),
            "failed to fetch plugin config info by plugin config id [9], response code: 404",
        ),
        (
            "/upstreams/1",
            json!({ "nodes": {}, "pass_host": "rewrite" }),
            "`upstream_host` can't be empty when `pass_host` is `rewrite`",
        ),
        (
            "/consumers/bob",
            json!({ "username": "bob", "plugins": { "key-auth": {} } }),
            "invalid plugins configuration: failed to check the configuration of plugin key-auth err: property \"key\" is required",
        ),
        (
            "/consumers/bob/credentials/c",
            json!({ "plugins": { "notes": {} } }),
            "only supports auth type plugins in consumer credential",
        ),
        ("/global_rules/1", json!({}), "invalid configuration: property \"plugins\" is required"),
    ] {
        let seen = bench.call("PUT", path, body.clone()).await;
        assert_eq!((seen.status, seen.error().as_str()), (400, wanted), "{path} {body}");
        assert_eq!(seen.header("x-api-version"), Some("v3"));
    }
    let unknown =
        bench.call("PUT", "/routes/1", json!({ "uri": "/a", "plugins": { "limit-cout": {} } })).await;
    assert!(unknown.error().starts_with("unknown plugin [limit-cout]"), "{}", unknown.error());
    // Only the consumer came through.
    assert_eq!(bench.service.revision(), 1);
}

#[tokio::test]
async fn what_goes_below_a_resource_is_for_patch_alone() {
    let bench = Bench::new().await;
    bench.put("/routes/1", json!({ "uri": "/a", "plugins": { "notes": {} } })).await;
    for (method, path) in [
        ("DELETE", "/routes/1/plugins/notes"),
        ("PUT", "/routes/1/plugins/notes"),
        ("GET", "/routes/1/plugins"),
        ("DELETE", "/consumers/bob/x"),
    ] {
        let seen = bench.call(method, path, if method == "PUT" { json!({}) } else { Value::Null }).await;
        assert_eq!(seen.status, 400, "{method} {path}");
        assert!(seen.error().starts_with("invalid sub-path: /"), "{method} {path}: {}", seen.error());
    }
    assert_eq!(bench.call("GET", "/routes/1", Value::Null).await.status, 200);
}
