//! Who is who through the real gateway: credentials of every kind, their change, and that none of them is ever told.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{Answer, Origin, Usher, eventually};

fn token(secret: &str, key: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({ "alg": "HS256" })), part(json!({ "key": key })));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn names(answer: &Answer) -> Option<String> {
    let head = answer.json()["head"].as_str()?.to_owned();
    let line = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("x-consumer-username:").map(str::to_owned));
    line.map(|name| name.trim().to_owned())
}

/// CVE-2022-29266, CVE-2025-62232 and their kin: secrets in errors and logs.
#[test]
fn credentials_let_their_consumers_in_and_are_never_told() {
    let origin = Origin::start("a");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let log = folder.path().join("log");
    let usher = Usher::start_logging(Arc::clone(&folder), &[], &log);
    let route = |id: &str, plugins: Value| {
        usher.put(
            &format!("/routes/{id}"),
            &json!({ "uri": format!("/{id}/*"), "plugins": plugins, "upstream": origin.upstream() }),
        );
    };
    let consumer = |name: &str, plugin: &str, credential: Value| {
        usher.put(
            &format!("/consumers/{name}"),
            &json!({ "username": name, "plugins": { plugin: credential } }),
        );
    };
    consumer("jack", "basic-auth", json!({ "username": "jack", "password": "canary-password" }));
    consumer("rose", "jwt-auth", json!({ "key": "rose-key", "secret": "canary-jwt-secret" }));
    consumer("anna", "hmac-auth", json!({ "key_id": "anna-id", "secret_key": "canary-hmac-secret" }));
    route("basic", json!({ "basic-auth": {} }));
    route("jwt", json!({ "jwt-auth": {} }));
    route("hmac", json!({ "hmac-auth": {} }));
    route("any", json!({ "multi-auth": { "auth_plugins": [{ "basic-auth": {} }, { "jwt-auth": {} }] } }));
    route("rose", json!({ "jwt-auth": {}, "consumer-restriction": { "whitelist": ["jack"] } }));
    let login = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let good = token("canary-jwt-secret", "rose-key");
    for (path, authorization, wanted) in [
        ("/basic/x", login("jack:canary-password"), Ok("jack")),
        ("/basic/x", login("jack:canary-wrong"), Err(401)),
        ("/basic/x", login("nobody:canary-wrong"), Err(401)),
        ("/jwt/x", good.clone(), Ok("rose")),
        ("/jwt/x", token("canary-wrong", "rose-key"), Err(401)),
        ("/jwt/x", format!("{good}x"), Err(401)),
        (
            "/hmac/x",
            "Signature keyId=\"anna-id\",algorithm=\"hmac-sha256\",signature=\"canary\"".to_owned(),
            Err(401),
        ),
        ("/any/x", login("jack:canary-password"), Ok("jack")),
        ("/any/x", good.clone(), Ok("rose")),
        ("/any/x", login("jack:canary-wrong"), Err(401)),
        ("/rose/x", good.clone(), Err(403)),
    ] {
        let answer = usher.get(path, &[("Authorization", &authorization), ("X-Consumer-Username", "root")]);
        match wanted {
            Ok(name) => assert_eq!(names(&answer).as_deref(), Some(name), "{path}"),
            Err(status) => {
                assert_eq!(answer.status, status, "{path}");
                assert!(!answer.text().contains("canary"), "{path}: {}", answer.text());
            }
        }
    }
    // What can't be used is refused without quoting the secret.
    for (plugin, credential) in [
        ("jwt-auth", json!({ "key": "k", "algorithm": "RS256", "public_key": "canary-key" })),
        ("jwt-auth", json!({ "key": "k", "secret": "canary-key", "base64_secret": true })),
        ("jwe-decrypt", json!({ "key": "k", "secret": "canary-key" })),
    ] {
        let body = json!({ "username": "bad", "plugins": { plugin: credential } });
        let answer = usher.admin("PUT", "/consumers/bad", Some(&body));
        assert!(answer.status == 400 && !answer.text().contains("canary"), "{}", answer.text());
    }
    // No two consumers have the same key, and an old one is dead at once.
    let twice =
        json!({ "username": "thief", "plugins": { "jwt-auth": { "key": "rose-key", "secret": "s" } } });
    assert_eq!(usher.admin("PUT", "/consumers/thief", Some(&twice)).status, 400);
    consumer("rose", "jwt-auth", json!({ "key": "rose-key", "secret": "canary-second" }));
    assert_eq!(usher.get("/jwt/x", &[("Authorization", &good)]).status, 401);
    let next = token("canary-second", "rose-key");
    assert_eq!(usher.get("/jwt/x", &[("Authorization", &next)]).status, 200);
    assert_eq!(usher.admin("DELETE", "/consumers/rose", None).status, 200);
    assert_eq!(usher.get("/jwt/x", &[("Authorization", &next)]).status, 401);
    usher.terminate();
    eventually("the whole log", || std::fs::read_to_string(&log).is_ok_and(|text| !text.is_empty()));
    let told = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("canary")).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}
