//! PATCH: a merge, or the replacement of one member (contract, section 4.2).

use serde_json::{Value, json};

use crate::bench::Bench;

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench
        .put(
            "/routes/1",
            json!({
                "uri": "/a", "methods": ["GET"], "upstream": { "type": "roundrobin", "nodes": { "a.test:80": 1 } },
                "plugins": { "limit-count": { "count": 5, "time_window": 60 }, "notes": {} },
            }),
        )
        .await;
    bench
}

#[tokio::test]
async fn members_are_merged_or_replaced() {
    let bench = bench().await;
    for (path, body, at, wanted) in [
        (
            "",
            json!({ "upstream": { "nodes": { "b.test:80": 2 } } }),
            "/upstream/nodes",
            json!({ "a.test:80": 1, "b.test:80": 2 }),
        ),
        (
            "",
            json!({ "upstream": { "nodes": { "a.test:80": null } } }),
            "/upstream/nodes",
            json!({ "b.test:80": 2 }),
        ),
        ("", json!({ "methods": ["PUT", "POST"] }), "/methods", json!(["PUT", "POST"])),
        ("", json!({ "status": 0 }), "/status", json!(0)),
        (
            "",
            json!({ "plugins": { "notes": null } }),
            "/plugins",
            json!({ "limit-count": { "count": 5, "time_window": 60 } }),
        ),
        ("/plugins/limit-count/count", json!(10), "/plugins/limit-count/count", json!(10)),
        ("/upstream/nodes", json!({ "c.test:80": 1 }), "/upstream/nodes", json!({ "c.test:80": 1 })),
        (
            "/upstream/nodes",
            json!([{ "host": "d.test", "port": 80, "weight": 1 }]),
            "/upstream/nodes",
            json!([{ "host": "d.test", "port": 80, "weight": 1 }]),
        ),
        ("/labels/team", json!("conf"), "/labels", json!({ "team": "conf" })),
        ("/uri", json!("/b"), "/uri", json!("/b")),
        ("", json!({ "id": 1 }), "/id", json!("1")),
        ("", json!({ "id": null }), "/id", json!("1")),
        ("", json!({}), "/uri", json!("/b")),
    ] {
        let seen = bench.call("PATCH", &format!("/routes/1{path}"), body.clone()).await;
        let value = &seen.json()["value"];
        assert_eq!((seen.status, value.pointer(at)), (200, Some(&wanted)), "{path} {body}: {}", seen.text());
        assert_eq!(seen.json()["key"], "/apisix/routes/1");
        assert_eq!(seen.header("x-api-version"), Some("v3"));
        // The whole new value is the answer, and what is stored.
        assert_eq!(bench.call("GET", "/routes/1", Value::Null).await.json()["value"], *value);
    }
}

#[tokio::test]
async fn bad_patches_change_nothing() {
    let bench = bench().await;
    let before = bench.call("GET", "/routes/1", Value::Null).await.text().to_owned();
    for (path, body, status, wanted) in [
        ("/routes/1", Value::Null, 400, "missing new configuration"),
        ("/routes/1/uri", Value::Null, 400, "missing new configuration"),
        ("/routes/1", json!(5), 400, "invalid configuration"),
        ("/routes/1", json!([1]), 400, "invalid configuration"),
        ("/routes/1", json!("x"), 400, "invalid configuration"),
        ("/routes/1", json!({ "id": "2" }), 400, "wrong route id"),
        ("/routes/1/id", json!("2"), 400, "wrong route id"),
        ("/routes/1/uri/b", json!(1), 400, "invalid sub-path: /uri/b"),
        ("/routes/1/methods/0/x", json!("PUT"), 400, "invalid sub-path: /methods/0/x"),
        (
            "/routes/1",
            json!({ "foo": 1 }),
            400,
            "invalid configuration: additional properties forbidden, found foo",
        ),
        (
            "/routes/1/plugins/limit-count/count",
            json!("x"),
            400,
            "failed to check the configuration of plugin limit-count err: property \"count\" validation failed: wrong type: expected integer, got string",
        ),
        (
            "/routes/1",
            json!({ "uri": null }),
            400,
            "invalid configuration: allOf 1 failed: value should match only one schema, but matches none",
        ),
    ] {
        let seen = bench.call("PATCH", path, body.clone()).await;
        assert_eq!((seen.status, seen.error().as_str()), (status, wanted), "{path} {body}");
    }
    // `null` at a sub-path is a value, and the wrong one.
    let null = bench.call("PATCH", "/routes/1/uri", "null").await;
    assert_eq!(
        (null.status, null.error().as_str()),
        (
            400,
            "invalid configuration: property \"uri\" validation failed: wrong type: expected string, got userdata"
        )
    );
    for path in ["/routes/2", "/routes/2/uri/x/y"] {
        let seen = bench.call("PATCH", path, json!({})).await;
        assert_eq!((seen.status, seen.json()), (404, json!({ "message": "Key not found" })), "{path}");
    }
    assert_eq!(bench.call("GET", "/routes/1", Value::Null).await.text(), before);
}

#[tokio::test]
async fn a_patch_may_give_times_and_else_they_are_set() {
    let bench = bench().await;
    let value = |seen: crate::bench::Seen| seen.json()["value"].clone();
    let given = value(bench.call("PATCH", "/routes/1", json!({ "create_time": 5, "update_time": 6 })).await);
    assert_eq!((&given["create_time"], &given["update_time"]), (&json!(5), &json!(6)));
    for (path, body) in [
        ("", json!({ "desc": "d" })),
        ("/desc", json!("e")),
        ("/update_time", json!(7)),
        ("", json!({ "update_time": null })),
    ] {
        let set = value(bench.call("PATCH", &format!("/routes/1{path}"), body.clone()).await);
        assert_eq!(set["create_time"], 5, "{path} {body}");
        assert!(set["update_time"].as_u64().unwrap() > 1_700_000_000, "{path} {body}: {set}");
        bench.call("PATCH", "/routes/1", json!({ "update_time": 6 })).await;
    }
}

#[tokio::test]
async fn every_kind_that_has_patch_takes_it() {
    let bench = Bench::new().await;
    for (path, body) in [
        ("/services/1", json!({})),
        ("/upstreams/1", json!({ "nodes": {} })),
        ("/plugin_configs/1", json!({ "plugins": {} })),
    ] {
        bench.put(path, body).await;
        let seen = bench.call("PATCH", path, json!({ "desc": "d" })).await;
        assert_eq!((seen.status, &seen.json()["value"]["desc"]), (200, &json!("d")), "{path}");
    }
    bench.put("/global_rules/1", json!({ "plugins": {} })).await;
    let seen = bench.call("PATCH", "/global_rules/1/plugins/notes", json!({})).await;
    assert_eq!((seen.status, &seen.json()["value"]["plugins"]), (200, &json!({ "notes": {} })));
}
