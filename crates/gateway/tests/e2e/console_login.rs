//! Logging in to the console by an OpenID Connect provider: who gets in and as whom, and everything that gets nobody in.

mod browser;
mod programs;
mod provider;
mod restart;

use std::process::Command;

use browser::{Browser, audit, refusal, start};
use provider::{CLIENT, Mood, Provider, Signed, values};
use serde_json::{Value, json};
use usher_model::jose::algorithm::Algorithm;
use usher_model::jose::signing::Signer;

use crate::console::{missing, ui};
use crate::support::{Answer, KEY, Usher, request};

#[test]
fn each_role_gets_in_as_the_rules_say() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let provider = Provider::start(algorithm);
        let usher = start(&provider, "");
        let session = Browser::new(&usher).send("GET", "/session", &Value::Null).json();
        assert_eq!(session["provider"], json!("Conference ID"));
        for (person, name, role, may_plan) in [
            ("ann", "oidc:ann@conf.test", "admin", true),
            ("ed", "oidc:ed@conf.test", "editor", true),
            ("vi", "oidc-sub:3", "viewer", false),
        ] {
            let mut browser = Browser::new(&usher);
            let inside = browser.logs_in(&provider, person);
            assert_eq!(inside.status, 200, "{}", inside.text());
            let you = &inside.json()["you"];
            assert_eq!((you["name"].as_str(), you["role"].as_str()), (Some(name), Some(role)), "{you}");
            assert_eq!(
                (you["by"].as_str(), you["expires_in_secs"].as_u64()),
                (Some("oidc"), Some(3600)),
                "{you}"
            );
            assert_eq!(inside.json()["to"], json!("/ui/history"));
            assert_eq!(browser.cookies.len(), 1, "the cookie of the login is gone: {:?}", browser.cookies);
            let change = json!({ "changes": [{ "op": "put", "kind": "route", "id": role, "value": {
                "uri": format!("/{role}"), "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:1": 1 } } } }] });
            let plan = browser.send("POST", "/plans", &change);
            assert_eq!(plan.status, if may_plan { 201 } else { 403 }, "{}", plan.text());
            if may_plan {
                let path = format!("/plans/{}/apply", plan.json()["id"].as_str().unwrap());
                assert_eq!(browser.send("POST", &path, &json!({})).status, 200);
                let history = browser.send("GET", "/history?limit=1", &Value::Null).json();
                assert_eq!(history["entries"][0]["principal"].as_str(), Some(name), "{history}");
            }
            assert_eq!(
                browser.send("GET", "/users", &Value::Null).status,
                if role == "admin" { 200 } else { 403 }
            );
            let told = (
                String::from("logged-in"),
                name.to_owned(),
                String::from("logged in at the console, by oidc"),
            );
            assert!(audit(&usher).contains(&told), "{:?}", audit(&usher));
        }
        assert_eq!(provider.asked("/jwks"), 1, "the keys are asked for once");
        assert_eq!(provider.asked("openid-configuration"), 1, "and so is the discovery document");
        assert_eq!(provider.asked("secret in the header"), 3);
    }
}

#[test]
fn a_person_of_the_provider_agrees_to_what_an_agent_plans() {
    let provider = Provider::start(Algorithm::Es256);
    let usher = start(&provider, "");
    usher.put(
        "/routes/old",
        &json!({ "uri": "/old", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:1": 1 } } }),
    );
    let mut ann = Browser::new(&usher);
    assert_eq!(ann.logs_in(&provider, "ann").status, 200);
    let token = ann.send("POST", "/tokens", &json!({ "name": "agent", "role": "chat" }));
    let token = token.json()["token"].as_str().unwrap_or_else(|| panic!("{}", token.text())).to_owned();
    let admin = usher.address("admin");
    let fields = [("X-API-KEY", token.as_str()), ("Content-Type", "application/json")];
    let wanted = json!({ "changes": [{ "op": "delete", "kind": "route", "id": "old" }] }).to_string();
    let plan = request(admin, "POST", "/usher/v1/plans", &fields, wanted.as_bytes()).json();
    let id = plan["id"].as_str().unwrap();
    assert_eq!(request(admin, "POST", &format!("/usher/v1/plans/{id}/apply"), &fields, b"{}").status, 403);
    for (person, status) in [("vi", 403), ("ed", 200)] {
        let mut browser = Browser::new(&usher);
        browser.logs_in(&provider, person);
        let agreed = browser.send("POST", &format!("/approvals/{id}"), &json!({ "agree": true }));
        assert_eq!(agreed.status, status, "{person}: {}", agreed.text());
    }
    let history = ann.send("GET", "/history?limit=1", &Value::Null).json();
    assert_eq!(
        history["entries"][0]["approval"].as_str(),
        Some("person: oidc:ed@conf.test, in the console"),
        "{history}"
    );
}

#[test]
fn an_id_token_that_proves_nothing_lets_nobody_in() {
    let provider = Provider::start(Algorithm::Rs256);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let cases = [
        (Signed::ByAnother, json!({}), "signature is not the provider's"),
        (Signed::ThenChanged, json!({}), "signature is not the provider's"),
        (Signed::ByNobody, json!({}), "signed by none"),
        (Signed::ByPublicKey, json!({}), "signed by HS256"),
        (Signed::BySecret, json!({}), "signed by HS256"),
        (Signed::Well, json!({ "nonce": "another" }), "made for another login"),
        (Signed::Well, json!({ "nonce": null }), "made for another login"),
        (Signed::Well, json!({ "aud": "another" }), "made for another client"),
        (Signed::Well, json!({ "aud": [CLIENT, "another"] }), "made for several clients"),
        (Signed::Well, json!({ "aud": [CLIENT, "another"], "azp": "another" }), "made for another client"),
        (Signed::Well, json!({ "iss": "https://another.test" }), "another issuer's"),
        (Signed::Well, json!({ "exp": now - 120 }), "it expired"),
        (Signed::Well, json!({ "exp": null }), "exp is missing"),
        (Signed::Well, json!({ "nbf": now + 600 }), "not valid yet"),
        (Signed::Well, json!({ "iat": now - 3600 }), "not made for this log-in"),
        (Signed::Well, json!({ "iat": now + 3600 }), "not made for this log-in"),
        (Signed::Well, json!({ "iat": null }), "when it was made"),
        (Signed::Well, json!({ "sub": null }), "names nobody"),
    ];
    let mut usher = start(&provider, "");
    for (at, (signed, claims, wanted)) in cases.into_iter().enumerate() {
        // Ten wrong ones in a minute hold up whoever they come from.
        if at % 6 == 5 {
            usher = start(&provider, "");
        }
        (provider.state().signed, provider.state().claims) = (signed, claims.clone());
        let mut browser = Browser::new(&usher);
        let (status, code, message) = refusal(&browser.logs_in(&provider, "ann"));
        assert_eq!((status, code.as_str()), (401, "login_refused"), "{signed:?} {claims}: {message}");
        assert!(message.contains(wanted), "{signed:?} {claims}: {message}");
        assert!(!browser.is_inside());
        let told = audit(&usher);
        let (event, who, about) = told.last().unwrap();
        assert_eq!((event.as_str(), who.as_str()), ("login-refused", ""), "{about}");
        assert!(about.contains(wanted), "{about}");
    }
    (provider.state().signed, provider.state().claims) =
        (Signed::Well, json!({ "aud": [CLIENT, "another"], "azp": CLIENT }));
    let mut browser = Browser::new(&usher);
    assert_eq!(browser.logs_in(&provider, "ann").status, 200);
}

#[test]
fn a_login_ends_once_and_in_the_browser_that_began_it() {
    let provider = Provider::start(Algorithm::Es256);
    let usher = start(&provider, "");
    let refused = |answer: Answer, wanted: &str| {
        let (status, code, message) = refusal(&answer);
        assert_eq!((status, code.as_str()), (401, "login_refused"), "{message}");
        assert!(message.contains(wanted), "{message}");
    };
    let (mut ann, mut other) = (Browser::new(&usher), Browser::new(&usher));
    let back = ann.goes(&provider, "ann");
    refused(other.comes_back(&back), "this browser began no such log-in");
    // Whoever has begun one, too, is no other.
    other.goes(&provider, "vi");
    refused(other.comes_back(&back), "isn't the one that this browser began last");
    assert!(!other.is_inside());
    let begun = ann.cookies.clone();
    assert_eq!(ann.comes_back(&back).status, 200);
    // The same once more: the cookie is gone; and where somebody kept it, the state was used.
    refused(Browser::new(&usher).comes_back(&back), "this browser began no such log-in");
    let mut again = Browser { usher: &usher, cookies: begun };
    refused(again.comes_back(&back), "was ended before");
    assert!(!again.is_inside());
    // A code that was used before, with a login of one's own.
    let mut thief = Browser::new(&usher);
    let mut stolen = thief.goes(&provider, "vi");
    stolen["code"] = back["code"].clone();
    refused(thief.comes_back(&stolen), "used before");
    // A fresh code of somebody else's is bound to the verifier of the browser that it was made for.
    let fresh = ann.goes(&provider, "ann");
    let mut stolen = thief.goes(&provider, "vi");
    stolen["code"] = fresh["code"].clone();
    refused(thief.comes_back(&stolen), "used before or is too old");
    // An answer that says it is another provider's, and one that doesn't say whose it is.
    let mut mixed = thief.goes(&provider, "vi");
    mixed["iss"] = json!("https://another.test");
    refused(thief.comes_back(&mixed), "another provider");
    let mut silent = thief.goes(&provider, "vi");
    silent.as_object_mut().unwrap().remove("iss");
    refused(thief.comes_back(&silent), "another provider");
    // The provider's no is told in its words.
    let asked = thief.goes(&provider, "vi");
    let no = json!({ "state": asked["state"], "iss": asked["iss"], "error": "access_denied", "error_description": "not on Sundays" });
    refused(thief.comes_back(&no), "said no: access_denied (not on Sundays)");
    assert!(!thief.is_inside());
}

#[test]
fn whom_no_rule_knows_is_refused_unless_there_is_a_role_for_everybody() {
    let provider = Provider::start(Algorithm::Es256);
    let usher = start(&provider, "");
    let mut stranger = Browser::new(&usher);
    let (status, code, message) = refusal(&stranger.logs_in(&provider, "mallory"));
    assert_eq!((status, code.as_str()), (403, "no_role"), "{message}");
    assert!(message.contains("oidc:mallory@conf.test"), "{message}");
    assert!(!stranger.is_inside());
    let (event, who, _) = audit(&usher).last().unwrap().clone();
    assert_eq!((event.as_str(), who.as_str()), ("login-refused", "oidc:mallory@conf.test"));

    let open = start(&provider, "    default_role: viewer\n");
    let mut guest = Browser::new(&open);
    let inside = guest.logs_in(&provider, "mallory").json();
    assert_eq!(inside["you"]["role"], json!("viewer"), "{inside}");
}

#[test]
fn a_provider_that_is_away_slow_or_strange_is_told_of_and_lets_nobody_in() {
    let provider = Provider::start(Algorithm::Es256);
    let set = |mood: Mood, of: &'static str, discovery: Value| {
        let mut state = provider.state();
        (state.mood, state.of, state.discovery) = (mood, of, discovery);
    };
    for (mood, of, discovery, code, wanted) in [
        (Mood::Away, "openid-configuration", json!({}), "provider_away", "Conference ID can't be asked"),
        (Mood::Silent, "openid-configuration", json!({}), "provider_away", "doesn't answer in time"),
        (Mood::Broken, "openid-configuration", json!({}), "provider_away", "answered 500"),
        (Mood::Endless, "openid-configuration", json!({}), "provider_away", "more than 1 MiB"),
        (Mood::Garbage, "openid-configuration", json!({}), "provider_unusable", "can't be read"),
        (
            Mood::Well,
            "",
            json!({ "issuer": "https://another.test" }),
            "provider_unusable",
            "says that it is https://another.test",
        ),
        (
            Mood::Well,
            "",
            json!({ "authorization_endpoint": null }),
            "provider_unusable",
            "names no authorization_endpoint",
        ),
        (
            Mood::Well,
            "",
            json!({ "authorization_endpoint": "http://another.test/" }),
            "provider_unusable",
            "no https:// address",
        ),
        (
            Mood::Well,
            "",
            json!({ "authorization_endpoint": "javascript:alert(1)" }),
            "provider_unusable",
            "no https:// address",
        ),
        (
            Mood::Well,
            "",
            json!({ "token_endpoint": "http://another.test/token" }),
            "provider_unusable",
            "no https:// address",
        ),
        (Mood::Well, "", json!({ "jwks_uri": null }), "provider_unusable", "names no jwks_uri"),
    ] {
        let usher = start(&provider, "");
        set(mood, of, discovery.clone());
        let mut browser = Browser::new(&usher);
        let (status, told, message) = refusal(&browser.send("POST", "/session/oidc", &json!({})));
        assert_eq!((status, told.as_str()), (502, code), "{mood:?} {discovery}: {message}");
        assert!(message.contains(wanted), "{mood:?} {discovery}: {message}");
        // Users and keys get in all the same.
        assert_eq!(browser.send("POST", "/session", &json!({ "key": KEY })).status, 200);
        set(Mood::Well, "", json!({}));
    }
    for (mood, of, discovery, code, wanted) in [
        (Mood::Away, "/token", json!({}), "provider_away", "can't be asked"),
        (Mood::Silent, "/token", json!({}), "provider_away", "doesn't answer in time"),
        (Mood::Garbage, "/token", json!({}), "provider_away", "no JSON object"),
        (Mood::Broken, "/jwks", json!({}), "provider_away", "answered 500"),
        (Mood::Garbage, "/jwks", json!({}), "provider_unusable", "keys"),
    ] {
        let usher = start(&provider, "");
        set(mood, of, discovery.clone());
        let mut browser = Browser::new(&usher);
        let (status, told, message) = refusal(&browser.logs_in(&provider, "ann"));
        assert_eq!((status, told.as_str()), (502, code), "{mood:?} of {of} {discovery}: {message}");
        assert!(message.contains(wanted), "{mood:?} of {of} {discovery}: {message}");
        assert!(!browser.is_inside());
        set(Mood::Well, "", json!({}));
        // It goes on as soon as the provider does: after a moment, in which it isn't asked again for the same.
        crate::support::eventually("the login works again", || {
            browser.logs_in(&provider, "ann").status == 200
        });
    }
}

#[test]
fn keys_may_change_and_secrets_go_the_way_that_is_taken() {
    let provider = Provider::start(Algorithm::Es256);
    let usher = start(&provider, "");
    provider.state().discovery = json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] });
    assert_eq!(Browser::new(&usher).logs_in(&provider, "ann").status, 200);
    assert_eq!((provider.asked("secret in the form"), provider.asked("secret in the header")), (1, 0));
    // Anybody could make us ask for keys by tokens of unknown ones: a provider is asked again after a while alone.
    provider.state().signer = Signer::generate(Algorithm::Es256).with_kid("two");
    let answer = Browser::new(&usher).logs_in(&provider, "ann");
    match provider.asked("/jwks") {
        1 => assert!(refusal(&answer).2.contains("signature is not the provider's"), "{}", answer.text()),
        _ => assert_eq!(answer.status, 200, "{}", answer.text()),
    }
    // Whoever starts anew knows the new ones.
    assert_eq!(Browser::new(&start(&provider, "")).logs_in(&provider, "ann").status, 200);
}

#[test]
fn what_the_id_token_does_not_say_the_provider_is_asked_for() {
    let provider = Provider::start(Algorithm::Es256);
    let usher = start(&provider, "");
    provider.state().thin = true;
    let inside = Browser::new(&usher).logs_in(&provider, "ed").json();
    assert_eq!(inside["you"]["role"], json!("editor"), "{inside}");
    // It speaks of ed, and the id token of ann.
    let (_, _, message) = refusal(&Browser::new(&usher).logs_in(&provider, "ann"));
    assert!(message.contains("another person"), "{message}");
}

#[test]
fn nobody_is_sent_back_to_a_host_that_is_none_of_ours() {
    let provider = Provider::start(Algorithm::Es256);
    let usher = start(&provider, "");
    for host in ["evil.test", "127.0.0.1:1", "localhost.evil.test"] {
        let (status, code, message) =
            refusal(&Browser::new(&usher).send_as(host, "POST", "/session/oidc", &json!({})));
        assert_eq!((status, code.as_str()), (421, "foreign_host"), "{host}: {message}");
        assert!(message.contains(host), "{message}");
    }
    let port = usher.address("admin").port();
    let own = format!("localhost:{port}");
    let begun = Browser::new(&usher).send_as(&own, "POST", "/session/oidc", &json!({})).json();
    let location = begun["location"].as_str().unwrap();
    let asked = values(location.split_once('?').unwrap().1);
    assert_eq!(asked["redirect_uri"], format!("http://localhost:{port}/ui/oidc"));
    // What is sent by a page of somebody else's begins nothing, and ends nothing.
    let admin = usher.address("admin");
    for (path, body) in
        [("/usher/v1/session/oidc", json!({})), ("/usher/v1/session/oidc/back", json!({ "state": "x" }))]
    {
        let body = body.to_string();
        let json = ("Content-Type", "application/json");
        let bare = request(admin, "POST", path, &[json], body.as_bytes());
        assert_eq!(bare.status, 403, "{path}: {}", bare.text());
        let fields = [json, ("X-Usher-Console", "1"), ("Sec-Fetch-Site", "cross-site")];
        assert_eq!(request(admin, "POST", path, &fields, body.as_bytes()).status, 403, "{path}");
        let fields = [json, ("X-Usher-Console", "1"), ("Origin", "http://evil.test")];
        assert_eq!(request(admin, "POST", path, &fields, body.as_bytes()).status, 403, "{path}");
    }

    let public = start(&provider, "  public_url: https://usher.example.com\n");
    let mut browser = Browser::new(&public);
    let begun = browser.send_as("usher.example.com", "POST", "/session/oidc", &json!({}));
    let location = begun.json()["location"].as_str().unwrap_or_else(|| panic!("{}", begun.text())).to_owned();
    let asked = values(location.split_once('?').unwrap().1);
    assert_eq!(asked["redirect_uri"], "https://usher.example.com/ui/oidc");
    assert!(
        begun.head.contains("__Secure-usher_login=") && begun.head.contains("; Secure"),
        "{}",
        begun.head
    );
}

#[test]
fn logging_out_ends_our_session_and_says_where_theirs_ends() {
    let provider = Provider::start(Algorithm::Es256);
    let usher = start(&provider, "");
    let mut browser = Browser::new(&usher);
    browser.logs_in(&provider, "ann");
    let session = browser.cookies.clone();
    let left = browser.send("DELETE", "/session", &Value::Null).json();
    assert_eq!(
        left["provider_log_out"],
        json!(format!("{}/logout?client_id={CLIENT}", provider.issuer())),
        "{left}"
    );
    assert!(browser.cookies.is_empty());
    assert!(!Browser { usher: &usher, cookies: session }.is_inside());
    // Whoever came by a key has nothing to leave there.
    browser.send("POST", "/session", &json!({ "key": KEY }));
    assert!(browser.send("DELETE", "/session", &Value::Null).json()["provider_log_out"].is_null());
}

#[test]
fn without_a_provider_there_is_no_such_way() {
    let usher = Usher::start(&[]);
    let mut browser = Browser::new(&usher);
    assert!(browser.send("GET", "/session", &Value::Null).json()["provider"].is_null());
    for path in ["/session/oidc", "/session/oidc/back"] {
        assert_eq!(
            browser.send("POST", path, &json!({ "state": "x" })).status,
            if path.ends_with("back") { 404 } else { 422 }
        );
    }
    assert_eq!(browser.send("POST", "/session/oidc", &json!({})).status, 404);
}

#[test]
fn a_browser_logs_in_at_the_page_of_the_provider() {
    if let Some(missing) = missing() {
        println!("skipped: the console is not walked, because {missing} is missing");
        return;
    }
    let provider = Provider::start(Algorithm::Rs256);
    let usher = start(&provider, "");
    let walked = Command::new("node")
        .arg("e2e/oidc.mjs")
        .current_dir(ui())
        .env("USHER_ADMIN", format!("http://{}", usher.address("admin")))
        .env("USHER_PROVIDER", provider.issuer())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&walked.stdout);
    assert!(walked.status.success(), "{told}\n{}", String::from_utf8_lossy(&walked.stderr));
    assert!(told.contains("ok    somebody logs in at the provider"), "{told}");
    println!("{told}");
}

#[test]
fn a_provider_of_a_private_authority_is_trusted_by_its_file_alone() {
    let (provider, authority) = Provider::start_over_tls(Algorithm::Es256);
    let (_, another) = Provider::start_over_tls(Algorithm::Es256);
    let folder = tempfile::tempdir().unwrap();
    for (name, text, is_trusted) in
        [("own.pem", Some(&authority), true), ("another.pem", Some(&another), false), ("none", None, false)]
    {
        let file = folder.path().join(name);
        let setting = text.map_or_else(String::new, |pem| {
            std::fs::write(&file, pem).unwrap();
            format!("    ca_file: {}\n", file.display())
        });
        let usher = start(&provider, &setting);
        let mut ann = Browser::new(&usher);
        if is_trusted {
            let inside = ann.logs_in(&provider, "ann");
            assert_eq!(
                inside.json()["you"]["name"],
                json!("oidc:ann@conf.test"),
                "{name}: {}",
                inside.text()
            );
            continue;
        }
        let (status, code, sentence) = refusal(&ann.send("POST", "/session/oidc", &json!({})));
        assert_eq!((status, code.as_str()), (502, "provider_away"), "{name}: {sentence}");
        assert!(sentence.contains("certificate"), "{name}: {sentence}");
    }
    // A file without one is found at the start.
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing\n").unwrap();
    let config = folder.path().join("config.yaml");
    let text = format!(
        "console: {{oidc: {{issuer: '{}', client_id: u, client_secret: s, default_role: viewer, ca_file: '{}'}}}}\n",
        provider.issuer(),
        empty.display()
    );
    std::fs::write(&config, text).unwrap();
    let data = folder.path().join("data");
    let failed = crate::support::run(&[
        "serve",
        "--config",
        config.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        "--admin-listen",
        "127.0.0.1:0",
        "--chat-listen",
        "127.0.0.1:0",
        "--proxy-listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "127.0.0.1:0",
    ]);
    let told = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success() && told.contains("holds no certificate in PEM"), "{told}");
}
