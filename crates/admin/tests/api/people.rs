//! Tokens and users.

use serde_json::{Value, json};

use crate::bench::Bench;

#[tokio::test]
async fn a_token_is_shown_once_and_is_dead_once_it_is_revoked() {
    let bench = Bench::new().await;
    let made = bench.call("POST", "/tokens", json!({ "name": "ci", "role": "editor", "scope": { "paths": ["/pay"] }, "expires_in_secs": 3600 })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let (id, token) =
        (made.json()["id"].as_str().unwrap().to_owned(), made.json()["token"].as_str().unwrap().to_owned());
    let listed = bench.get("/tokens").await;
    assert!(!listed.text.contains(&token), "{}", listed.text);
    assert_eq!(listed.json()["tokens"][0]["scope"], json!({ "labels": [], "hosts": [], "paths": ["/pay"] }));
    let headers = [("authorization", format!("Bearer {token}"))];
    let headers = [(headers[0].0, headers[0].1.as_str())];
    assert_eq!(bench.send("GET", "/status", &headers, Value::Null).await.status, 200);
    assert_eq!(
        bench.call("DELETE", &format!("/tokens/{id}"), Value::Null).await.json(),
        json!({ "deleted": id })
    );
    assert_eq!(bench.send("GET", "/status", &headers, Value::Null).await.status, 401);
    assert_eq!(
        bench.call("DELETE", &format!("/tokens/{id}"), Value::Null).await.refusal(),
        (404, "not_found".to_owned())
    );
}

#[tokio::test]
async fn what_a_token_can_t_be_is_refused_by_name() {
    let bench = Bench::new().await;
    for (body, part) in [
        (json!({ "role": "admin" }), "name"),
        (json!({ "name": "a", "role": "root" }), "role"),
        (json!({ "name": "a", "role": "admin", "scope": { "label": ["a=b"] } }), "labels"),
        (json!({ "name": "a", "role": "viewer", "scope": { "labels": ["a"] } }), "name=value"),
        (json!({ "name": "a b", "role": "viewer" }), "name"),
    ] {
        let seen = bench.call("POST", "/tokens", body.clone()).await;
        assert_eq!(seen.refusal().0, 422, "{body}: {}", seen.text);
        assert!(seen.text.contains(part), "{body}: {}", seen.text);
    }
    assert_eq!(bench.get("/tokens").await.json()["tokens"], json!([]));
}

#[tokio::test]
async fn users_come_and_go_and_their_passwords_are_never_shown() {
    let bench = Bench::new().await;
    let user = json!({ "name": "ada", "role": "admin", "password": "correct horse battery" });
    let made = bench.call("POST", "/users", user).await;
    assert_eq!((made.status, &made.json()["role"]), (201, &json!("admin")));
    let listed = bench.get("/users").await;
    assert_eq!(listed.json()["users"][0]["name"], "ada");
    assert!(!format!("{}{}", made.text, listed.text).contains("correct horse"));
    let short =
        bench.call("POST", "/users", json!({ "name": "bob", "role": "viewer", "password": "short" })).await;
    assert_eq!(short.refusal().0, 422);
    assert!(!short.text.contains("short\""), "{}", short.text);
    assert_eq!(bench.call("DELETE", "/users/ada", Value::Null).await.status, 200);
    assert_eq!(bench.call("DELETE", "/users/ada", Value::Null).await.refusal().0, 404);
}
