//! Keys and roles (contract, section 2).

use serde_json::{Value, json};
use usher_admin::service::NewToken;
use usher_model::change::{Door, Principal, Role};
use usher_model::compat::{Behaviour, Compat};
use usher_model::scope::Scope;

use crate::bench::{ADMIN, Bench, PEER, VIEWER};

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

#[tokio::test(start_paused = true)]
async fn who_guesses_is_told_to_wait_and_a_right_key_never_is() {
    let bench = Bench::new().await;
    let from = |peer: &'static str, key: &'static str| [(PEER, peer), ("x-api-key", key)];
    for _ in 0..10 {
        let seen = bench.send("GET", "/routes", &from("192.0.2.1", "wrong-key"), Value::Null).await;
        assert_eq!((seen.status, seen.json()), (401, refused("wrong apikey")));
    }
    tokio::time::advance(std::time::Duration::from_secs(15)).await;
    let seen = bench.send("GET", "/routes", &from("192.0.2.1", "wrong-key"), Value::Null).await;
    assert_eq!((seen.status, seen.header("retry-after")), (429, Some("45")), "{}", seen.text());
    let told = seen.json()["description"].as_str().unwrap().to_owned();
    assert_eq!(told, "too many wrong keys from 192.0.2.1; wait 45 seconds, or come with a right one");
    for (peer, key, status) in [
        // Nobody locks others out that share its address.
        ("192.0.2.1", ADMIN, 200),
        ("192.0.2.2", "wrong-key", 401),
        ("192.0.2.1", "wrong-key", 429),
    ] {
        let seen = bench.send("GET", "/routes", &from(peer, key), Value::Null).await;
        assert_eq!(seen.status, status, "{peer} {key}");
    }
    // A key that is missing is no guess.
    for _ in 0..20 {
        assert_eq!(bench.send("GET", "/routes", &[(PEER, "192.0.2.3")], Value::Null).await.status, 401);
    }
    tokio::time::advance(std::time::Duration::from_secs(45)).await;
    assert_eq!(bench.send("GET", "/routes", &from("192.0.2.1", "wrong-key"), Value::Null).await.status, 401);
}

#[tokio::test]
async fn tokens_are_keys_with_their_role_until_they_are_revoked() {
    let bench = Bench::new().await;
    let admin = Principal::new("ops", Role::Admin, Door::AdminApi);
    for (role, read, write) in [(Role::Viewer, 200, 401), (Role::Editor, 200, 201), (Role::Admin, 200, 200)] {
        let wanted = NewToken { name: "ci".to_owned(), role, scope: Scope::ALL, expires_in_secs: None };
        let (info, token) = bench.service.create_token(&admin, wanted).await.unwrap();
        let key = [("x-api-key", token.expose().as_str())];
        assert_eq!(bench.send("GET", "/upstreams", &key, Value::Null).await.status, read, "{role:?}");
        let put = bench.send("PUT", "/upstreams/1", &key, json!({ "nodes": {} })).await;
        assert_eq!(put.status, write, "{role:?}: {}", put.text());
        bench.service.revoke_token(&admin, &info.id).await.unwrap();
        let dead = bench.send("GET", "/upstreams", &key, Value::Null).await;
        assert_eq!((dead.status, dead.json()), (401, refused("wrong apikey")), "{role:?}");
    }
}
