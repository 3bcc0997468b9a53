//! How the gateway names itself to the provider, and what else it tells it and ends there.
#![cfg(test)]

use std::time::Duration;

use serde_json::{Value, json};
use usher_model::jose::algorithm::Algorithm;
use usher_model::jose::signing::Signer;
use usher_model::jose::token::Token;

use super::standin::{Browser, ISSUER, NOW, Provider, body};
use crate::form;

fn browsing(more: &Value) -> Value {
    let mut all =
        json!({ "session": { "secret": "0123456789abcdef" }, "redirect_uri": "/callback", "use_pkce": true });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body(&all)
}

#[test]
fn assertions_stand_in_for_a_secret() {
    for (algorithm, method) in [
        (Algorithm::Rs256, "private_key_jwt"),
        (Algorithm::Rs512, "private_key_jwt"),
        (Algorithm::Es256, "private_key_jwt"),
        (Algorithm::Hs256, "client_secret_jwt"),
        (Algorithm::Hs512, "client_secret_jwt"),
    ] {
        let provider = Provider::start();
        let signer = Signer::generate(algorithm);
        let mut more = json!({
            "bearer_only": true, "introspection_endpoint_auth_method": method,
            "client_jwt_assertion_alg": algorithm.name(), "client_jwt_assertion_expires_in": 30,
        });
        let verifier = match signer.private_pem() {
            Some(pem) => {
                more["client_rsa_private_key"] = pem.into();
                more["client_rsa_private_key_id"] = "of-shop".into();
                more["client_secret"] = Value::Null;
                signer.verifier()
            }
            None => Signer::shared(algorithm, b"s e:cret").verifier(),
        };
        let mut bench = provider.bench(body(&more));
        bench.send("GET", "/", &[("Authorization", "Bearer opaque")], "").expect_status(200);
        let (told, is_basic) = provider.forms("/introspect").remove(0);
        assert!(!is_basic && !told.contains("client_secret"), "{told}");
        assert_eq!(form::value(&told, "client_id").as_deref(), Some("shop"));
        let kind = form::value(&told, "client_assertion_type").unwrap();
        assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let text = form::value(&told, "client_assertion").unwrap();
        let token = Token::parse(&text).unwrap();
        assert!(verifier.verifies(&token), "{}", algorithm.name());
        let claims = token.claims();
        for (name, wanted) in [
            ("iss", json!("shop")),
            ("sub", json!("shop")),
            ("aud", json!(format!("{ISSUER}/introspect"))),
            ("iat", json!(NOW)),
            ("exp", json!(NOW + 30)),
        ] {
            assert_eq!(claims[name], wanted, "{name}");
        }
        bench.send("GET", "/", &[("Authorization", "Bearer opaque")], "").expect_status(200);
        let again = form::value(&provider.forms("/introspect")[1].0, "client_assertion").unwrap();
        assert_ne!(Token::parse(&again).unwrap().claims()["jti"], claims["jti"], "an assertion is used once");
    }
}

#[test]
fn the_provider_is_told_what_headers_say_and_believed_as_its_claim_says() {
    let provider = Provider::start();
    *provider.introspection.borrow_mut() =
        json!({ "active": true, "good_until": NOW + 20, "exp": NOW + 3000 });
    let mut bench = provider.bench(body(&json!({
        "bearer_only": true, "introspection_interval": 600, "introspection_expiry_claim": "good_until",
        "introspection_addon_headers": ["X-Tenant", "Content-Type", "Host", "X-Missing"],
    })));
    let mut ask = |tenant: &str, wait: u64| {
        bench.pass(Duration::from_secs(wait));
        let fields =
            [("Authorization", "Bearer opaque"), ("X-Tenant", tenant), ("Content-Type", "text/evil")];
        bench.send("GET", "/", &fields, "").expect_status(200);
        provider.asked("/introspect")
    };
    // What one tenant's token is worth says nothing of another's.
    assert_eq!([ask("a", 0), ask("a", 0), ask("b", 0), ask("a", 21)], [1, 1, 2, 3]);
    let call = provider.calls.borrow().iter().find(|call| call.url.ends_with("/introspect")).unwrap().clone();
    assert_eq!(call.fields.get_str("x-tenant"), Some("a"));
    assert_eq!(call.fields.get_str("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(!call.fields.contains("x-missing") && !call.fields.contains("host"));
}

#[test]
fn a_login_may_be_left_with_the_provider_first() {
    for (more, is_basic) in [
        (json!({ "par": { "enabled": true } }), true),
        (
            json!({ "par": { "enabled": true, "endpoint": format!("{ISSUER}/other/par"), "endpoint_auth_method": "client_secret_post" } }),
            false,
        ),
    ] {
        let provider = Provider::start();
        let mut bench = provider.bench(browsing(&more));
        let mut browser = Browser::default();
        let outcome = browser.get(&mut bench, "/");
        if !is_basic {
            // The stand-in has nothing there.
            outcome.expect_status(500);
            let told = provider.forms("/other/par").remove(0).0;
            assert!(told.contains("&client_secret="), "{told}");
            continue;
        }
        let location = outcome.expect_status(302).field("location").unwrap_or_default().to_owned();
        assert_eq!(location, format!("{ISSUER}/auth?client_id=shop&request_uri=urn%3Aof%3Athis-login"));
        let (told, shows_secret) = provider.forms("/par").remove(0);
        assert!(shows_secret && told.starts_with("response_type=code&client_id=shop&"), "{told}");
        *provider.nonce.borrow_mut() = form::value(&told, "nonce").unwrap();
        *provider.challenge.borrow_mut() = form::value(&told, "code_challenge");
        let state = form::value(&told, "state").unwrap();
        browser.get(&mut bench, &format!("/callback?code=the-code&state={state}")).expect_status(302);
        browser.get(&mut bench, "/").expect_status(200);
    }
}

#[test]
fn a_logout_ends_tokens_at_the_provider_where_that_is_wanted() {
    for wanted in [true, false] {
        let provider = Provider::start();
        let mut bench = provider.bench(browsing(&json!({ "revoke_tokens_on_logout": wanted })));
        let mut browser = Browser::default();
        let location = browser.get(&mut bench, "/").field("location").unwrap().to_owned();
        let told = location.split_once('?').unwrap().1;
        *provider.nonce.borrow_mut() = form::value(told, "nonce").unwrap();
        *provider.challenge.borrow_mut() = form::value(told, "code_challenge");
        let state = form::value(told, "state").unwrap();
        browser.get(&mut bench, &format!("/callback?code=the-code&state={state}")).expect_status(302);
        browser.get(&mut bench, "/logout").expect_status(302);
        let ended: Vec<String> =
            provider.forms("/revoke").iter().map(|(told, _)| form::value(told, "token").unwrap()).collect();
        let all = ["refresh-me".to_owned(), "first-access".to_owned()];
        assert_eq!(ended, if wanted { all.to_vec() } else { Vec::new() });
    }
}
