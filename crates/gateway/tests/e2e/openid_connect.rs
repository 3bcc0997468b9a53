//! An OpenID Connect provider with real keys over real sockets, and the gateway between it, browsers and an origin.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{Answer, Origin, Usher, eventually};

/// A provider that signs with ES256.
struct Provider {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    key: EcdsaKeyPair,
    kid: String,
    nonce: String,
    is_away: bool,
    asked: Vec<String>,
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let state =
            State { key, kid: "1".to_owned(), nonce: String::new(), is_away: false, asked: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, address, &shared));
            }
        });
        Self { address, state }
    }

    fn issuer(&self) -> String {
        format!("http://{}/realm", self.address)
    }

    fn body(&self, more: &Value) -> Value {
        let mut body = json!({
            "client_id": "shop", "client_secret": "the client's secret",
            "discovery": format!("{}/.well-known/openid-configuration", self.issuer()),
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    fn token(&self, issuer: &str, lasts: i64) -> String {
        let state = self.state.lock().unwrap();
        let claims =
            json!({ "iss": issuer, "sub": "ann", "aud": "shop", "exp": now() + lasts, "scope": "read" });
        sign(&state, &claims)
    }

    fn asked(&self, path: &str) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|asked| asked.ends_with(path)).count()
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

fn sign(state: &State, claims: &Value) -> String {
    let header = json!({ "alg": "ES256", "kid": state.kid });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = state.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn serve(stream: TcpStream, address: SocketAddr, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).unwrap();
            if field.trim().is_empty() {
                break;
            }
            if let Some(value) = field.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let mut state = state.lock().unwrap();
        if state.is_away {
            return;
        }
        state.asked.push(path.clone());
        let told =
            answer(&state, &format!("http://{address}/realm"), &path, &String::from_utf8(body).unwrap());
        drop(state);
        let told = told.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            told.len()
        );
        if writer.write_all(format!("{head}{told}").as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(state: &State, issuer: &str, path: &str, body: &str) -> Value {
    let point = state.key.public_key().as_ref();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match path.trim_start_matches("/realm") {
        "/.well-known/openid-configuration" => json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/jwks"),
            "introspection_endpoint": format!("{issuer}/introspect"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "end_session_endpoint": format!("{issuer}/end"),
        }),
        "/jwks" => json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "kid": state.kid, "use": "sig",
            "x": part(&point[1..33]), "y": part(&point[33..65]),
        }] }),
        "/token" => {
            assert!(body.contains("code=the-code") && body.contains("code_verifier="), "{body}");
            let claims = json!({ "iss": issuer, "sub": "ann", "aud": "shop", "exp": now() + 60, "nonce": state.nonce });
            json!({ "access_token": "an-access-token", "id_token": sign(state, &claims), "expires_in": 60 })
        }
        "/userinfo" => json!({ "sub": "ann", "name": "Ann" }),
        "/introspect" => json!({ "active": body.contains("token=good"), "sub": "ann" }),
        other => panic!("nobody asks for {other}"),
    }
}

/// What the origin saw of a header.
fn seen(answer: &Answer, name: &str) -> Option<String> {
    let head = answer.json()["head"].as_str().unwrap().to_owned();
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

fn argument(location: &str, name: &str) -> String {
    let query = location.split_once('?').unwrap().1;
    let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {location}")).to_owned()
}

#[test]
fn bearer_tokens_are_verified_by_published_keys_or_judged_by_the_provider() {
    let (provider, origin) = (Provider::start(), Origin::start("a"));
    let usher = Usher::start(&[]);
    for (id, more) in [
        ("keys", json!({ "bearer_only": true, "use_jwks": true })),
        ("judged", json!({ "bearer_only": true })),
    ] {
        let plugins = json!({ "openid-connect": provider.body(&more) });
        let route = json!({ "uri": format!("/{id}/*"), "plugins": plugins, "upstream": origin.upstream() });
        usher.put(&format!("/routes/{id}"), &route);
        let shown = usher.admin("GET", &format!("/routes/{id}"), None).json();
        let secret = &shown["value"]["plugins"]["openid-connect"]["client_secret"];
        assert!(secret.is_string());
    }
    let ask = |path: &str, token: &str| {
        let field = format!("Bearer {token}");
        usher.get(path, &[("Authorization", &field), ("X-Userinfo", "spoofed"), ("X_ID_Token", "spoofed")])
    };
    let good = provider.token(&provider.issuer(), 60);
    let answer = ask("/keys/x", &good);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let user: Value =
        serde_json::from_slice(&STANDARD.decode(seen(&answer, "x-userinfo").unwrap()).unwrap()).unwrap();
    assert_eq!(user["sub"], "ann");
    assert!(!answer.text().contains("spoofed"));
    for token in [
        provider.token("https://elsewhere.test", 60),
        provider.token(&provider.issuer(), -1000),
        good.replace('.', "x"),
    ] {
        assert_eq!(ask("/keys/x", &token).status, 401);
    }
    assert_eq!(usher.get("/keys/x", &[]).field("www-authenticate"), Some("Bearer realm=\"apisix\""));
    assert_eq!(ask("/judged/x", "good").status, 200);
    assert_eq!(ask("/judged/x", "bad").status, 401);
    assert!(provider.asked("/jwks") >= 1 && provider.asked("/introspect") == 2);
    provider.state.lock().unwrap().is_away = true;
    assert_eq!(ask("/judged/x", "good").status, 401, "a provider that is away lets nobody in");
    assert_eq!(ask("/keys/x", &good).status, 200, "published keys are kept");
}

#[test]
fn a_browser_logs_in_is_known_and_logs_out() {
    let (provider, origin) = (Provider::start(), Origin::start("a"));
    let usher = Usher::start(&[]);
    let more = json!({
        "redirect_uri": "/shop/callback", "logout_path": "/shop/logout", "use_pkce": true,
        "session": { "secret": "a secret of the sessions" },
    });
    let plugins = json!({ "openid-connect": provider.body(&more) });
    usher.put("/routes/1", &json!({ "uri": "/shop/*", "plugins": plugins, "upstream": origin.upstream() }));
    let away = usher.get("/shop/a?b=c", &[]);
    assert_eq!(away.status, 302, "{}", away.text());
    let location = away.field("location").unwrap().to_owned();
    assert!(location.starts_with(&format!("{}/auth?", provider.issuer())), "{location}");
    provider.state.lock().unwrap().nonce = argument(&location, "nonce");
    let pair = |answer: &Answer, begins: &str| {
        let lines = answer.head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: "));
        let found = lines.filter_map(|line| line.split(';').next()).find(|pair| pair.starts_with(begins));
        found.unwrap_or_else(|| panic!("no cookie {begins} in {}", answer.head)).to_owned()
    };
    let login = pair(&away, "session_login");
    let target = format!("/shop/callback?code=the-code&state={}", argument(&location, "state"));
    assert_eq!(usher.get(&target, &[]).status, 500, "another browser began that login");
    let back = usher.get(&target, &[("Cookie", &login)]);
    assert_eq!((back.status, back.field("location")), (302, Some("/shop/a?b=c")), "{}", back.text());
    let again = usher.get(&target, &[("Cookie", &login)]);
    assert_eq!((again.status, again.field("location")), (302, Some("/shop/a?b=c")), "a state is taken once");
    assert!(!again.head.lines().any(|line| line.starts_with("Set-Cookie: session=")), "{}", again.head);
    let session = pair(&back, "session=");
    let answer = usher.get("/shop/a", &[("Cookie", &session), ("X-Access-Token", "spoofed")]);
    assert_eq!(answer.status, 200);
    assert_eq!(seen(&answer, "x-access-token").as_deref(), Some("an-access-token"));
    assert_eq!(seen(&answer, "cookie"), None);
    let out = usher.get("/shop/logout", &[("Cookie", &session)]);
    assert!(out.field("location").unwrap().starts_with(&format!("{}/end?", provider.issuer())));
    eventually("the end of the session", || usher.get("/shop/a", &[("Cookie", &session)]).status == 302);
}
