//! What managers are asked and what is believed of their answers; when secrets are looked up, and what becomes of objects that use them.

mod keeper;
mod objects;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::Instant;
use usher_model::kind::{Key, Kind};
use usher_model::reference::Reference;
use usher_model::secret::Secret;

use super::{FRESH, MISSING, MOST_JOBS, Manager, Outcome, STALE, Secrets};
use keeper::Keeper;

fn manager(id: &str, value: Value) -> Result<Manager, String> {
    Manager::build(&Key::new(Kind::Secret, id), value)
}

async fn look_up(manager: &Manager, path: &str, key: Option<&str>) -> Result<String, String> {
    manager.look_up(path, key, &[]).await.map(|secret| secret.expose().clone())
}

#[tokio::test]
async fn vault_is_asked_with_token_and_namespace_and_understood_in_both_versions() {
    let keeper = Keeper::start().await;
    let value =
        json!({ "uri": keeper.uri(), "prefix": "/kv/apisix/", "token": "t0ken", "namespace": "team" });
    let vault = manager("vault/1", value).unwrap();
    keeper.answer("GET /v1/kv/apisix/jack", 200, &json!({ "data": { "key": "one", "data": "d", "pin": 7 } }));
    assert_eq!(look_up(&vault, "jack", Some("key")).await.as_deref(), Ok("one"));
    assert_eq!(look_up(&vault, "jack", Some("data")).await.as_deref(), Ok("d"));
    assert_eq!(look_up(&vault, "jack", Some("pin")).await.as_deref(), Ok("7"));
    let seen = keeper.seen();
    assert_eq!((seen[0].field("x-vault-token"), seen[0].field("x-vault-namespace")), ("t0ken", "team"));
    assert_eq!((seen[0].field("host"), seen[0].body.as_str()), (keeper.address.to_string().as_str(), ""));

    // Version 2 says where it would be.
    let warning = "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use.";
    keeper.answer("GET /v1/kv/apisix/jane", 404, &json!({ "errors": [], "warnings": [warning] }));
    let second = json!({ "data": { "data": { "key": "two" }, "metadata": { "version": 3 } } });
    keeper.answer("GET /v1/kv/data/apisix/jane", 200, &second);
    assert_eq!(look_up(&vault, "jane", Some("key")).await.as_deref(), Ok("two"));
    let lines: Vec<_> = keeper.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(lines, ["GET /v1/kv/apisix/jane", "GET /v1/kv/data/apisix/jane"]);

    for (path, key, part) in [
        ("jack", "none", "what Vault keeps at jack has no member \"none\""),
        ("nobody", "key", "Vault answered 404: it keeps nothing there"),
        ("with space", "key", "could not be asked: the request target has a character"),
    ] {
        let error = look_up(&vault, path, Some(key)).await.unwrap_err();
        assert!(error.contains(part), "{path}: {error}");
    }
    keeper.answer("GET /v1/kv/apisix/jack", 403, &json!({ "errors": ["permission denied"] }));
    assert_eq!(
        look_up(&vault, "jack", Some("key")).await.unwrap_err(),
        "Vault answered 403: the credentials don't open this"
    );
    keeper.answer("GET /v1/kv/apisix/jack", 200, &json!({ "data": { "key": "x".repeat(2 << 20) } }));
    let error = look_up(&vault, "jack", Some("key")).await.unwrap_err();
    assert!(error.contains("larger than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn aws_is_asked_with_a_signature_over_what_arrives() {
    let keeper = Keeper::start().await;
    let aws = manager("aws/1", json!({
        "access_key_id": "AKID", "secret_access_key": "sesame", "session_token": "session", "region": "eu-central-1",
        "endpoint_url": keeper.uri(),
    }))
    .unwrap();
    keeper.answer("POST /", 200, &json!({ "SecretString": r#"{"key":"one"}"#, "VersionId": "v" }));
    assert_eq!(look_up(&aws, "app/db", Some("key")).await.as_deref(), Ok("one"));
    assert_eq!(look_up(&aws, "app/db", None).await.as_deref(), Ok(r#"{"key":"one"}"#));
    let seen = &keeper.seen()[0];
    assert_eq!(seen.field("x-amz-target"), "secretsmanager.GetSecretValue");
    assert_eq!(seen.field("content-type"), "application/x-amz-json-1.1");
    assert_eq!(
        serde_json::from_str::<Value>(&seen.body).unwrap(),
        json!({ "SecretId": "app/db", "VersionStage": "AWSCURRENT" })
    );
    // Signed once more, over what arrived; that the signature itself is AWS's is shown beside it.
    let names = ["content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"];
    let fields = names.map(|name| (name, seen.field(name)));
    let again = super::aws::sign_again(&fields, seen.body.as_bytes(), "eu-central-1", ("AKID", "sesame"));
    assert_eq!(seen.field("authorization"), again);
    assert!(again.contains("/eu-central-1/secretsmanager/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target,"));
    assert_eq!(seen.field("x-amz-security-token"), "session");

    keeper.answer("POST /", 200, &json!({ "SecretString": "no object" }));
    let error = look_up(&aws, "app", Some("key")).await.unwrap_err();
    assert_eq!(error, "what AWS keeps as app holds no JSON object");
    keeper.answer("POST /", 200, &json!({ "SecretBinary": "AAAA" }));
    assert!(look_up(&aws, "app", None).await.unwrap_err().contains("only secrets with a SecretString"));
    keeper.answer("POST /", 400, &json!({ "__type": "ResourceNotFoundException" }));
    assert_eq!(look_up(&aws, "app", None).await.unwrap_err(), "AWS answered 400");
}

#[tokio::test]
async fn google_is_asked_with_a_token_for_a_signed_statement() {
    let keeper = Keeper::start().await;
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let account = json!({
        "client_email": "usher@test", "private_key": pem(&pair), "project_id": "p1", "scope": ["a", "b"],
        "token_uri": format!("{}/token", keeper.uri()), "entries_uri": format!("{}/v1", keeper.uri()),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account.json");
    std::fs::write(&file, account.to_string()).unwrap();
    let entry = "GET /v1/projects/p1/secrets/db/versions/latest:access";
    let data = STANDARD.encode(r#"{"key":"one"}"#);
    keeper.answer("POST /token", 200, &json!({ "access_token": "bearer-1", "expires_in": 3600 }));
    keeper.answer(entry, 200, &json!({ "name": "x", "payload": { "data": data } }));
    for written in [json!({ "auth_config": account }), json!({ "auth_file": file.to_str().unwrap() })] {
        let google = manager("gcp/1", written).unwrap();
        assert_eq!(look_up(&google, "db", Some("key")).await.as_deref(), Ok("one"));
        assert_eq!(look_up(&google, "db", Some("key")).await.as_deref(), Ok("one"));
        let seen = keeper.seen();
        let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
        assert_eq!(lines, ["POST /token", entry, entry], "the token is used again");
        assert_eq!(seen[1].field("authorization"), "Bearer bearer-1");

        let assertion = seen[0]
            .body
            .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
            .unwrap();
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let read =
            |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        assert_eq!(read(header), json!({ "alg": "RS256", "typ": "JWT" }));
        let claims = read(claims);
        assert_eq!((&claims["iss"], &claims["scope"]), (&json!("usher@test"), &json!("a b")));
        assert_eq!(claims["aud"], json!(format!("{}/token", keeper.uri())));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);

        // A token that was taken back is not used once more.
        keeper.answer(entry, 401, &json!({}));
        assert!(look_up(&google, "db", Some("key")).await.unwrap_err().contains("401"));
        keeper.answer(entry, 200, &json!({ "payload": { "data": data } }));
        keeper.seen();
        assert_eq!(look_up(&google, "db", Some("key")).await.as_deref(), Ok("one"));
        assert_eq!(keeper.seen()[0].line, "POST /token");
    }
}

#[tokio::test]
async fn what_the_gateway_never_calls_is_no_manager_either() {
    let keeper = Keeper::start().await;
    let at = |uri: String| manager("vault/1", json!({ "uri": uri, "prefix": "kv", "token": "t" })).unwrap();
    let own = at(keeper.uri()).look_up("a", Some("b"), &[keeper.address]).await.unwrap_err();
    assert!(own.contains("a listener of Usher's own"), "{own}");
    let metadata = look_up(&at("http://169.254.169.254".to_owned()), "a", Some("b")).await.unwrap_err();
    assert!(metadata.contains("link-local"), "{metadata}");
    assert!(keeper.seen().is_empty());
}

/// A server with a certificate that nobody vouches for; it answers everything with 404.
async fn self_signed() -> SocketAddr {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let stream = listener.accept().await.unwrap().0;
            // A client that doesn't believe the certificate goes away.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.write_all(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        }
    });
    address
}

#[tokio::test]
async fn certificates_of_managers_are_verified_unless_google_is_told_not_to() {
    let uri = format!("https://localhost:{}", self_signed().await.port());
    let vault = manager("vault/1", json!({ "uri": uri, "prefix": "kv", "token": "t" })).unwrap();
    let error = look_up(&vault, "a", Some("b")).await.unwrap_err();
    assert!(error.contains("could not be asked: TLS failed: invalid peer certificate"), "{error}");
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    for (verify, part) in [(true, "TLS failed"), (false, "Google's token service answered 404")] {
        let account =
            json!({ "client_email": "e", "private_key": pem(&pair), "project_id": "p", "token_uri": uri });
        let google = manager("gcp/1", json!({ "auth_config": account, "ssl_verify": verify })).unwrap();
        let error = look_up(&google, "a", Some("b")).await.unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

fn pem(pair: &RsaKeyPair) -> String {
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(pair).unwrap();
    let text = STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

#[test]
fn a_manager_that_cannot_be_used_says_why_and_never_shows_its_secrets() {
    for (id, value, part) in [
        ("vault/1", json!({ "uri": "http://a", "prefix": "kv" }), "missing field `token`"),
        ("vault/1", json!({ "uri": "http://a", "prefix": "kv", "token": ["hush"] }), "a wrong type"),
        ("aws/1", json!({ "access_key_id": "hush" }), "missing field `secret_access_key`"),
        ("gcp/1", json!({}), "`auth_config` or `auth_file`"),
        ("gcp/1", json!({ "auth_file": "/nowhere/at/all" }), "`auth_file` /nowhere/at/all can't be read"),
        (
            "gcp/1",
            json!({ "auth_config": { "client_email": "a", "project_id": "b", "private_key": "hush" } }),
            "`private_key` is no RSA key in PEM",
        ),
        (
            "vault/1",
            json!({ "uri": "http://a", "prefix": "kv", "token": "$secret://vault/2/a/b" }),
            "can't be reached by a secret of a secret manager",
        ),
        (
            "vault/1",
            json!({ "uri": "http://a", "prefix": "kv", "token": "$env://NO_SUCH_VARIABLE_HERE" }),
            "the environment has no text in NO_SUCH_VARIABLE_HERE",
        ),
    ] {
        let error = manager(id, value).map(drop).unwrap_err();
        assert!(error.contains(part) && !error.contains("hush"), "{id}: {error}");
    }
}

fn reference(number: usize) -> Reference {
    Reference::parse(&format!("$secret://vault/1/path/{number}")).unwrap().unwrap()
}

/// A manager that is never asked in these tests.
fn some_vault() -> Manager {
    manager("vault/1", json!({ "uri": "http://127.0.0.1:1", "prefix": "kv", "token": "t" })).unwrap()
}

/// What the look-ups that are due now would bring, by the test's own word.
fn outcomes(secrets: &mut Secrets, now: Instant, found: Result<&str, &str>) -> Vec<Outcome> {
    let outcome = |job: super::Job| Outcome {
        reference: job.reference,
        manager: job.manager,
        found: found.map(|text| Secret::new(text.to_owned())).map_err(str::to_owned),
    };
    secrets.jobs(now).into_iter().map(outcome).collect()
}

#[tokio::test]
async fn secrets_are_looked_up_again_after_a_while_and_what_was_known_stays() {
    let (mut secrets, start) = (Secrets::default(), Instant::now());
    let (key, one) = (Key::new(Kind::Secret, "vault/1"), reference(1));
    let value = |secrets: &Secrets| {
        let mut value = json!({ "plugins": { "x": { "y": one.to_string() } } });
        secrets
            .fill(Kind::Route, &mut value)
            .map(|()| value["plugins"]["x"]["y"].as_str().unwrap().to_owned())
    };
    let settle = |secrets: &mut Secrets, now: Instant, found| -> Vec<bool> {
        let outcomes = outcomes(secrets, now, found);
        outcomes.into_iter().map(|outcome| secrets.settle(outcome, now)).collect()
    };
    secrets.want(&one, start);
    assert!(
        value(&secrets)
            .unwrap_err()
            .contains("there is no secret vault/1; write it to /apisix/admin/secrets/vault/1")
    );
    assert_eq!(secrets.next(), None, "nobody to ask");

    secrets.set_manager(&key, Some(some_vault()), start);
    assert_eq!(secrets.next(), Some(start));
    assert_eq!(settle(&mut secrets, start, Err("away")), [true]);
    assert!(value(&secrets).unwrap_err().contains("away"));
    assert_eq!(secrets.next(), Some(start + MISSING));
    assert_eq!(settle(&mut secrets, start + MISSING, Err("away")), [false], "nothing new");
    let mut now = start + 2 * MISSING;
    assert_eq!(settle(&mut secrets, now, Ok("first")), [true]);
    assert_eq!((value(&secrets).as_deref(), secrets.next()), (Ok("first"), Some(now + FRESH)));
    assert!(secrets.jobs(now + FRESH - Duration::from_secs(1)).is_empty());

    now += FRESH;
    assert_eq!(settle(&mut secrets, now, Ok("first")), [false], "the same as before");
    now += FRESH;
    assert_eq!(settle(&mut secrets, now, Err("away")), [false]);
    assert_eq!((value(&secrets).as_deref(), secrets.stale(&one)), (Ok("first"), Some("away")));
    now += STALE;
    assert_eq!(settle(&mut secrets, now, Ok("second")), [true]);
    assert_eq!((value(&secrets).as_deref(), secrets.stale(&one)), (Ok("second"), None));

    // Written anew while it is asked: what the old one says comes too late.
    secrets.set_manager(&key, Some(some_vault()), now);
    let late = outcomes(&mut secrets, now, Ok("late")).remove(0);
    secrets.set_manager(&key, Some(some_vault()), now);
    assert!(!secrets.settle(late, now));
    assert_eq!(settle(&mut secrets, now, Ok("third")), [true]);
    secrets.set_manager(&key, None, now);
    assert_eq!((value(&secrets).as_deref(), secrets.next()), (Ok("third"), None));
    assert!(secrets.stale(&one).unwrap().contains("there is no secret vault/1"));
    secrets.forget(&one);
    assert!(secrets.known.is_empty() && secrets.queue.is_empty() && secrets.under_way == 0);
}

#[tokio::test]
async fn only_so_many_look_ups_run_at_once() {
    let (mut secrets, now) = (Secrets::default(), Instant::now());
    secrets.set_manager(&Key::new(Kind::Secret, "vault/1"), Some(some_vault()), now);
    for number in 0..40 {
        secrets.want(&reference(number), now);
    }
    let mut left = 40;
    while left > 0 {
        let outcomes = outcomes(&mut secrets, now, Ok("x"));
        assert_eq!(outcomes.len(), MOST_JOBS.min(left));
        assert_eq!(secrets.jobs(now).len(), 0);
        assert!(outcomes.len() < MOST_JOBS || secrets.next().is_none());
        left -= outcomes.len();
        for outcome in outcomes {
            assert!(secrets.settle(outcome, now));
        }
    }
    assert_eq!(secrets.next(), Some(now + FRESH));
}

#[test]
fn references_are_resolved_where_secrets_may_stand_and_nowhere_else() {
    let path = std::env::var("PATH").unwrap();
    let mut secrets = Secrets::default();
    let now = Instant::now();
    for (kind, value, places) in [
        (
            Kind::Route,
            json!({ "uri": "$env://PATH", "plugins": { "x": { "y": ["$ENV://PATH"] } } }),
            vec!["/plugins/x/y/0"],
        ),
        (
            Kind::Service,
            json!({ "name": "$env://PATH", "upstream": { "tls": { "client_key": "$env://PATH" } } }),
            vec!["/upstream/tls/client_key"],
        ),
        (
            Kind::Upstream,
            json!({ "desc": "$env://PATH", "tls": { "client_cert": "$env://PATH" } }),
            vec!["/tls/client_cert"],
        ),
        (Kind::Ssl, json!({ "cert": "$env://PATH", "keys": ["$env://PATH"] }), vec!["/cert", "/keys/0"]),
        (Kind::PluginMetadata, json!({ "a": "$env://PATH" }), vec!["/a"]),
    ] {
        for reference in super::references(kind, &value) {
            secrets.want(&reference, now);
        }
        let mut filled = value.clone();
        secrets.fill(kind, &mut filled).unwrap();
        let mut wanted = value;
        for place in places {
            *wanted.pointer_mut(place).unwrap() = path.clone().into();
        }
        assert_eq!(filled, wanted, "{kind}");
    }
    let used = [Reference::parse("$env://PATH").unwrap().unwrap()];
    assert_eq!(secrets.hide(used.iter(), format!("bad: {path}!")), "bad: $env://PATH!");
}
