//! The envelopes of `admin_api_version: v2` (contract, section 3).

use serde_json::{Value, json};
use usher_admin::http::{Envelopes, Form};

use crate::bench::Bench;

#[tokio::test]
async fn every_method_answers_as_etcd_once_did() {
    let bench = Bench::formed(Form { envelopes: Envelopes::V2, ..Form::default() }).await;
    let nodes = || json!({ "nodes": {} });
    let node = |value: Value| json!({ "key": "/apisix/upstreams/1", "value": value });
    let times = |mut value: Value| {
        let members = value.pointer_mut("/node/value").and_then(Value::as_object_mut);
        members.unwrap().retain(|name, _| !matches!(name.as_str(), "create_time" | "update_time"));
        value
    };
    for (method, path, body, status, action, value) in [
        ("PUT", "/upstreams/1", nodes(), 201, "set", json!({ "id": "1", "nodes": {} })),
        ("PUT", "/upstreams/1", nodes(), 200, "set", json!({ "id": "1", "nodes": {} })),
        (
            "PATCH",
            "/upstreams/1",
            json!({ "desc": "d" }),
            200,
            "compareAndSwap",
            json!({ "id": "1", "nodes": {}, "desc": "d" }),
        ),
        ("GET", "/upstreams/1", Value::Null, 200, "get", json!({ "id": "1", "nodes": {}, "desc": "d" })),
    ] {
        let seen = bench.call(method, path, body).await;
        assert_eq!(seen.header("x-api-version"), Some("v2"), "{method}");
        assert_eq!(
            (seen.status, times(seen.json())),
            (status, json!({ "action": action, "node": node(value) })),
            "{method}"
        );
    }
    let posted = bench.call("POST", "/upstreams", nodes()).await;
    assert_eq!((posted.status, &posted.json()["action"]), (201, &json!("create")));
    let deleted = bench.call("DELETE", "/upstreams/1", Value::Null).await;
    let wanted = json!({ "action": "delete", "deleted": "1", "key": "/apisix/upstreams/1", "node": {} });
    assert_eq!((deleted.status, deleted.json()), (200, wanted));
    let gone = bench.call("GET", "/upstreams/1", Value::Null).await;
    assert_eq!((gone.status, gone.json()), (404, json!({ "message": "Key not found" })));
    assert_eq!(gone.header("x-api-version"), Some("v2"));
}

#[tokio::test]
async fn lists_are_folders_without_pages_and_searches() {
    let bench = Bench::formed(Form { envelopes: Envelopes::V2, ..Form::default() }).await;
    bench.put("/services/s", json!({})).await;
    bench.put("/consumers/bob", json!({ "username": "bob" })).await;
    bench.put("/consumers/bob/credentials/c", json!({})).await;
    for (path, key, total) in [
        ("/services", "/apisix/services", 1),
        ("/services?name=nothing-like-it", "/apisix/services", 1),
        ("/services?page=2&page_size=10", "/apisix/services", 1),
        ("/services?page=1&page_size=1", "/apisix/services", 1),
        ("/routes", "/apisix/routes", 0),
        ("/consumers/bob/credentials", "/apisix/consumers/bob/credentials", 1),
        ("/services/s/graphql_cost_decorations", "/apisix/services/s/graphql_cost_decorations", 0),
    ] {
        let seen = bench.call("GET", path, Value::Null).await;
        let told = seen.json();
        assert_eq!(
            (seen.status, &told["action"], &told["node"]["dir"]),
            (200, &json!("get"), &json!(true)),
            "{path}"
        );
        assert_eq!((told["node"]["key"].as_str(), told.get("total")), (Some(key), None), "{path}");
        let nodes = told["node"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), total, "{path}");
        assert!(
            nodes.iter().all(|node| node["createdIndex"].is_u64() && node["modifiedIndex"].is_u64()),
            "{path}"
        );
    }
}
