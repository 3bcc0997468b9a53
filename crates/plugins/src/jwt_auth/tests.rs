//! What clients and the upstream see of `jwt-auth`, and what forgers try.
#![cfg(test)]

use serde_json::{Map, Value, json};
use usher_model::jose::algorithm::{Algorithm, Family};
use usher_model::jose::signing::Signer;
use usher_model::jose::token::encode;
use usher_pipeline::harness::{Harness, harness, try_harness};
use usher_pipeline::registry::Registry;

use super::PLUGIN;

/// The bench's clock, in seconds.
const NOW: u64 = 1_800_000_000;

fn with(body: Value, credential: &Value) -> Harness {
    harness(&PLUGIN, body).consumer("jack", "jwt-auth", credential, Map::new()).consumer(
        "guest",
        "jwt-auth",
        &json!({ "key": "guest", "secret": "another secret of the guest" }),
        Map::new(),
    )
}

fn jack() -> (Signer, Value) {
    let secret = "a secret that has enough of bytes";
    (Signer::shared(Algorithm::Hs256, secret.as_bytes()), json!({ "key": "jack-key", "secret": secret }))
}

fn status(bench: &mut Harness, token: &str) -> u16 {
    bench.send("GET", "/", &[("Authorization", &format!("Bearer {token}"))], "").status()
}

#[test]
fn every_algorithm_lets_its_consumer_in() {
    for algorithm in Algorithm::ALL {
        let signer = Signer::generate(algorithm);
        let mut credential = json!({ "key": "k", "algorithm": algorithm.name() });
        let signer = if algorithm.family() == Family::Shared {
            credential["secret"] = json!("c2VjcmV0IGluIGJhc2U2NA==");
            credential["base64_secret"] = json!(true);
            Signer::shared(algorithm, b"secret in base64")
        } else {
            credential["public_key"] = json!(signer.public_pem());
            signer
        };
        let mut bench = with(json!({}), &credential);
        let outcome = bench.send("GET", "/", &[("Authorization", &signer.token(&json!({ "key": "k" })))], "");
        outcome.expect_status(200);
        assert_eq!(outcome.seen().head.get_str("X-Consumer-Username"), Some("jack"), "{}", algorithm.name());
        assert_eq!(status(&mut bench, &Signer::generate(algorithm).token(&json!({ "key": "k" }))), 401);
    }
}

#[test]
fn the_token_is_looked_for_in_header_query_and_cookie_and_hidden_everywhere() {
    let (signer, credential) = jack();
    let token = signer.token(&json!({ "key": "jack-key" }));
    let mut bench = with(json!({ "hide_credentials": true }), &credential);
    let cookie = format!("a=1; jwt={token}; b=2");
    let outcome = bench.send("GET", "/", &[("Cookie", &cookie)], "");
    assert_eq!(outcome.seen().head.get_str("cookie"), Some("a=1; b=2"));
    let outcome = bench.get(&format!("/x?jwt={token}&y=1"));
    assert_eq!(outcome.seen().target, "/x?y=1");
    let header = format!("bearer {token}");
    let outcome = bench.send("GET", "/?jwt=x", &[("authorization", &header), ("Cookie", "jwt=x")], "");
    outcome.expect_status(200);
    let seen = outcome.seen();
    assert_eq!(
        (seen.target.as_str(), seen.head.contains("authorization"), seen.head.contains("cookie")),
        ("/", false, false)
    );
    let outcome = bench.send("GET", &format!("/?jwt={token}"), &[("Authorization", "Bearer x")], "");
    outcome.expect_status(401);
}

#[test]
fn each_refusal_has_its_sentence_and_the_challenge() {
    let (signer, credential) = jack();
    let forged = Signer::shared(Algorithm::Hs256, b"not the secret");
    let mut bench = with(json!({}), &credential);
    for (token, message) in [
        (None, "Missing JWT token in request"),
        (Some("x.y".to_owned()), "JWT token invalid"),
        (Some("x.y.z".to_owned()), "JWT token invalid"),
        (Some(signer.token(&json!({}))), "missing user key in JWT token"),
        (Some(signer.token(&json!({ "key": "nobody" }))), "Invalid user key in JWT token"),
        (Some(signer.token(&json!({ "key": 7 }))), "Invalid user key in JWT token"),
        (Some(forged.token(&json!({ "key": "jack-key" }))), "failed to verify jwt"),
        (Some(signer.token(&json!({ "key": "jack-key", "exp": 1 }))), "failed to verify jwt"),
    ] {
        let fields: Vec<(&str, &str)> = token.iter().map(|token| ("Authorization", token.as_str())).collect();
        let outcome = bench.send("GET", "/", &fields, "");
        outcome.expect_status(401);
        assert_eq!(outcome.text(), format!("{{\"message\":\"{message}\"}}\n"));
        assert_eq!(outcome.field("WWW-Authenticate"), Some("Bearer realm=\"jwt\""));
    }
}

/// CVE-2026-39999 and its kin: the algorithm comes from the credential.
#[test]
fn a_token_never_chooses_how_it_is_verified() {
    let rsa = Signer::generate(Algorithm::Rs256);
    let pem = rsa.public_pem();
    let credential = json!({ "key": "k", "algorithm": "RS256", "public_key": pem });
    let mut bench = with(json!({}), &credential);
    let claims = json!({ "key": "k" });
    assert_eq!(status(&mut bench, &rsa.token(&claims)), 200);
    for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), pem.replace('\n', "").as_bytes(), b""] {
        assert_eq!(status(&mut bench, &Signer::shared(Algorithm::Hs256, secret).token(&claims)), 401);
    }
    for algorithm in [Algorithm::Rs384, Algorithm::Ps256, Algorithm::Es256] {
        assert_eq!(status(&mut bench, &Signer::generate(algorithm).token(&claims)), 401);
    }
    let (shared, credential) = jack();
    let mut hs = with(json!({}), &credential);
    let claims = json!({ "key": "jack-key" });
    for alg in ["none", "None", "nOnE", "", "HS512", "hs256", "RS256"] {
        let unsigned =
            format!("{}.{}.", encode(json!({ "alg": alg }).to_string()), encode(claims.to_string()));
        assert_eq!(status(&mut hs, &unsigned), 401, "{alg}");
        assert_eq!(status(&mut hs, &shared.token_with(&json!({ "alg": alg }), &claims)), 401, "{alg}");
    }
    let empty = format!("{}.{}.", encode(r#"{"alg":"HS256"}"#), encode(claims.to_string()));
    assert_eq!(status(&mut hs, &empty), 401);
    let unnamed = shared.token_with(&json!({ "typ": "JWT" }), &claims);
    assert_eq!(status(&mut hs, &unnamed), 401);
    assert!(hs.worker().calls().is_empty());
}

#[test]
fn what_a_header_points_at_is_never_followed() {
    let (signer, credential) = jack();
    let mut bench = with(json!({}), &credential);
    let claims = json!({ "key": "jack-key" });
    for (extra, wanted) in [
        (json!({ "kid": "../../dev/null" }), 200),
        (json!({ "kid": "' OR 1=1" }), 200),
        (json!({ "jku": "http://127.0.0.1:1/keys", "x5u": "file:///etc/passwd" }), 200),
        (json!({ "jwk": { "kty": "oct", "k": "AAAA" } }), 200),
        (json!({ "crit": ["x"] }), 401),
        (json!({ "crit": [] }), 401),
    ] {
        let mut header = json!({ "alg": "HS256" });
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert_eq!(status(&mut bench, &signer.token_with(&header, &claims)), wanted, "{header}");
    }
    assert!(bench.worker().calls().is_empty());
    // A key of the forger's own in the header doesn't sign for anybody.
    let forger = Signer::generate(Algorithm::Es256);
    let header = json!({ "alg": "ES256", "jwk": forger.jwk() });
    assert_eq!(status(&mut bench, &forger.token_with(&header, &claims)), 401);
}

#[test]
fn times_are_judged_where_they_are_and_missed_where_they_must_be() {
    let (signer, mut credential) = jack();
    credential["lifetime_grace_period"] = json!(10);
    let body = json!({ "claims_to_verify": ["exp", "nbf"] });
    for (claims, lax, strict) in [
        (json!({}), 200, 401),
        (json!({ "exp": NOW + 1, "nbf": NOW - 1 }), 200, 200),
        (json!({ "exp": NOW + 1 }), 200, 401),
        (json!({ "exp": NOW - 9, "nbf": NOW }), 200, 200),
        (json!({ "exp": NOW - 10, "nbf": NOW }), 401, 401),
        (json!({ "exp": NOW + 60, "nbf": NOW + 11 }), 401, 401),
        (json!({ "exp": "never", "nbf": NOW }), 401, 401),
        (json!({ "exp": 1e300, "nbf": NOW }), 401, 401),
        (json!({ "exp": -1.0, "nbf": NOW }), 401, 401),
    ] {
        let mut claims = claims;
        claims["key"] = json!("jack-key");
        let token = signer.token(&claims);
        assert_eq!(status(&mut with(json!({}), &credential), &token), lax, "{claims}");
        assert_eq!(status(&mut with(body.clone(), &credential), &token), strict, "{claims}");
    }
}

#[test]
fn claims_are_kept_and_strangers_are_guests_where_asked_for() {
    let (signer, credential) = jack();
    let mut bench = with(json!({ "store_in_ctx": true, "key_claim_name": "iss" }), &credential);
    let claims = json!({ "iss": "jack-key", "team": "a" });
    let outcome = bench.send("GET", "/", &[("Authorization", &signer.token(&claims))], "");
    let kept = usher_model::variables::Variables::variable(&outcome.exchange, "jwt_auth_payload").unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), claims);
    let mut bench = with(json!({ "anonymous_consumer": "guest" }), &credential);
    let outcome = bench.send("GET", "/", &[("Authorization", "x")], "");
    assert_eq!(outcome.seen().head.get_str("X-Consumer-Username"), Some("guest"));
    with(json!({ "anonymous_consumer": "nobody" }), &credential).get("/").expect_status(401);
}

#[test]
fn keys_that_can_not_work_are_refused_by_name_and_never_quoted() {
    let registry = Registry::new(&[&PLUGIN]);
    for (body, wanted) in [
        (json!({ "key": "k" }), "property \"secret\" is required where \"algorithm\" is HS256"),
        (json!({ "key": "k", "secret": "" }), "property \"secret\""),
        (json!({ "key": "", "secret": "s" }), "property \"key\""),
        (json!({ "key": "k", "secret": "%%TOP%%", "base64_secret": true }), "it is no base64"),
        (json!({ "key": "k", "algorithm": "RS256" }), "property \"public_key\" is required"),
        (json!({ "key": "k", "algorithm": "none", "secret": "s" }), "property \"algorithm\""),
        (
            json!({ "key": "k", "algorithm": "RS256", "public_key": "%%TOP%%" }),
            "property \"public_key\" validation failed: it is no PEM",
        ),
        (
            json!({ "key": "k", "algorithm": "RS256", "public_key": Signer::small_rsa_pem() }),
            "an RSA key of 1024 bits",
        ),
        (json!({ "key": "k", "secret": "s", "exp": 0 }), "property \"exp\""),
        (
            json!({ "key": "k", "secret": "s", "lifetime_grace_period": -1 }),
            "property \"lifetime_grace_period\"",
        ),
    ] {
        let error = registry.check_credential("jwt-auth", &body).unwrap_err().message;
        assert!(error.contains(wanted) && !error.contains("%%TOP%%"), "{body}: {error}");
    }
    let elsewhere = json!({ "key": "k", "secret": "$env://JWT_SECRET" });
    assert!(registry.check_credential("jwt-auth", &elsewhere).is_ok());
    assert_eq!(registry.credential_secrets("jwt-auth"), ["secret"]);
    assert!(try_harness(&PLUGIN, json!({ "claims_to_verify": ["aud"] })).is_err());
    assert!(try_harness(&PLUGIN, json!({ "header": "a b" })).is_err());
}

#[test]
fn a_reference_that_was_not_looked_up_is_no_key() {
    let mut bench = with(json!({}), &json!({ "key": "k", "secret": "$env://JWT_SECRET" }));
    let forged = Signer::shared(Algorithm::Hs256, b"$env://JWT_SECRET");
    assert_eq!(status(&mut bench, &forged.token(&json!({ "key": "k" }))), 401);
}

#[test]
fn no_mutation_of_a_token_is_taken_for_it() {
    let (signer, credential) = jack();
    let mut bench = with(json!({}), &credential);
    let token = signer.token(&json!({ "key": "jack-key", "exp": NOW + 60 }));
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..3000 {
        let mut changed = token.clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..changed.len());
            match random.u8(0..4) {
                0 => changed[at] = random.u8(0x21..0x7f),
                1 => drop(changed.remove(at)),
                2 => changed.insert(at, random.u8(0x21..0x7f)),
                _ => changed.truncate(at.max(1)),
            }
        }
        let changed = String::from_utf8(changed).unwrap();
        // Padding behind a part says nothing.
        if changed.replace('=', "") != token {
            assert_eq!(status(&mut bench, &changed), 401, "{changed}");
        }
    }
}
