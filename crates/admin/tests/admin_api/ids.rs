//! Ids of path and body (contract, section 4.1).

use serde_json::{Value, json};

use crate::bench::Bench;

#[tokio::test]
async fn ids_of_path_and_body_have_to_agree() {
    let bench = Bench::new().await;
    let bad_id =
        "invalid configuration: property \"id\" validation failed: object matches none of the required";
    let long = "x".repeat(65);
    for (method, path, id, wanted) in [
        ("PUT", "/upstreams/1", json!("2"), Err("wrong upstream id")),
        ("PUT", "/upstreams/1", json!(2), Err("wrong upstream id")),
        ("PUT", "/upstreams", Value::Null, Err("missing upstream id")),
        ("PUT", "/upstreams/a%20b", Value::Null, Err(bad_id)),
        ("PUT", "/upstreams", json!(""), Err(bad_id)),
        ("PUT", "/upstreams", json!("a/b"), Err(bad_id)),
        ("PUT", "/upstreams", json!(0), Err(bad_id)),
        ("PUT", "/upstreams", json!(1.5), Err(bad_id)),
        ("PUT", "/upstreams", json!(true), Err(bad_id)),
        ("PUT", "/upstreams", json!(long), Err(bad_id)),
        ("POST", "/upstreams", json!("1"), Err("wrong upstream id, do not need it")),
        ("POST", "/upstreams/1", Value::Null, Err("wrong upstream id, do not need it")),
        // A path's id is a text, a body's stays what it is.
        ("PUT", "/upstreams/1", Value::Null, Ok(("1", json!("1")))),
        ("PUT", "/upstreams/1", json!(1), Ok(("1", json!("1")))),
        ("PUT", "/upstreams", json!(1), Ok(("1", json!(1)))),
        ("PUT", "/upstreams", json!("1"), Ok(("1", json!("1")))),
        ("PUT", "/upstreams", json!(7), Ok(("7", json!(7)))),
        ("PUT", "/upstreams/a.b-c_D9", Value::Null, Ok(("a.b-c_D9", json!("a.b-c_D9")))),
    ] {
        let mut body = json!({ "nodes": {} });
        if !id.is_null() {
            body["id"] = id.clone();
        }
        let seen = bench.call(method, path, body).await;
        match wanted {
            Err(sentence) => {
                assert_eq!((seen.status, seen.error().as_str()), (400, sentence), "{method} {path} {id}")
            }
            Ok((key, stored)) => {
                assert_eq!(seen.json()["key"], format!("/apisix/upstreams/{key}"), "{method} {path} {id}");
                assert_eq!(seen.json()["value"]["id"], stored, "{method} {path} {id}");
            }
        }
    }
}

#[tokio::test]
async fn a_null_id_is_no_id() {
    let bench = Bench::new().await;
    let seen = bench.call("PUT", "/upstreams", "{\"id\":null,\"nodes\":{}}").await;
    assert_eq!(seen.status, 400, "{}", seen.text());
}

#[tokio::test]
async fn consumers_are_known_by_their_user_name() {
    let bench = Bench::new().await;
    for (path, body, status, sentence) in [
        ("/consumers", json!({}), 400, "invalid configuration: property \"username\" is required"),
        ("/consumers/jack", json!({}), 400, "invalid configuration: property \"username\" is required"),
        ("/consumers/jack", json!({ "username": "jill" }), 400, "wrong username"),
        (
            "/consumers",
            json!({ "username": "a b" }),
            400,
            "invalid configuration: property \"username\" validation failed: failed to match pattern \"^[a-zA-Z0-9_\\-]+$\" with \"a b\"",
        ),
        (
            "/consumers",
            json!({ "username": "jack", "id": "1" }),
            400,
            "invalid configuration: additional properties forbidden, found id",
        ),
        (
            "/consumers",
            json!({ "username": 7 }),
            400,
            "invalid configuration: property \"username\" validation failed: wrong type: expected string, got number",
        ),
    ] {
        let seen = bench.call("PUT", path, body.clone()).await;
        assert_eq!((seen.status, seen.error().as_str()), (status, sentence), "{path} {body}");
    }
    let wanted = json!({ "key": "/apisix/consumers/jack", "value": { "username": "jack" } });
    bench
        .check([
            ("PUT", "/consumers", json!({ "username": "jack" }), 201, wanted.clone()),
            ("PUT", "/consumers/jack", json!({ "username": "jack" }), 200, wanted),
        ])
        .await;
    let long = "x".repeat(256);
    bench.put(&format!("/consumers/{long}"), json!({ "username": long })).await;
}

#[tokio::test]
async fn credentials_belong_to_a_consumer_that_exists() {
    let bench = Bench::new().await;
    let seen = bench.call("PUT", "/consumers/jack/credentials/c1", json!({})).await;
    assert_eq!((seen.status, seen.json()), (404, json!({ "error_msg": "consumer not found" })));
    bench.put("/consumers/jack", json!({ "username": "jack" })).await;
    for (path, body, sentence) in [
        ("/consumers/jack/credentials", json!({}), "missing credential id"),
        ("/consumers/jack/credentials/c1", json!({ "id": "c2" }), "wrong credential id"),
    ] {
        let seen = bench.call("PUT", path, body).await;
        assert_eq!((seen.status, seen.error().as_str()), (400, sentence), "{path}");
    }
    let wanted = |id: &str| json!({ "key": format!("/apisix/consumers/jack/credentials/{id}"), "value": { "id": id } });
    bench
        .check([
            ("PUT", "/consumers/jack/credentials/c1", json!({}), 201, wanted("c1")),
            ("PUT", "/consumers/jack/credentials", json!({ "id": "c2" }), 201, wanted("c2")),
        ])
        .await;
    let listed = bench.call("GET", "/consumers/jack/credentials", Value::Null).await.json();
    assert_eq!(listed["total"], 2);
    // Credentials go with their consumer.
    assert_eq!(bench.call("DELETE", "/consumers/jack", Value::Null).await.status, 200);
    bench.put("/consumers/jack", json!({ "username": "jack" })).await;
    assert_eq!(bench.call("GET", "/consumers/jack/credentials/c1", Value::Null).await.status, 404);
}
