//! `/schema` and `/plugins` (contract, section 7).

use serde_json::{Value, json};
use usher_model::kind::Kind;
use usher_model::schema;

use crate::bench::Bench;
use crate::fakes::SLOW;

#[tokio::test]
async fn schemas_of_resources_are_singular() {
    let bench = Bench::new().await;
    for kind in Kind::ALL {
        let seen = bench.call("GET", &format!("/schema/{}", kind.schema_name()), Value::Null).await;
        assert_eq!((seen.status, &seen.json()), (200, schema::schema(kind)), "{kind}");
        assert_eq!(seen.header("x-api-version"), Some("v3"));
    }
    for (path, name) in [
        ("/schema/routes", "routes"),
        ("/schema/ssls", "ssls"),
        ("/schema/validate", "validate"),
        ("/schema", ""),
    ] {
        let seen = bench.call("GET", path, Value::Null).await;
        assert_eq!((seen.status, seen.error()), (400, format!("not found schema: {name}")), "{path}");
    }
    for (method, path) in [
        ("PUT", "/schema/route"),
        ("DELETE", "/schema/route"),
        ("POST", "/schema/plugins/notes"),
        ("PUT", "/schema/validate/routes"),
        ("POST", "/plugins/notes"),
        ("PUT", "/plugins/list"),
    ] {
        let seen = bench.call(method, path, json!({})).await;
        assert_eq!((seen.status, seen.json()), (404, json!({ "error_msg": "not found" })), "{method} {path}");
        assert_eq!(seen.header("x-api-version"), None);
    }
}

#[tokio::test]
async fn values_are_checked_by_schema_alone() {
    let bench = Bench::new().await;
    for (path, body) in [
        // Neither plugins nor references are looked at.
        ("/schema/validate/routes", json!({ "uri": "/a", "plugins": { "nope": {} }, "upstream_id": "none" })),
        ("/schema/validate/services", json!({})),
        ("/schema/validate/upstreams", json!({ "nodes": {} })),
        ("/schema/validate/consumers", json!({ "username": "bob" })),
        ("/schema/validate/credentials", json!({ "plugins": {} })),
        ("/schema/validate/plugin_configs", json!({ "id": "1", "plugins": {} })),
        ("/schema/validate/global_rules", json!({ "id": "1", "plugins": {} })),
        ("/schema/validate/consumer_groups", json!({ "id": "1", "plugins": {} })),
        ("/schema/validate/protos", json!({ "content": "syntax = \"proto3\";" })),
        ("/schema/validate/plugin_metadata", json!({ "log_format": "x" })),
        ("/schema/validate/secrets", json!({ "uri": "http://127.0.0.1:8200" })),
        ("/schema/validate/stream_routes", json!({ "server_port": 9100 })),
        ("/schema/validate/graphql_cost_decorations", json!({ "field_path": "Query.users" })),
    ] {
        let seen = bench.call("POST", path, body).await;
        assert_eq!((seen.status, seen.text(), seen.header("x-api-version")), (200, "", None), "{path}");
        assert_eq!(seen.header("content-type"), Some("application/json"));
    }
    for (path, body, status, wanted) in [
        (
            "/schema/validate/routes",
            "{\"uri\":7,\"plugins\":{}}",
            400,
            "property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        ("/schema/validate/consumers", "{}", 400, "property \"username\" is required"),
        ("/schema/validate/routes", "", 400, "wrong type: expected object, got nil"),
        ("/schema/validate/routes", "5", 400, "wrong type: expected object, got number"),
        ("/schema/validate/ssls", "{}", 400, "then clause did not match"),
        ("/schema/validate/consumer_groups", "{}", 400, "property \"id\" is required"),
        ("/schema/validate/protos", "{}", 400, "property \"content\" is required"),
        ("/schema/validate/graphql_cost_decorations", "{}", 400, "property \"field_path\" is required"),
        (
            "/schema/validate/stream_routes",
            "{\"server_port\":0}",
            400,
            "property \"server_port\" validation failed: expected 0 to be at least 1",
        ),
        ("/schema/validate/configs", "{}", 404, "Unsupported resource type: configs"),
        ("/schema/validate/route", "{}", 404, "Unsupported resource type: route"),
    ] {
        let seen = bench.call("POST", path, body).await;
        assert_eq!((seen.status, seen.error().as_str()), (status, wanted), "{path} {body}");
        assert_eq!(seen.header("x-api-version"), None);
    }
    let broken = bench.call("POST", "/schema/validate/routes", "{").await;
    assert_eq!((broken.status, &broken.json()["req_body"]), (400, &json!("{")));
    assert_eq!(bench.service.revision(), 0);
}

#[tokio::test]
async fn plugins_are_listed_by_priority() {
    let bench = Bench::new().await;
    let http = json!(["key-auth", "limit-count", "traffic-split", "notes"]);
    for (path, wanted) in [
        ("/plugins/list", http.clone()),
        ("/plugins/list/", http.clone()),
        ("/plugins/list?subsystem=http", http),
        ("/plugins/list?subsystem=stream", json!([])),
    ] {
        let seen = bench.call("GET", path, Value::Null).await;
        assert_eq!((seen.status, seen.json(), seen.header("x-api-version")), (200, wanted, None), "{path}");
    }
    let wrong = bench.call("GET", "/plugins/list?subsystem=x", Value::Null).await;
    assert_eq!((wrong.status, wrong.text()), (400, "invalid subsystem passed"));
}

#[tokio::test]
async fn schemas_of_plugins_are_shown() {
    let bench = Bench::new().await;
    let registry = bench.service.registry();
    for (path, wanted) in [
        ("/plugins/limit-count", registry.public_schema("limit-count").unwrap()),
        ("/schema/plugins/limit-count", registry.public_schema("limit-count").unwrap()),
        ("/plugins/key-auth?schema_type=consumer", registry.credential_schema("key-auth").unwrap().clone()),
        ("/plugins/notes?schema_type=metadata", registry.metadata_schema("notes").unwrap()),
        ("/plugins?all=true&subsystem=stream", json!({})),
    ] {
        let seen = bench.call("GET", path, Value::Null).await;
        assert_eq!(
            (seen.status, seen.json(), seen.header("x-api-version")),
            (200, wanted, Some("v3")),
            "{path}"
        );
    }
    let whole = bench.call("GET", "/schema/plugins", Value::Null).await;
    assert_eq!((whole.status, whole.header("x-api-version")), (200, Some("v3")));
    assert_eq!(whole.json()["type"], "object");
    for spec in registry.list() {
        let schema = registry.public_schema(spec.name).unwrap();
        assert_eq!(whole.json()["properties"][spec.name], schema, "{}", spec.name);
    }
    assert_eq!(
        bench.call("GET", "/plugins/limit-count", Value::Null).await.json()["properties"]["_meta"]["type"],
        "object"
    );
    for (path, status, wanted) in [
        ("/plugins/nope", 404, "plugin not found in subsystem http"),
        ("/plugins", 404, "plugin not found in subsystem http"),
        ("/schema/plugins/nope", 404, "plugin not found in subsystem http"),
        ("/plugins/notes?subsystem=stream", 404, "plugin not found in subsystem stream"),
        ("/plugins/notes?subsystem=x", 400, "unsupported subsystem: x"),
        ("/plugins?all=true&subsystem=x", 400, "unsupported subsystem: x"),
        ("/plugins/notes?schema_type=consumer", 400, "not found schema"),
        ("/plugins/key-auth?schema_type=metadata", 400, "not found schema"),
    ] {
        let seen = bench.call("GET", path, Value::Null).await;
        assert_eq!((seen.status, seen.error().as_str()), (status, wanted), "{path}");
        assert_eq!(seen.header("x-api-version"), Some("v3"), "{path}");
    }
}

#[tokio::test]
async fn all_plugins_are_described_at_once() {
    let bench = Bench::new().await;
    let all = bench.call("GET", "/plugins?all=true", Value::Null).await.json();
    assert_eq!(all.as_object().unwrap().len(), 4);
    for (name, priority) in [("key-auth", 2500), ("limit-count", 1002), ("notes", 10)] {
        assert_eq!(all[name]["priority"], priority, "{name}");
        assert!(all[name]["version"].is_number() && all[name]["schema"]["type"] == "object", "{name}");
    }
    assert_eq!(all["key-auth"]["type"], "auth");
    assert_eq!(all["key-auth"]["consumer_schema"]["required"], json!(["key"]));
    assert_eq!(all["notes"]["metadata_schema"]["type"], "object");
    for absent in ["type", "consumer_schema"] {
        assert_eq!(all["notes"].get(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn reloading_plugins_is_done_at_once() {
    let bench = Bench::new().await;
    let done = bench.call("PUT", "/plugins/reload", Value::Null).await;
    assert_eq!((done.status, done.text(), done.header("x-api-version")), (200, "done", None));
    for method in ["GET", "POST", "PATCH", "DELETE"] {
        let seen = bench.call(method, "/plugins/reload", Value::Null).await;
        let wanted = format!("please use PUT method to reload the plugins, {method} method is not allowed.");
        assert_eq!((seen.status, seen.error()), (405, wanted));
    }
    // It is done when every worker serves by what the store holds.
    bench.moods.set_live(SLOW);
    let late = bench.call("PUT", "/plugins/reload", Value::Null).await;
    assert_eq!((late.status, late.header("retry-after")), (503, Some("1")), "{}", late.text());
}
