//! Logins in a browser, their sessions and their end.
#![cfg(test)]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use usher_model::jose::algorithm::Algorithm;
use usher_model::jose::signing::Signer;
use usher_pipeline::harness::{Harness, Outcome};

use super::standin::{Browser, ISSUER, NOW, Provider, body};
use crate::form;

pub(super) fn with_session(more: &Value) -> Value {
    let mut all =
        json!({ "session": { "secret": "0123456789abcdef" }, "redirect_uri": "/callback", "use_pkce": true });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body(&all)
}

/// Where an answer leads, as the arguments of the URL.
fn arguments(outcome: &Outcome) -> String {
    let location =
        outcome.field("location").unwrap_or_else(|| panic!("it leads nowhere: {}", outcome.status()));
    location.split_once('?').map_or("", |(_, query)| query).to_owned()
}

/// Begins a login, and has the provider remember it; the state.
fn begin(provider: &Provider, bench: &mut Harness, browser: &mut Browser, target: &str) -> String {
    let outcome = browser.get(bench, target);
    outcome.expect_status(302);
    let arguments = arguments(&outcome);
    *provider.nonce.borrow_mut() = form::value(&arguments, "nonce").unwrap();
    *provider.challenge.borrow_mut() = form::value(&arguments, "code_challenge");
    form::value(&arguments, "state").unwrap()
}

fn end(bench: &mut Harness, browser: &mut Browser, state: &str) -> Outcome {
    browser.get(bench, &format!("/callback?code=the-code&state={state}"))
}

pub(super) fn logged_in(provider: &Provider, bench: &mut Harness) -> Browser {
    let mut browser = Browser::default();
    let state = begin(provider, bench, &mut browser, "/");
    end(bench, &mut browser, &state).expect_status(302);
    browser
}

#[test]
fn a_browser_goes_to_the_provider_and_comes_back_with_a_session() {
    let provider = Provider::start();
    let mut bench = provider.bench(with_session(&json!({ "authorization_params": { "prompt": "login" } })));
    let mut browser = Browser::default();
    let outcome = browser.get(&mut bench, "/a?b=c");
    outcome.expect_status(302);
    assert!(outcome.field("location").unwrap().starts_with(&format!("{ISSUER}/auth?response_type=code&")));
    let told = arguments(&outcome);
    for (name, wanted) in [
        ("client_id", "shop"),
        ("scope", "openid"),
        ("redirect_uri", "http://a.test/callback"),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
    ] {
        assert_eq!(form::value(&told, name).as_deref(), Some(wanted));
    }
    let state = begin(&provider, &mut bench, &mut browser, "/a?b=c");
    let outcome = end(&mut bench, &mut browser, &state);
    assert_eq!((outcome.status(), outcome.field("location")), (302, Some("/a?b=c")));
    let cookie = outcome.head.get_all("set-cookie").find(|line| line.starts_with(b"session=")).unwrap();
    assert!(cookie.ends_with(b"; Path=/; HttpOnly; SameSite=Lax"));
    let outcome = browser.get(&mut bench, "/a?b=c");
    outcome.expect_status(200);
    let head = &outcome.seen().head;
    assert_eq!(head.get_str("x-access-token"), Some("first-access"));
    let told = |name: &str| -> Value {
        serde_json::from_slice(&STANDARD.decode(head.get(name).unwrap()).unwrap()).unwrap()
    };
    assert_eq!(told("x-userinfo"), json!({ "sub": "ann", "groups": ["staff"] }));
    assert_eq!(told("x-id-token")["sub"], "ann");
    assert!(!head.contains("cookie"), "the session is nothing to the upstream");
    let call = provider.calls.borrow().iter().find(|call| call.url.ends_with("/token")).unwrap().clone();
    let sent = String::from_utf8(call.body.to_vec()).unwrap();
    assert_eq!(form::value(&sent, "redirect_uri").as_deref(), Some("http://a.test/callback"));
    assert!(form::value(&sent, "code_verifier").is_some_and(|verifier| verifier.len() >= 43));
}

/// CVE-2026-49871 and its kin: a login is ended by the browser that began it, once. What ends none leads a browser to where it wanted to go, and a
/// stranger nowhere.
#[test]
fn a_state_is_taken_once_and_from_its_own_browser() {
    let provider = Provider::start();
    let mut bench = provider.bench(with_session(&json!({})));
    let mut browser = Browser::default();
    let state = begin(&provider, &mut bench, &mut browser, "/a?b=c");
    let kept = Browser(browser.0.clone());
    for target in [
        "/callback?code=the-code".to_owned(),
        "/callback?code=the-code&state=".to_owned(),
        format!("/callback?state={}", &state[1..]),
        format!("/callback?error=access_denied&state={state}"),
    ] {
        browser.get(&mut bench, &target).expect_status(500);
    }
    let leads_back = |outcome: &Outcome| {
        assert_eq!((outcome.status(), outcome.field("location")), (302, Some("/a?b=c")));
        assert!(!outcome.head.get_all("set-cookie").any(|line| line.starts_with(b"session=")));
    };
    leads_back(&end(&mut bench, &mut browser, &format!("{state}x")));
    let posted = [("Cookie", browser.cookies())];
    let posted: Vec<(&str, &str)> = posted.iter().map(|(name, value)| (*name, value.as_str())).collect();
    bench.send("POST", "/callback?code=the-code&state=other", &posted, "").expect_status(500);
    end(&mut bench, &mut Browser::default(), &state).expect_status(500);
    assert_eq!(end(&mut bench, &mut browser, &state).status(), 302);
    leads_back(&end(&mut bench, &mut browser, &state));
    browser.get(&mut bench, "/a?b=c").expect_status(200);
    let mut thief = kept;
    leads_back(&end(&mut bench, &mut thief, &state));
    thief.get(&mut bench, "/a?b=c").expect_status(302);
    let mut slow = Browser::default();
    let state = begin(&provider, &mut bench, &mut slow, "/a?b=c");
    bench.pass(Duration::from_secs(601));
    leads_back(&end(&mut bench, &mut slow, &state));
    assert_eq!(provider.asked("/token"), 1, "a code is exchanged where a login ends");
}

#[test]
fn an_id_token_that_does_not_fit_gives_no_session() {
    for claims in [
        json!({ "iss": "https://idp.test/other" }),
        json!({ "aud": "another" }),
        json!({ "aud": ["another"] }),
        json!({ "aud": ["shop", "another"], "azp": "another" }),
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "exp": null }),
        json!({ "exp": NOW - 1000 }),
        json!({ "sub": null }),
        json!({ "sub": "bob" }),
    ] {
        let provider = Provider::start();
        let mut bench = provider.bench(with_session(&json!({})));
        let mut browser = Browser::default();
        let state = begin(&provider, &mut bench, &mut browser, "/");
        *provider.claims.borrow_mut() = claims.clone();
        let outcome = end(&mut bench, &mut browser, &state);
        assert_eq!(outcome.status(), 500, "{claims}");
        assert!(!browser.0.contains_key("session"), "{claims}");
    }
    let provider = Provider::start();
    let mut bench = provider.bench(with_session(&json!({})));
    let mut browser = Browser::default();
    let state = begin(&provider, &mut bench, &mut browser, "/");
    let forged = Signer::generate(Algorithm::Es256).with_kid("one").token(&provider.usual_claims());
    *provider.tokens.borrow_mut() = json!({ "id_token": forged });
    end(&mut bench, &mut browser, &state).expect_status(500);
    let state = begin(&provider, &mut bench, &mut browser, "/");
    *provider.challenge.borrow_mut() = Some("another".to_owned());
    end(&mut bench, &mut browser, &state).expect_status(500);
}

/// CVE-2026-47339 and CVE-2026-49872: a session is good for its own provider and client.
#[test]
fn a_session_is_no_good_elsewhere_or_changed() {
    let provider = Provider::start();
    let mut bench = provider.bench(with_session(&json!({})));
    let browser = logged_in(&provider, &mut bench);
    for more in [
        json!({ "client_id": "another" }),
        json!({ "discovery": "https://idp.test/other/.well-known/openid-configuration" }),
        json!({ "session": { "secret": "another secret of 16" } }),
    ] {
        let mut more = more;
        more["unauth_action"] = json!("deny");
        let mut other = provider.bench(with_session(&more));
        Browser(browser.0.clone()).get(&mut other, "/").expect_status(401);
    }
    let session = browser.0["session"].as_str().unwrap().to_owned();
    let mut denying = provider.bench(with_session(&json!({ "unauth_action": "deny" })));
    for at in [0, 5, 20, session.len() / 2, session.len() - 2] {
        let mut changed = session.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let mut browser = Browser::default();
        browser.0.insert("session".to_owned(), json!(String::from_utf8(changed).unwrap()));
        browser.get(&mut denying, "/").expect_status(401);
    }
    Browser(browser.0.clone()).get(&mut denying, "/").expect_status(200);
}

#[test]
fn a_logout_ends_the_session_and_its_copies() {
    let provider = Provider::start();
    let more = json!({ "post_logout_redirect_uri": "https://shop.test/bye", "unauth_action": "deny" });
    let mut bench = provider.bench(with_session(&json!({})));
    let browser = logged_in(&provider, &mut bench);
    let mut bench = bench
        .beside(
            "/apisix/routes/2",
            &[("openid-connect".to_owned(), with_session(&more))].into_iter().collect(),
        )
        .unwrap();
    let copy = Browser(browser.0.clone());
    let mut browser = browser;
    browser.get(&mut bench, "/").expect_status(200);
    let outcome = browser.get(&mut bench, "/logout");
    outcome.expect_status(302);
    let told = arguments(&outcome);
    assert!(outcome.field("location").unwrap().starts_with(&format!("{ISSUER}/logout?")));
    assert_eq!(form::value(&told, "post_logout_redirect_uri").as_deref(), Some("https://shop.test/bye"));
    assert!(form::value(&told, "id_token_hint").is_some());
    assert!(browser.0.is_empty(), "{:?}", browser.0.keys());
    browser.get(&mut bench, "/").expect_status(401);
    Browser(copy.0).get(&mut bench, "/").expect_status(401);
}

/// Keycloak says so where somebody has taken too long at its login page.
#[test]
fn a_provider_that_is_busy_is_asked_again_a_few_times() {
    let provider = Provider::start();
    let mut bench = provider.bench(with_session(&json!({})));
    let mut browser = Browser::default();
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let state = begin(&provider, &mut bench, &mut browser, "/a?b=c");
        let busy = format!("/callback?error=temporarily_unavailable&state={state}");
        Browser::default().get(&mut bench, &busy).expect_status(500);
        let outcome = browser.get(&mut bench, &busy);
        statuses.push(outcome.status());
        if outcome.status() == 302 {
            assert_eq!(outcome.field("location"), Some("/a?b=c"));
        }
    }
    assert_eq!(statuses, [302, 302, 302, 500, 500]);
    let state = begin(&provider, &mut bench, &mut browser, "/");
    end(&mut bench, &mut browser, &state).expect_status(302);
    browser.get(&mut bench, "/logout").expect_status(302);
    let state = begin(&provider, &mut bench, &mut browser, "/");
    let busy = format!("/callback?error=temporarily_unavailable&state={state}");
    browser.get(&mut bench, &busy).expect_status(302);
}

#[test]
fn a_logout_that_the_provider_can_not_be_told_of_ends_the_session_here() {
    let provider = Provider::start();
    let mut browser = logged_in(&provider, &mut provider.bench(with_session(&json!({}))));
    // A gateway that starts while the provider is away.
    provider.is_away.set(true);
    let mut bench = provider.bench(with_session(&json!({ "unauth_action": "deny" })));
    let copy = Browser(browser.0.clone());
    browser.get(&mut bench, "/").expect_status(200);
    browser.get(&mut bench, "/logout").expect_status(503);
    assert!(browser.0.is_empty(), "{:?}", browser.0.keys());
    Browser(copy.0).get(&mut bench, "/").expect_status(401);
}

#[test]
fn a_user_who_does_not_fit_is_told_why() {
    let provider = Provider::start();
    let schema = json!({ "claim_schema": { "properties": { "user": { "required": ["team"] } } } });
    let mut bench = provider.bench(with_session(&schema));
    let mut browser = Browser::default();
    let state = begin(&provider, &mut bench, &mut browser, "/");
    let outcome = end(&mut bench, &mut browser, &state);
    let challenge = outcome.expect_status(401).field("www-authenticate").unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    *provider.user.borrow_mut() = json!({ "sub": "ann", "team": "a" });
    logged_in(&provider, &mut bench).get(&mut bench, "/").expect_status(200);
}

#[test]
fn an_access_token_is_renewed_and_sessions_end() {
    let provider = Provider::start();
    let mut bench = provider.bench(with_session(&json!({})));
    let mut browser = logged_in(&provider, &mut bench);
    bench.pass(Duration::from_secs(299));
    let outcome = browser.get(&mut bench, "/");
    assert_eq!(outcome.seen().head.get_str("x-access-token"), Some("first-access"));
    bench.pass(Duration::from_secs(1));
    let outcome = browser.get(&mut bench, "/");
    assert_eq!(outcome.seen().head.get_str("x-access-token"), Some("second-access"));
    assert!(outcome.head.contains("set-cookie"));
    let asked = provider.asked("/token");
    browser.get(&mut bench, "/").expect_status(200);
    assert_eq!(provider.asked("/token"), asked, "the new one is kept");
    let idle = Browser(browser.0.clone());
    bench.pass(Duration::from_secs(900));
    let mut idle = idle;
    idle.get(&mut bench, "/").expect_status(302);
    let mut bench = provider.bench(with_session(
        &json!({ "session": { "secret": "0123456789abcdef", "absolute_timeout": 1000 } }),
    ));
    let mut browser = logged_in(&provider, &mut bench);
    for _ in 0..3 {
        bench.pass(Duration::from_secs(300));
        browser.get(&mut bench, "/").expect_status(200);
    }
    bench.pass(Duration::from_secs(100));
    browser.get(&mut bench, "/").expect_status(302);
    let mut bench = provider.bench(with_session(&json!({ "unauth_action": "deny" })));
    let mut browser = logged_in_by(&provider, &mut bench);
    provider.is_away.set(true);
    browser.get(&mut bench, "/").expect_status(200);
    bench.pass(Duration::from_secs(300));
    browser.get(&mut bench, "/").expect_status(401);
}

/// A session for a route that sends nobody to the provider, got on one beside that does.
fn logged_in_by(provider: &Provider, bench: &mut Harness) -> Browser {
    let bodies = [("openid-connect".to_owned(), with_session(&json!({})))].into_iter().collect();
    let mut beside = bench.beside("/apisix/routes/2", &bodies).unwrap();
    logged_in(provider, &mut beside)
}

#[test]
fn large_tokens_take_several_cookies() {
    let provider = Provider::start();
    *provider.tokens.borrow_mut() = json!({ "access_token": "a".repeat(6000) });
    let mut bench = provider.bench(with_session(&json!({})));
    let mut browser = logged_in(&provider, &mut bench);
    let names: Vec<&String> = browser.0.keys().collect();
    assert!(names.iter().any(|name| *name == "session3"), "{names:?}");
    assert!(browser.0.values().all(|value| value.as_str().unwrap().len() <= 3600));
    let outcome = browser.get(&mut bench, "/");
    assert_eq!(outcome.seen().head.get_str("x-access-token").unwrap().len(), 6000);
    *provider.tokens.borrow_mut() = json!({ "access_token": "a".repeat(60000) });
    let mut browser = Browser::default();
    let state = begin(&provider, &mut bench, &mut browser, "/");
    end(&mut bench, &mut browser, &state).expect_status(500);
}

#[test]
fn who_has_no_session_is_met_as_told() {
    let provider = Provider::start();
    provider.bench(with_session(&json!({ "unauth_action": "deny" }))).get("/").expect_status(401);
    let outcome =
        Browser::default().get(&mut provider.bench(with_session(&json!({ "unauth_action": "pass" }))), "/");
    outcome.expect_status(200);
    assert!(!outcome.seen().head.contains("x-userinfo") && !outcome.seen().head.contains("x-id-token"));
    provider.is_away.set(true);
    provider.bench(with_session(&json!({}))).get("/").expect_status(500);
    let provider = Provider::start();
    let mut usual = provider.bench(body(&json!({ "session": { "secret": "0123456789abcdef" } })));
    let outcome = usual.get("/a/b/?x=1");
    let back = form::value(&arguments(&outcome), "redirect_uri");
    assert_eq!(back.as_deref(), Some("http://a.test/a/b/.apisix/redirect"));
    let mut secure = provider.bench(with_session(&json!({ "redirect_uri": "https://shop.test/callback" })));
    let outcome = secure.get("/");
    assert!(outcome.field("set-cookie").unwrap().contains("; Secure"));
    let session = json!({ "session": { "secret": "0123456789abcdef", "cookie_same_site": "Default" } });
    let outcome = provider.bench(with_session(&session)).get("/");
    assert!(!outcome.field("set-cookie").unwrap().contains("SameSite"));
}
