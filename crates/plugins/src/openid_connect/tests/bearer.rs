//! Tokens that a client brings.
#![cfg(test)]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use usher_model::jose::algorithm::Algorithm;
use usher_model::jose::signing::Signer;
use usher_model::jose::token::encode;
use usher_pipeline::harness::{Harness, Outcome, try_harness_of};

use super::super::PLUGIN;
use super::standin::{ISSUER, NOW, Provider, body, refusal};
use crate::acl;

/// Every header that the upstream believes, as a client might send it.
const SPOOFED: [(&str, &str); 6] = [
    ("X-Userinfo", "spoofed"),
    ("X_Userinfo", "spoofed"),
    ("x-id-token", "spoofed"),
    ("X-Raw-ID-Token", "spoofed"),
    ("X-Refresh-Token", "spoofed"),
    ("X-Other", "stays"),
];

fn ask(bench: &mut Harness, token: &str) -> Outcome {
    let field = format!("Bearer {token}");
    let mut fields = SPOOFED.to_vec();
    fields.push(("Authorization", &field));
    bench.send("GET", "/", &fields, "")
}

fn jwks(more: &Value) -> Value {
    let mut all = json!({ "bearer_only": true, "use_jwks": true });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body(&all)
}

#[test]
fn a_token_of_the_provider_lets_in_and_tells_the_upstream() {
    let provider = Provider::start();
    let mut bench = provider.bench(jwks(&json!({})));
    let token = provider.token(&json!({}));
    let outcome = ask(&mut bench, &token);
    outcome.expect_status(200);
    let head = &outcome.seen().head;
    assert_eq!(head.get_str("x-access-token"), Some(token.as_str()));
    let user: Value =
        serde_json::from_slice(&STANDARD.decode(head.get("x-userinfo").unwrap()).unwrap()).unwrap();
    assert_eq!(user["sub"], "ann");
    let left: Vec<&str> =
        head.iter().filter(|(_, value)| *value == b"spoofed").map(|(name, _)| name).collect();
    assert!(left.is_empty() && head.contains("x-other"), "{left:?}");
    for _ in 0..5 {
        ask(&mut bench, &token).expect_status(200);
    }
    assert_eq!((provider.asked("configuration"), provider.asked("/jwks")), (1, 1), "both are kept");
    let outcome = bench.send("GET", "/", &[("X-Access-Token", &token)], "");
    assert_eq!(outcome.seen().head.get_str("x-access-token"), Some(token.as_str()));
}

#[test]
fn a_request_without_a_token_is_challenged() {
    let mut bench = Provider::start().bench(jwks(&json!({ "realm": "my \"shop\"" })));
    let outcome = bench.get("/");
    assert_eq!((outcome.status(), outcome.text()), (401, ""));
    assert_eq!(outcome.field("www-authenticate"), Some(r#"Bearer realm="my \"shop\"""#));
    bench.send("GET", "/", &[("Authorization", "Basic eDp5")], "").expect_status(401);
    for nothing in ["Bearer", "Basic", "a-token", ""] {
        let outcome = bench.send("GET", "/", &[("Authorization", nothing)], "");
        assert_eq!(outcome.status(), 400, "{nothing:?}");
    }
    bench
        .send("GET", "/", &[("Authorization", "Bearer a"), ("Authorization", "Bearer b")], "")
        .expect_status(400);
}

/// CVE-2025-46647 and CVE-2026-94276: tokens of other issuers.
#[test]
fn whatever_is_not_this_providers_token_lets_nobody_in() {
    let provider = Provider::start();
    let mut bench = provider.bench(jwks(&json!({})));
    let stranger = Signer::generate(Algorithm::Es256).with_kid("one");
    let unsigned =
        format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(provider.usual_claims().to_string()));
    let public = provider.signer.borrow().public_pem();
    let confused = Signer::shared(Algorithm::Hs256, public.as_bytes()).token(&provider.usual_claims());
    let by_secret = Signer::shared(Algorithm::Hs256, b"s e:cret").token(&provider.usual_claims());
    for (token, what) in [
        (stranger.token(&provider.usual_claims()), "another key of the same id"),
        (unsigned, "no signature"),
        (confused, "the public key as a secret"),
        (by_secret, "the client's secret, which nobody expects"),
        (provider.token(&json!({ "iss": "https://idp.test/other" })), "another issuer"),
        (provider.token(&json!({ "iss": null })), "no issuer"),
        (provider.token(&json!({ "exp": NOW - 121 })), "expired"),
        (provider.token(&json!({ "nbf": NOW + 121 })), "not yet valid"),
        (provider.token(&json!({ "exp": "soon" })), "no time"),
        ("a.b.c".to_owned(), "nonsense"),
    ] {
        let outcome = ask(&mut bench, &token);
        assert_eq!(outcome.status(), 401, "{what}");
        let challenge = outcome.field("www-authenticate").unwrap();
        assert!(
            challenge.starts_with("Bearer realm=\"apisix\", error=\"invalid_token\", error_description=\"")
        );
    }
    assert!(provider.asked("/jwks") <= 2, "strangers can't make the gateway ask for keys again and again");
}

#[test]
fn keys_are_asked_for_anew_when_the_provider_changes_them() {
    let provider = Provider::start();
    let mut bench = provider.bench(jwks(&json!({})));
    ask(&mut bench, &provider.token(&json!({}))).expect_status(200);
    *provider.signer.borrow_mut() = Signer::generate(Algorithm::EdDsa).with_kid("two");
    bench.pass(Duration::from_secs(11));
    ask(&mut bench, &provider.token(&json!({}))).expect_status(200);
    provider.is_away.set(true);
    bench.pass(Duration::from_secs(100_000));
    let late = provider.token(&json!({ "exp": NOW + 1_000_000 }));
    ask(&mut bench, &late).expect_status(200);
    let unknown = Signer::generate(Algorithm::EdDsa).with_kid("three").token(&provider.usual_claims());
    ask(&mut bench, &unknown).expect_status(401);
}

#[test]
fn a_provider_that_is_away_lets_nobody_in() {
    for more in [
        json!({ "use_jwks": true }),
        json!({}),
        json!({ "use_jwks": true, "session": { "secret": "0123456789abcdef" } }),
    ] {
        let provider = Provider::start();
        provider.is_away.set(true);
        let mut all = json!({ "bearer_only": true });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let outcome = ask(&mut provider.bench(body(&all)), &provider.token(&json!({})));
        outcome.expect_status(401);
    }
}

#[test]
fn a_public_key_verifies_without_asking_for_keys() {
    let provider = Provider::start();
    let pem = provider.signer.borrow().public_pem();
    let more = json!({
        "bearer_only": true, "public_key": pem,
        "claim_validator": { "issuer": { "valid_issuers": [ISSUER, "b"] } }
    });
    let mut bench = provider.bench(body(&more));
    ask(&mut bench, &provider.token(&json!({ "iss": "b" }))).expect_status(200);
    ask(&mut bench, &provider.token(&json!({ "iss": "c" }))).expect_status(401);
    assert_eq!(provider.calls.borrow().len(), 0);
    let confused = Signer::shared(Algorithm::Hs256, pem.as_bytes()).token(&provider.usual_claims());
    ask(&mut bench, &confused).expect_status(401);
    let mut hs = provider.bench(body(
        &json!({ "bearer_only": true, "use_jwks": true, "token_signing_alg_values_expected": "HS256" }),
    ));
    let shared = Signer::shared(Algorithm::Hs256, b"s e:cret").token(&provider.usual_claims());
    ask(&mut hs, &shared).expect_status(200);
    ask(&mut hs, &provider.token(&json!({}))).expect_status(401);
}

#[test]
fn the_provider_judges_tokens_that_nobody_can_read() {
    let provider = Provider::start();
    let mut bench = provider.bench(body(&json!({ "bearer_only": true })));
    ask(&mut bench, "opaque").expect_status(200);
    let call = provider.calls.borrow().iter().find(|call| call.url.ends_with("/introspect")).unwrap().clone();
    assert_eq!(&call.body[..], b"token=opaque&token_type_hint=access_token");
    let login = format!("Basic {}", STANDARD.encode("shop:s%20e%3Acret"));
    assert_eq!(call.fields.get_str("authorization"), Some(login.as_str()));
    for told in [
        json!({ "active": false }),
        json!({ "active": "true" }),
        json!({}),
        json!({ "active": true, "iss": "https://idp.test/other" }),
        json!({ "active": true, "exp": 1 }),
    ] {
        *provider.introspection.borrow_mut() = told.clone();
        assert_eq!(ask(&mut bench, "opaque").status(), 401, "{told}");
    }
    let more = json!({
        "bearer_only": true, "introspection_endpoint": format!("{ISSUER}/introspect"),
        "introspection_endpoint_auth_method": "client_secret_post", "introspection_interval": 60
    });
    *provider.introspection.borrow_mut() = json!({ "active": true, "exp": NOW + 30 });
    provider.calls.borrow_mut().clear();
    let mut bench = provider.bench(body(&more));
    ask(&mut bench, "opaque").expect_status(200);
    ask(&mut bench, "opaque").expect_status(200);
    assert_eq!(provider.asked("/introspect"), 1);
    ask(&mut bench, "another").expect_status(200);
    assert_eq!(provider.asked("/introspect"), 2);
    let form = String::from_utf8(provider.calls.borrow()[0].body.to_vec()).unwrap();
    assert!(form.ends_with("&client_id=shop&client_secret=s%20e%3Acret"), "{form}");
    *provider.introspection.borrow_mut() = json!({ "active": false });
    bench.pass(Duration::from_secs(31));
    ask(&mut bench, "opaque").expect_status(401);
}

#[test]
fn scopes_and_audience_are_asked_for() {
    let provider = Provider::start();
    let mut bench = provider.bench(jwks(&json!({ "required_scopes": ["read", "a", "b"] })));
    let outcome = ask(&mut bench, &provider.token(&json!({})));
    assert_eq!(
        (outcome.status(), outcome.text()),
        (403, "{\"error\":\"required scopes read, a, b not present\"}\n")
    );
    ask(&mut bench, &provider.token(&json!({ "scope": "b read a" }))).expect_status(200);
    ask(&mut bench, &provider.token(&json!({ "scope": ["b", "read", "a"] }))).expect_status(200);
    let rules =
        json!({ "claim_validator": { "audience": { "required": true, "match_with_client_id": true } } });
    let mut bench = provider.bench(jwks(&rules));
    for (audience, wanted) in [
        (json!("shop"), None),
        (json!(["x", "shop"]), None),
        (json!("x"), Some("mismatched audience")),
        (json!(["x"]), Some("mismatched audience")),
        (json!(7), Some("mismatched audience")),
        (Value::Null, Some("required audience claim not present")),
    ] {
        let outcome = ask(&mut bench, &provider.token(&json!({ "aud": audience })));
        match wanted {
            None => drop(outcome.expect_status(200)),
            Some(error) => assert_eq!(outcome.text(), format!("{{\"error\":\"{error}\"}}\n")),
        }
    }
    let schema = json!({ "claim_schema": { "required": ["team"] } });
    let mut bench = provider.bench(jwks(&schema));
    ask(&mut bench, &provider.token(&json!({}))).expect_status(401);
    ask(&mut bench, &provider.token(&json!({ "team": "a" }))).expect_status(200);
}

#[test]
fn headers_are_given_as_told_and_acl_judges_by_claims() {
    let provider = Provider::start();
    let more = json!({ "access_token_in_authorization_header": true, "set_userinfo_header": false });
    let token = provider.token(&json!({ "groups": ["staff", "admin"] }));
    let outcome = ask(&mut provider.bench(jwks(&more)), &token);
    let head = &outcome.seen().head;
    assert_eq!(head.get_str("authorization"), Some(format!("Bearer {token}").as_str()));
    assert!(!head.contains("x-access-token") && !head.contains("x-userinfo"));
    for (label, wanted) in [("admin", 200), ("root", 403)] {
        let bodies = Map::from_iter([
            ("openid-connect".to_owned(), jwks(&json!({}))),
            ("acl".to_owned(), json!({ "allow_labels": { "groups": [label] } })),
        ]);
        let from = std::rc::Rc::clone(&provider);
        let bench = try_harness_of(&[&PLUGIN, &acl::PLUGIN], bodies).unwrap();
        let mut bench = bench.fetches(move |call| from.answer(call));
        assert_eq!(ask(&mut bench, &token).status(), wanted, "{label}");
    }
}

#[test]
fn bodies_that_can_not_work_or_are_not_safe_are_refused_by_name() {
    for (more, wanted) in [
        (json!({ "client_secret": null }), "property \"client_secret\" is required"),
        (json!({}), "property \"session.secret\" is required when \"bearer_only\" is false"),
        (json!({ "session": { "secret": "short" } }), "property \"session\""),
        (
            json!({ "session": { "secret": "0123456789abcdef", "cookie_httponly": false } }),
            "property \"session\"",
        ),
        (
            json!({ "session": { "secret": "0123456789abcdef", "storage": "redis" } }),
            "property \"redis\" is required where storage is redis",
        ),
        (
            json!({ "bearer_only": true, "use_par": true }),
            "property \"use_par\" is not allowed, use \"par.enabled\" instead",
        ),
        (
            json!({ "bearer_only": true, "use_dpop": true }),
            "property \"use_dpop\" is not allowed, use \"dpop.enabled\" instead",
        ),
        (json!({ "session": { "secret": "0123456789abcdef", "cookie_name": "a;b" } }), "cookie_name"),
        (json!({ "bearer_only": true, "discovery": "http://idp.test/x" }), "\"allow_plain_http\""),
        (
            json!({ "bearer_only": true, "introspection_endpoint": "http://idp.test/x" }),
            "\"introspection_endpoint\"",
        ),
        (json!({ "bearer_only": true, "discovery": "idp.test" }), "property \"discovery\""),
        (json!({ "bearer_only": true, "accept_none_alg": true }), "property \"accept_none_alg\""),
        (
            json!({ "bearer_only": true, "public_key": "x" }),
            "property \"public_key\" validation failed: it is no PEM",
        ),
        (
            json!({ "bearer_only": true, "proxy_opts": {} }),
            "property \"proxy_opts\" validation failed: it is not supported",
        ),
        (
            json!({ "bearer_only": true, "dpop": { "enabled": true, "private_key": "x" } }),
            "property \"dpop.enabled\" validation failed: it is not supported",
        ),
        (
            json!({ "bearer_only": true, "refresh_session_interval": 60 }),
            "property \"refresh_session_interval\" validation failed",
        ),
        (
            json!({ "bearer_only": true, "force_reauthorize": true }),
            "property \"force_reauthorize\" validation failed",
        ),
        (json!({ "bearer_only": true, "par": { "on": true } }), "property \"par\" validation failed"),
        (
            json!({ "bearer_only": true, "introspection_addon_headers": ["a: b"] }),
            "property \"introspection_addon_headers\" validation failed",
        ),
        (
            json!({ "bearer_only": true, "introspection_endpoint_auth_method": "private_key_jwt" }),
            "property \"client_rsa_private_key\" is required",
        ),
        (
            json!({ "bearer_only": true, "introspection_endpoint_auth_method": "private_key_jwt", "client_rsa_private_key": "sesame" }),
            "property \"client_rsa_private_key\" validation failed: it is no private key in PEM",
        ),
        (
            json!({ "bearer_only": true, "use_jwks": true, "client_secret": null, "introspection_endpoint_auth_method": "client_secret_jwt" }),
            "property \"client_secret\" is required",
        ),
        (
            json!({ "bearer_only": true, "use_pkce": true, "client_secret": null }),
            "property \"client_secret\" is required",
        ),
        (json!({ "bearer_only": true, "ssl_verify": "yes" }), "property \"ssl_verify\" validation failed"),
        (json!({ "bearer_only": true, "timeout": 0 }), "property \"timeout\""),
        (json!({ "bearer_only": true, "claim_schema": { "type": 7 } }), "property \"claim_schema\""),
        (json!({ "bearer_only": true, "realm": "a\nb" }), "property \"realm\""),
        (
            json!({ "session": { "secret": "0123456789abcdef" }, "redirect_uri": "javascript:x" }),
            "property \"redirect_uri\"",
        ),
    ] {
        let error = refusal(&more);
        assert!(error.contains(wanted), "{more}: {error}");
    }
    for more in [
        json!({ "bearer_only": true, "dpop": { "enabled": false }, "par": {}, "force_reauthorize": false }),
        json!({ "bearer_only": true, "cache_segment": "a", "jwt_verification_cache_ignore": true }),
        json!({ "bearer_only": true, "ssl_verify": "no" }),
        json!({ "bearer_only": true, "discovery": "http://127.0.0.1:8080/x" }),
        json!({ "bearer_only": true, "discovery": "http://idp.test/x", "allow_plain_http": true }),
        json!({ "bearer_only": true, "use_jwks": true, "client_secret": null }),
        json!({ "session": { "secret": "0123456789abcdef" }, "use_pkce": true, "client_secret": null }),
    ] {
        assert_eq!(refusal(&more), "", "{more}");
    }
}
