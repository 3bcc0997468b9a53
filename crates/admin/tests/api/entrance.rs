//! Who may come in, and with which right.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::bench::{ADMIN, Bench, VIEWER, route};

#[tokio::test]
async fn a_key_is_needed_and_has_to_be_a_good_one() {
    let bench = Bench::new().await;
    for (headers, status) in [
        (&[][..], 401),
        (&[("x-api-key", "wrong")], 401),
        (&[("x-api-key", ADMIN)], 200),
        (&[("authorization", "Bearer the-key-of-the-admin")], 200),
        (&[("authorization", "Bearer wrong")], 401),
        (&[("authorization", "Basic abc")], 401),
        (&[("x-api-key", ADMIN), ("authorization", "Bearer the-key-of-the-admin")], 200),
        (&[("x-api-key", ADMIN), ("authorization", "Bearer the-key-of-a-viewer")], 400),
    ] {
        let seen = bench.send("GET", "/status", headers, Value::Null).await;
        assert_eq!(seen.status, status, "{headers:?}: {}", seen.text);
        assert_eq!(seen.headers.contains_key("www-authenticate"), status == 401);
        if status != 200 {
            seen.refusal();
        }
    }
}

#[tokio::test]
async fn without_keys_everybody_is_an_admin_and_a_token_is_still_its_own_role() {
    let bench = Bench::with(false).await;
    let seen = bench.send("GET", "/status", &[], Value::Null).await.json();
    assert_eq!((&seen["you"]["name"], &seen["you"]["role"]), (&json!("keyless"), &json!("admin")));
    let made = bench.send("POST", "/tokens", &[], json!({ "name": "ci", "role": "viewer" })).await.json();
    let token = made["token"].as_str().unwrap();
    let seen = bench.send("GET", "/status", &[("x-api-key", token)], Value::Null).await.json();
    assert_eq!((&seen["you"]["name"], &seen["you"]["role"]), (&json!("ci"), &json!("viewer")));
    assert_eq!(bench.send("GET", "/status", &[("x-api-key", "wrong")], Value::Null).await.status, 401);
}

#[tokio::test]
async fn each_role_may_do_what_the_document_says() {
    let bench = Bench::new().await;
    let chat = bench.token("chat", json!({})).await;
    let editor = bench.token("editor", json!({})).await;
    let change = json!({ "changes": [{ "op": "put", "kind": "route", "id": "1", "value": route("/a") }] });
    let rows: [(&str, &str, Value, [u16; 4]); 9] = [
        ("GET", "/status", Value::Null, [200, 200, 200, 200]),
        ("GET", "/objects/routes", Value::Null, [200, 200, 200, 200]),
        ("GET", "/history", Value::Null, [200, 200, 200, 200]),
        ("POST", "/explain", json!({ "target": "/" }), [200, 200, 200, 200]),
        ("POST", "/plans", change, [403, 201, 201, 201]),
        ("GET", "/audit", Value::Null, [403, 403, 403, 200]),
        ("GET", "/tokens", Value::Null, [403, 403, 403, 200]),
        ("GET", "/users", Value::Null, [403, 403, 403, 200]),
        ("GET", "/backup", Value::Null, [403, 403, 403, 200]),
    ];
    for (method, path, body, wanted) in rows {
        for (key, wanted) in [VIEWER, &chat, &editor, ADMIN].into_iter().zip(wanted) {
            let seen = bench.send(method, path, &[("x-api-key", key)], body.clone()).await;
            assert_eq!(seen.status, wanted, "{method} {path} with {key}: {}", seen.text);
            if wanted == 403 {
                assert_eq!(seen.refusal().1, "forbidden");
            }
        }
    }
}

#[tokio::test]
async fn the_command_line_s_door_gives_no_right() {
    let bench = Bench::new().await;
    let seen = bench
        .send("GET", "/status", &[("x-api-key", VIEWER), ("user-agent", "usher-cli/1")], Value::Null)
        .await;
    assert_eq!(seen.json()["you"]["door"], "cli");
    let cli = [("x-api-key", VIEWER), ("user-agent", "usher-cli/1")];
    assert_eq!(bench.send("POST", "/plans", &cli, json!({ "changes": [] })).await.status, 403);
    assert_eq!(bench.send("GET", "/tokens", &cli, Value::Null).await.status, 403);
}

#[tokio::test]
async fn a_refusal_names_the_page_that_helps_where_there_is_one() {
    let bench = Bench::new().await;
    let refused = bench.send("GET", "/status", &[("x-api-key", "wrong")], Value::Null).await;
    assert_eq!(refused.json()["error"]["help"], "docs/cli.md#which-usher-and-with-which-key");
    let plain = bench.get("/plan").await;
    assert_eq!(plain.json()["error"].get("help"), None, "the sentence says all");
}

#[tokio::test]
async fn a_pages_origin_and_an_unknown_place_are_refused() {
    let bench = Bench::new().await;
    let page = [("x-api-key", ADMIN), ("origin", "http://evil.test")];
    assert_eq!(bench.send("GET", "/status", &page, Value::Null).await.status, 403);
    let lost = bench.get("/plan").await;
    assert_eq!(lost.refusal(), (404, "not_found".to_owned()));
    assert!(lost.next().contains("/usher/v1/plans"), "{}", lost.next());
    let method = bench.call("PUT", "/plans", Value::Null).await;
    assert_eq!(method.refusal(), (405, "method_not_allowed".to_owned()));
    assert!(method.next().contains("POST"), "{}", method.next());
    // RFC 9110, 15.5.6: a 405 says what would have been taken.
    let allowed = method.headers.get("allow").and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert!(allowed.split(", ").any(|one| one == "POST") && !allowed.contains("PUT"), "{allowed:?}");
    let head = bench.call("HEAD", "/status", Value::Null).await;
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn who_guesses_is_told_to_wait_and_a_right_key_is_not() {
    let bench = Bench::new().await;
    let peer: SocketAddr = "192.0.2.9:4000".parse().unwrap();
    let mut last = 0;
    for _ in 0..12 {
        last = bench.from(peer, "wrong").await.status;
    }
    assert_eq!(last, 429);
    assert!(bench.from(peer, "wrong").await.headers.contains_key("retry-after"));
    assert_eq!(bench.from(peer, ADMIN).await.status, 200);
}
