//! What clients and Keycloak see of `authz-keycloak`.
#![cfg(test)]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use usher_http1::head::Head;
use usher_pipeline::harness::{Harness, Outcome, harness, try_harness};
use usher_pipeline::worker::{Answer, Call, FetchError};

use super::PLUGIN;
use crate::form;

const TOKEN: &str = "https://kc.test/token";

fn body(more: &Value) -> Value {
    let mut body = json!({ "token_endpoint": TOKEN, "client_id": "shop", "permissions": ["orders"] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn told(status: u16, text: impl Into<String>) -> Result<Answer, FetchError> {
    Ok(Answer { head: Head::response(status), body: text.into().into() })
}

fn deciding(more: &Value, status: u16, text: &'static str) -> Harness {
    harness(&PLUGIN, body(more)).fetches(move |_| told(status, text))
}

fn ask(bench: &mut Harness) -> Outcome {
    bench.send("GET", "/orders/7?x=1", &[("Authorization", "Bearer abc")], "")
}

#[test]
fn keycloak_decides_over_the_permissions() {
    for (more, wanted) in [
        (json!({ "permissions": ["orders", "items#read"] }), vec!["orders", "items#read"]),
        (
            json!({ "permissions": ["orders", "items#read"], "http_method_as_scope": true }),
            vec!["orders#GET", "items#read, GET"],
        ),
        (json!({ "permissions": [], "policy_enforcement_mode": "PERMISSIVE" }), vec![]),
    ] {
        let mut bench = deciding(&more, 200, r#"{"result":true}"#);
        // Twice: what one request asks for must not show in the next (CVE-2026-82806).
        for _ in 0..2 {
            ask(&mut bench).expect_status(200);
        }
        let calls = bench.worker().calls();
        assert_eq!(calls.len(), 2);
        for call in calls {
            assert_eq!((call.method.as_str(), call.url.as_str()), ("POST", TOKEN));
            assert_eq!(call.fields.get_str("authorization"), Some("Bearer abc"));
            let form = String::from_utf8(call.body.to_vec()).unwrap();
            let grant = form::value(&form, "grant_type");
            assert_eq!(grant.as_deref(), Some("urn:ietf:params:oauth:grant-type:uma-ticket"));
            assert_eq!(form::value(&form, "audience").as_deref(), Some("shop"));
            assert_eq!(form::value(&form, "response_mode").as_deref(), Some("decision"));
            let asked = form.split('&').filter_map(|pair| pair.strip_prefix("permission="));
            assert_eq!(asked.map(form::decode).collect::<Vec<_>>(), wanted);
        }
    }
    let mut bench = deciding(&json!({}), 200, r#"{"result":true}"#);
    bench.send("GET", "/", &[("Authorization", "abc")], "").expect_status(200);
    assert_eq!(bench.worker().calls()[0].fields.get_str("authorization"), Some("Bearer abc"));
}

#[test]
fn a_refusal_is_keycloaks_own() {
    let mut bench = deciding(&json!({}), 403, r#"{"error":"access_denied"}"#);
    let outcome = ask(&mut bench);
    assert_eq!((outcome.status(), outcome.text()), (403, r#"{"error":"access_denied"}"#));
    let mut bench = deciding(&json!({}), 401, r#"{"error":"invalid_grant"}"#);
    assert_eq!(ask(&mut bench).status(), 401);
    let mut bench = deciding(&json!({ "access_denied_redirect_uri": "https://shop.test/no" }), 403, "{}");
    let outcome = ask(&mut bench);
    assert_eq!((outcome.status(), outcome.field("location")), (307, Some("https://shop.test/no")));
    let mut bench = deciding(&json!({ "permissions": [] }), 200, r#"{"result":true}"#);
    let outcome = ask(&mut bench);
    let text = r#"{"error":"access_denied","error_description":"not_authorized"}"#;
    assert_eq!((outcome.status(), outcome.text()), (403, text));
    assert!(bench.worker().calls().is_empty());
    let outcome = bench.get("/");
    assert_eq!((outcome.status(), outcome.text()), (401, "{\"message\":\"Missing JWT token in request\"}\n"));
}

#[test]
fn a_keycloak_that_fails_refuses() {
    for (status, text) in
        [(200, ""), (200, "yes"), (200, r#"{"result":false}"#), (200, "{}"), (204, ""), (302, "")]
    {
        assert_eq!(ask(&mut deciding(&json!({}), status, text)).status(), 503, "{status} {text}");
    }
    for failure in [FetchError::TimedOut("kc".into()), FetchError::Forbidden("169.254.169.254".into())] {
        let mut bench = harness(&PLUGIN, body(&json!({}))).fetches(move |_| Err(failure.clone()));
        assert_eq!(ask(&mut bench).status(), 503);
    }
}

#[test]
fn resources_are_looked_up_with_the_gateways_own_token() {
    let tokens = Rc::new(Cell::new(0));
    let counted = Rc::clone(&tokens);
    let keycloak = move |call: &Call| {
        let form = String::from_utf8(call.body.to_vec()).unwrap();
        match call.url.split('?').next().unwrap() {
            "https://kc.test/uma2" => told(
                200,
                json!({ "token_endpoint": TOKEN, "resource_registration_endpoint": "https://kc.test/resources" }).to_string(),
            ),
            "https://kc.test/resources" => {
                assert_eq!(call.fields.get_str("authorization"), Some("Bearer own"));
                assert!(call.url.ends_with("?uri=%2Forders%2F7%3Fx%3D1&matchingUri=true"), "{}", call.url);
                told(200, r#"["id-1"]"#)
            }
            TOKEN if form::value(&form, "grant_type").as_deref() == Some("client_credentials") => {
                assert_eq!(form::value(&form, "client_secret").as_deref(), Some("s"));
                counted.set(counted.get() + 1);
                told(200, r#"{"access_token":"own","expires_in":60}"#)
            }
            TOKEN => {
                assert_eq!(form::value(&form, "permission").as_deref(), Some("id-1"));
                told(200, r#"{"result":true}"#)
            }
            other => panic!("nobody asked for {other}"),
        }
    };
    let body = json!({ "discovery": "https://kc.test/uma2", "client_id": "shop", "client_secret": "s", "lazy_load_paths": true });
    let mut bench = harness(&PLUGIN, body).fetches(keycloak);
    ask(&mut bench).expect_status(200);
    ask(&mut bench).expect_status(200);
    assert_eq!(tokens.get(), 1, "the token is kept");
    bench.pass(Duration::from_secs(60));
    ask(&mut bench).expect_status(200);
    assert_eq!(tokens.get(), 2);
    let asked = bench.worker().calls().iter().filter(|call| call.url.ends_with("uma2")).count();
    assert_eq!(asked, 1, "the discovery document is kept");
}

#[test]
fn passwords_are_exchanged_where_that_was_asked_for() {
    let more = json!({ "password_grant_token_generation_incoming_uri": "/token", "client_secret": "s" });
    let mut bench = deciding(&more, 200, r#"{"access_token":"t"}"#);
    let kind = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")];
    let outcome = bench.send("POST", "/token", &kind, "username=ann&password=a%26b");
    assert_eq!((outcome.status(), outcome.text()), (200, r#"{"access_token":"t"}"#));
    let form = String::from_utf8(bench.worker().calls()[0].body.to_vec()).unwrap();
    assert_eq!(form, "grant_type=password&client_id=shop&client_secret=s&username=ann&password=a%26b");
    for (sent, message) in [("password=x", "username is missing."), ("username=x", "password is missing.")] {
        let outcome = bench.send("POST", "/token", &kind, sent);
        assert_eq!(
            (outcome.status(), outcome.text()),
            (422, format!("{{\"message\":\"{message}\"}}\n").as_str())
        );
    }
    bench.send("GET", "/token", &kind, "").expect_status(401);
    let mut bench = deciding(&more, 200, "<html>");
    bench.send("POST", "/token", &kind, "username=a&password=b").expect_status(401);
}

#[test]
fn bodies_that_can_not_work_or_are_not_safe_are_refused_by_name() {
    for (body, wanted) in [
        (json!({ "client_id": "a" }), "allOf"),
        (json!({ "token_endpoint": TOKEN }), "property \"client_id\" is required"),
        (json!({ "token_endpoint": TOKEN, "client_id": "a", "lazy_load_paths": true }), "allOf"),
        (
            json!({ "discovery": TOKEN, "client_id": "a", "lazy_load_paths": true }),
            "property \"client_secret\" is required",
        ),
        (json!({ "token_endpoint": "http://kc.test/token", "client_id": "a" }), "\"allow_plain_http\""),
        (json!({ "token_endpoint": TOKEN, "client_id": "a", "timeout": 999 }), "property \"timeout\""),
        (
            json!({ "token_endpoint": TOKEN, "client_id": "a", "grant_type": "password" }),
            "property \"grant_type\"",
        ),
        (
            json!({ "token_endpoint": TOKEN, "client_id": "a", "permissions": ["a", "a"] }),
            "property \"permissions\"",
        ),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().map(|error| error.message).unwrap_or_default();
        assert!(error.contains(wanted), "{body}: {error}");
    }
    let allowed =
        json!({ "token_endpoint": "http://kc.test/token", "client_id": "a", "allow_plain_http": true });
    assert!(try_harness(&PLUGIN, allowed).is_ok());
}
