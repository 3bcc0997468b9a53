//! Keys and roles (contract, section 2).

use serde_json::{Value, json};
use usher_model::compat::{Behaviour, Compat};

use crate::bench::{ADMIN, Bench, VIEWER};

fn refused(description: &str) -> Value {
    json!({ "error_msg": "failed to check token", "description": description })
}

#[tokio::test]
async fn a_key_is_needed_and_has_to_be_right() {
    let bench = Bench::new().await;
    let query = format!("/routes?api_key={ADMIN}");
    let cookie = format!("x_api_key={ADMIN}");
    for (path, headers, description) in [
        ("/routes", vec![], "missing apikey"),
        ("/routes", vec![("x-api-key", "")], "missing apikey"),
        ("/routes", vec![("x-api-key", "wrong")], "wrong apikey"),
        ("/routes", vec![("x-api-key", ADMIN), ("x-api-key", ADMIN)], "wrong apikey"),
        // Not without compat.
        (&query, vec![], "missing apikey"),
        ("/routes", vec![("cookie", cookie.as_str())], "missing apikey"),
        (&query, vec![("x-api-key", "wrong")], "wrong apikey"),
    ] {
        let seen = bench.send("GET", path, &headers, Value::Null).await;
        assert_eq!((seen.status, seen.json()), (401, refused(description)), "{path} {headers:?}");
        assert_eq!(seen.header("x-api-version"), None);
    }
    assert_eq!(bench.send("GET", "/routes", &[("x-api-key", ADMIN)], Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_viewer_may_only_look() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    let viewer = [("x-api-key", VIEWER)];
    for (method, path) in [
        ("PUT", "/upstreams/1"),
        ("POST", "/upstreams"),
        ("PATCH", "/upstreams/1"),
        ("DELETE", "/upstreams/1"),
        ("PUT", "/plugins/reload"),
        ("POST", "/schema/validate/routes"),
        // The key comes before everything else.
        ("PUT", "/routs/1"),
        ("POST", "/consumers"),
    ] {
        let seen = bench.send(method, path, &viewer, "{broken").await;
        assert_eq!(
            (seen.status, seen.json()),
            (401, refused("invalid method for role viewer")),
            "{method} {path}"
        );
    }
    for method in ["GET", "HEAD"] {
        assert_eq!(bench.send(method, "/upstreams/1", &viewer, Value::Null).await.status, 200, "{method}");
    }
    assert_eq!(bench.call("GET", "/upstreams/1", Value::Null).await.status, 200);
}

#[tokio::test]
async fn query_and_cookie_carry_keys_only_under_compat() {
    let bench = Bench::with(true, Compat::NONE.with(Behaviour::KeyInQueryOrCookie)).await;
    let query = format!("/routes?api_key={ADMIN}");
    let cookie = format!("a=b; x_api_key={ADMIN}; c=d");
    for (path, headers, status) in [
        (query.as_str(), vec![], 200),
        ("/routes", vec![("cookie", cookie.as_str())], 200),
        ("/routes", vec![("x-api-key", ADMIN)], 200),
        // The first that isn't empty counts, and no other is looked at.
        ("/routes?api_key=wrong", vec![("x-api-key", ADMIN)], 401),
        ("/routes?api_key=", vec![("x-api-key", ADMIN)], 200),
        ("/routes", vec![("x-api-key", "wrong"), ("cookie", cookie.as_str())], 401),
        ("/routes", vec![("cookie", "x_api_key=")], 401),
    ] {
        let seen = bench.send("GET", path, &headers, Value::Null).await;
        assert_eq!(seen.status, status, "{path} {headers:?}: {}", seen.text());
    }
}

#[tokio::test]
async fn without_keys_everybody_is_an_admin() {
    let bench = Bench::with(false, Compat::NONE).await;
    let seen = bench.send("PUT", "/upstreams/1", &[], json!({ "nodes": {} })).await;
    assert_eq!(seen.status, 201, "{}", seen.text());
    assert_eq!(
        bench.send("GET", "/upstreams/1", &[("x-api-key", "whatever")], Value::Null).await.status,
        200
    );
}
