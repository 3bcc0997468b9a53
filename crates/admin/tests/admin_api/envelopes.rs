//! Each kind of resource with each method: status, envelope, and the header that names its version (contract, sections 3 and 4).

use serde_json::{Value, json};

use crate::bench::Bench;

fn nodes() -> Value {
    json!({ "nodes": { "127.0.0.1:8081": 1 } })
}

#[tokio::test]
async fn every_kind_is_created_replaced_read_listed_and_deleted() {
    let bench = Bench::new().await;
    bench.put("/consumers/bob", json!({ "username": "bob" })).await;
    for (path, one, other) in [
        (
            "/routes/1",
            json!({ "uri": "/a", "upstream": nodes() }),
            json!({ "uri": "/b", "upstream": nodes() }),
        ),
        ("/services/s-1", json!({ "upstream": nodes() }), json!({ "name": "s" })),
        ("/upstreams/u.1", nodes(), json!({ "nodes": [{ "host": "a.test", "port": 80, "weight": 1 }] })),
        ("/plugin_configs/p", json!({ "plugins": {} }), json!({ "plugins": { "notes": {} } })),
        ("/global_rules/g", json!({ "plugins": {} }), json!({ "plugins": { "notes": {} } })),
        ("/consumers/bob/credentials/c", json!({}), json!({ "name": "n" })),
        ("/consumers/jack", json!({ "username": "jack" }), json!({ "username": "jack", "desc": "d" })),
    ] {
        let key = format!("/apisix{path}");
        let id = path.rsplit('/').next().unwrap();
        let with_id = |mut value: Value| {
            if path != "/consumers/jack" {
                value["id"] = id.into();
            }
            value
        };
        let before = bench.service.revision();
        let created = bench.call("PUT", path, one.clone()).await;
        assert_eq!(created.header("x-api-version"), Some("v3"), "{path}");
        assert_eq!(
            (created.status, created.timeless()),
            (201, json!({ "key": key, "value": with_id(one) })),
            "{path}"
        );
        let replaced = bench.call("PUT", path, other.clone()).await;
        let value = with_id(other);
        assert_eq!(
            (replaced.status, replaced.timeless()),
            (200, json!({ "key": key, "value": value })),
            "{path}"
        );
        let read = bench.call("GET", path, Value::Null).await;
        let wanted =
            json!({ "key": key, "value": value, "createdIndex": before + 1, "modifiedIndex": before + 2 });
        assert_eq!((read.status, read.timeless()), (200, wanted.clone()), "{path}");
        assert_eq!(read.header("etag"), Some(format!("\"{}\"", before + 2).as_str()), "{path}");
        let collection = path.rsplit_once('/').unwrap().0;
        let listed = bench.call("GET", collection, Value::Null).await;
        assert_eq!((listed.status, listed.header("x-api-version")), (200, Some("v3")), "{path}");
        let listed = listed.json();
        let list = listed["list"].as_array().unwrap();
        assert_eq!(listed["total"], list.len(), "{path}");
        assert!(list.contains(&read.json()), "{path}: {listed}");
        let deleted = bench.call("DELETE", path, Value::Null).await;
        assert_eq!((deleted.status, deleted.json()), (200, json!({ "key": key, "deleted": "1" })), "{path}");
        assert_eq!(deleted.header("x-api-version"), Some("v3"), "{path}");
        for method in ["DELETE", "GET"] {
            let gone = bench.call(method, path, Value::Null).await;
            assert_eq!(
                (gone.status, gone.json()),
                (404, json!({ "message": "Key not found" })),
                "{method} {path}"
            );
            assert_eq!(gone.header("x-api-version"), Some("v3"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn what_was_sent_is_what_is_stored() {
    let bench = Bench::new().await;
    // No defaults, and nodes in the form they were given.
    let sent = json!({
        "uri": "/api/*", "methods": ["GET"], "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:8081": 1 } },
        "plugins": { "limit-count": { "count": 5, "time_window": 60, "rejected_code": 429 } },
    });
    let mut value = sent.clone();
    value["id"] = "conf".into();
    let wanted = json!({ "key": "/apisix/routes/conf", "value": value });
    bench.check([("PUT", "/routes/conf", sent, 201, wanted)]).await;
}

#[tokio::test]
async fn empty_collections_are_lists_but_for_credentials() {
    let bench = Bench::new().await;
    let empty = || json!({ "total": 0, "list": [] });
    let missing = || json!({ "message": "Key not found" });
    for path in [
        "/routes",
        "/services",
        "/upstreams",
        "/consumers",
        "/plugin_configs",
        "/global_rules",
        "/consumer_groups",
        "/ssls",
        "/protos",
        "/plugin_metadata",
        "/secrets",
        "/secrets/vault",
    ] {
        bench.check([("GET", path, Value::Null, 200, empty())]).await;
    }
    bench.check([("GET", "/consumers/nobody/credentials", Value::Null, 404, missing())]).await;
    bench.put("/consumers/bob", json!({ "username": "bob" })).await;
    bench.check([("GET", "/consumers/bob/credentials", Value::Null, 404, missing())]).await;
    bench.put("/consumers/bob/credentials/c", json!({})).await;
    assert_eq!(bench.call("GET", "/consumers", Value::Null).await.json()["total"], 1);
}

#[tokio::test]
async fn post_makes_an_id_of_the_next_revision() {
    let bench = Bench::new().await;
    for (path, body) in [
        ("/routes", json!({ "uri": "/a", "upstream": nodes() })),
        ("/services", json!({})),
        ("/upstreams", nodes()),
    ] {
        let id = format!("{:020}", bench.service.revision() + 1);
        let mut value = body.clone();
        value["id"] = id.as_str().into();
        let wanted = json!({ "key": format!("/apisix{path}/{id}"), "value": value });
        bench.check([("POST", path, body, 201, wanted)]).await;
    }
}

#[tokio::test]
async fn methods_that_a_kind_lacks_are_405() {
    let bench = Bench::new().await;
    for (path, method, kind) in [
        ("/consumers", "POST", "consumer"),
        ("/consumers/bob", "PATCH", "consumer"),
        ("/consumers/bob/credentials", "POST", "credential"),
        ("/consumers/bob/credentials/c", "PATCH", "credential"),
        ("/plugin_configs", "POST", "plugin config"),
        ("/global_rules", "POST", "global rule"),
        ("/consumer_groups", "POST", "consumer group"),
        ("/plugin_metadata", "POST", "plugin_metadata"),
        ("/plugin_metadata/notes", "PATCH", "plugin_metadata"),
        ("/secrets/vault/1", "POST", "secret"),
        ("/protos/1", "PATCH", "proto"),
        ("/stream_routes/1", "PATCH", "stream route"),
    ] {
        let seen = bench.call(method, path, json!({})).await;
        assert_eq!(
            (seen.status, seen.error()),
            (405, format!("not supported `{method}` method for {kind}")),
            "{path}"
        );
        assert_eq!(seen.header("x-api-version"), Some("v3"), "{path}");
    }
}

#[tokio::test]
async fn a_missing_id_is_named_by_kind() {
    let bench = Bench::new().await;
    for (path, kind) in [
        ("/routes", "route"),
        ("/services", "service"),
        ("/upstreams", "upstream"),
        ("/plugin_configs", "plugin config"),
        ("/global_rules", "global rule"),
        ("/consumer_groups", "consumer group"),
        ("/ssls", "ssl"),
        ("/secrets", "secret"),
    ] {
        for method in ["DELETE", "PATCH", "PUT"] {
            let seen = bench.call(method, path, json!({})).await;
            assert_eq!((seen.status, seen.error()), (400, format!("missing {kind} id")), "{method} {path}");
        }
    }
    for (path, kind) in [
        ("/consumers", "consumer"),
        ("/consumers/bob/credentials", "credential"),
        ("/protos", "proto"),
        ("/plugin_metadata", "plugin_metadata"),
        ("/secrets/vault", "secret"),
    ] {
        let seen = bench.call("DELETE", path, Value::Null).await;
        assert_eq!((seen.status, seen.error()), (400, format!("missing {kind} id")), "{path}");
    }
}

#[tokio::test]
async fn collections_that_do_not_exist_are_named() {
    let bench = Bench::new().await;
    for name in ["routs", "credentials", "graphql_cost_decorations", "configs"] {
        for (method, path) in
            [("GET", format!("/{name}")), ("PUT", format!("/{name}/1")), ("DELETE", format!("/{name}/1"))]
        {
            let seen = bench.call(method, &path, json!({})).await;
            assert_eq!(
                (seen.status, seen.error()),
                (404, format!("Unsupported resource type: {name}")),
                "{method} {path}"
            );
            assert_eq!(seen.header("x-api-version"), None, "{method} {path}");
        }
    }
}
