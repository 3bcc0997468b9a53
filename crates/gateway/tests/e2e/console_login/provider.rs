//! An OpenID Connect provider with real keys over real sockets, a page to log in at, and switches for everything that can go wrong with one.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use usher_model::jose::algorithm::Algorithm;
use usher_model::jose::signing::Signer;
use usher_model::jose::token::encode;

use crate::support::read_request;

/// What Usher is called at the provider, and how it shows that it is Usher.
pub(super) const CLIENT: &str = "usher";
pub(super) const SECRET: &str = "a secret: of the client";

/// How an ID token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    /// By a published key.
    Well,
    /// By a key of somebody else's, under the name of a published one.
    ByAnother,
    /// By nobody: `alg` is `none`.
    ByNobody,
    /// By HMAC with the published key as the secret.
    ByPublicKey,
    /// By HMAC with the client's secret.
    BySecret,
    /// Well, and changed afterwards.
    ThenChanged,
}

/// What the provider does when it is asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// It hangs up.
    Away,
    /// It says nothing until whoever asks hangs up.
    Silent,
    /// It answers a page of HTML.
    Garbage,
    /// It answers 500.
    Broken,
    /// It answers more than anybody reads.
    Endless,
}

/// The provider; `state` may be changed while it runs.
pub(super) struct Provider {
    /// Where browsers reach it, in clear.
    pub(super) address: SocketAddr,
    issuer: String,
    state: Arc<Mutex<State>>,
}

pub(super) struct State {
    pub(super) signer: Signer,
    pub(super) another: Signer,
    pub(super) signed: Signed,
    pub(super) mood: Mood,
    /// Which paths the mood is for; empty for all.
    pub(super) of: &'static str,
    /// Laid over the ID token's claims; null takes one away.
    pub(super) claims: Value,
    /// Laid over the discovery document, likewise.
    pub(super) discovery: Value,
    /// Whether the groups are told by userinfo alone.
    pub(super) thin: bool,
    /// Every request line, and the `Authorization` of those to the token endpoint.
    pub(super) asked: Vec<String>,
    codes: HashMap<String, Code>,
    given: usize,
}

struct Code {
    person: String,
    nonce: String,
    challenge: String,
    redirect_uri: String,
}

impl Provider {
    /// One on loopback, in clear.
    pub(super) fn start(algorithm: Algorithm) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Under another name than the console's, so that a browser takes it for another site.
        Self::start_as(algorithm, listener, format!("http://localhost:{port}/realm"))
    }

    /// One that Usher reaches by TLS alone, with a certificate of a private authority, whose own is given.
    pub(super) fn start_over_tls(algorithm: Algorithm) -> (Self, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![leaf.der().clone()], key).unwrap());
        let tls = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("https://localhost:{}/realm", tls.local_addr().unwrap().port());
        let provider = Self::start_as(algorithm, TcpListener::bind("127.0.0.1:0").unwrap(), issuer.clone());
        let state = Arc::clone(&provider.state);
        std::thread::spawn(move || {
            for stream in tls.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let (issuer, state) = (issuer.clone(), Arc::clone(&state));
                std::thread::spawn(move || serve(StreamOwned::new(connection, stream), &issuer, &state));
            }
        });
        (provider, authority.pem())
    }

    fn start_as(algorithm: Algorithm, listener: TcpListener, issuer: String) -> Self {
        let address = listener.local_addr().unwrap();
        let state = State {
            signer: Signer::generate(algorithm).with_kid("one"),
            another: Signer::generate(algorithm).with_kid("one"),
            signed: Signed::Well,
            mood: Mood::Well,
            of: "",
            claims: json!({}),
            discovery: json!({}),
            thin: false,
            asked: Vec::new(),
            codes: HashMap::new(),
            given: 0,
        };
        let provider = Self { address, issuer, state: Arc::new(Mutex::new(state)) };
        let (issuer, state) = (provider.issuer(), Arc::clone(&provider.state));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (issuer, state) = (issuer.clone(), Arc::clone(&state));
                std::thread::spawn(move || serve(stream, &issuer, &state));
            }
        });
        provider
    }

    pub(super) fn issuer(&self) -> String {
        self.issuer.clone()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// How often a path was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        self.state().asked.iter().filter(|line| line.contains(path)).count()
    }
}

/// What is known of somebody.
fn person(name: &str) -> Value {
    match name {
        "ann" => {
            json!({ "sub": "1", "email": "ann@conf.test", "email_verified": true, "groups": ["staff", "gateway-admins"] })
        }
        "ed" => {
            json!({ "sub": "2", "email": "ed@conf.test", "email_verified": true, "groups": ["gateway-editors"] })
        }
        // Whoever may write any address is not who has that address.
        "vi" => json!({ "sub": "3", "email": "ann@conf.test", "email_verified": false, "groups": ["staff"] }),
        other => {
            json!({ "sub": other, "email": format!("{other}@conf.test"), "email_verified": true, "groups": [] })
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned()
}

/// The values of a query or form.
pub(super) fn values(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn serve<S: Read + Write>(stream: S, issuer: &str, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let Some((head, body)) = read_request(&mut reader) else { return };
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mood, of) = {
        let mut state = state.lock().unwrap();
        state.asked.push(target.clone());
        (state.mood, state.of)
    };
    let mood = if target.contains(of) { mood } else { Mood::Well };
    let answer = match mood {
        Mood::Away => return,
        Mood::Silent => {
            // Whoever asked hangs up, and then there is nothing more to read.
            let _ = reader.read_to_end(&mut Vec::new());
            return;
        }
        Mood::Garbage => told("200 OK", "text/html", "<html>a page of a proxy</html>"),
        Mood::Broken => told("500 Internal Server Error", "text/plain", "oops"),
        Mood::Endless => told("200 OK", "application/json", &format!("\"{}\"", "x".repeat(3 << 20))),
        Mood::Well => {
            answer(&target, &head, &String::from_utf8_lossy(&body), issuer, &mut state.lock().unwrap())
        }
    };
    // Whoever doesn't want more hangs up.
    let stream = reader.get_mut();
    let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
}

fn told(status: &str, media: &str, text: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

fn answer(target: &str, head: &str, body: &str, issuer: &str, state: &mut State) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let json = |value: &Value| told("200 OK", "application/json", &value.to_string());
    match path.strip_prefix("/realm").unwrap_or_default() {
        "/.well-known/openid-configuration" => json(&discovery(issuer, state)),
        "/jwks" => json(&json!({ "keys": [state.signer.jwk()] })),
        "/authorize" => page(query),
        "/login" => login(query, issuer, state),
        "/token" => tokens(head, body, issuer, state),
        "/userinfo" => json(
            &json!({ "sub": "2", "groups": ["gateway-editors"], "email": "ed@conf.test", "email_verified": true }),
        ),
        "/logout" => {
            told("200 OK", "text/html", "<title>Left</title><h1>You are logged out of the test provider</h1>")
        }
        _ => told("404 Not Found", "text/plain", "nothing"),
    }
}

fn lay_over(value: &mut Value, over: &Value) {
    let members = value.as_object_mut().unwrap();
    members.extend(over.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
}

fn discovery(issuer: &str, state: &State) -> Value {
    let mut told = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "jwks_uri": format!("{issuer}/jwks"),
        "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    lay_over(&mut told, &state.discovery);
    told
}

/// Where somebody says who they are.
fn page(query: &str) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let mut hidden = String::new();
    for (name, value) in values(query) {
        hidden +=
            &format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escaped(&name), escaped(&value));
    }
    let form = format!(
        "<!doctype html><html lang=\"en\"><title>Test provider</title><h1>The test provider</h1><form action=\"/realm/login\">{hidden}\
         <label>Who are you? <input name=\"person\"></label> <button>Continue</button></form></html>"
    );
    told("200 OK", "text/html", &form)
}

/// Sends the browser back with a code.
fn login(query: &str, issuer: &str, state: &mut State) -> String {
    let asked = values(query);
    let wanted = |name: &str| asked.get(name).cloned().unwrap_or_default();
    assert_eq!((wanted("response_type").as_str(), wanted("client_id").as_str()), ("code", CLIENT));
    assert_eq!(wanted("code_challenge_method"), "S256");
    state.given += 1;
    let code = format!("code-{}", state.given);
    state.codes.insert(
        code.clone(),
        Code {
            person: wanted("person"),
            nonce: wanted("nonce"),
            challenge: wanted("code_challenge"),
            redirect_uri: wanted("redirect_uri"),
        },
    );
    let back = format!("{}?code={code}&state={}&iss={issuer}", wanted("redirect_uri"), wanted("state"));
    format!("HTTP/1.1 302 Found\r\nLocation: {back}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

/// A code for tokens, once, for whoever shows the secret and what the login was begun with.
fn tokens(head: &str, body: &str, issuer: &str, state: &mut State) -> String {
    let refused =
        |why: &str| told("400 Bad Request", "application/json", &json!({ "error": why }).to_string());
    let form = values(body);
    let basic = head.lines().find_map(|line| line.strip_prefix("authorization: Basic "));
    let shown = match basic.and_then(|basic| STANDARD.decode(basic).ok()) {
        Some(pair) => {
            let pair = String::from_utf8(pair).unwrap();
            let (id, secret) = pair.split_once(':').unwrap();
            (decoded(id), decoded(secret))
        }
        None => {
            let of = |name: &str| form.get(name).cloned().unwrap_or_default();
            (of("client_id"), of("client_secret"))
        }
    };
    state.asked.push(format!("secret in {}", if basic.is_some() { "the header" } else { "the form" }));
    if shown != (CLIENT.to_owned(), SECRET.to_owned()) {
        return refused("invalid_client");
    }
    let Some(code) = form.get("code").and_then(|code| state.codes.remove(code)) else {
        return refused("invalid_grant");
    };
    let verifier = form.get("code_verifier").cloned().unwrap_or_default();
    if encode(digest(&SHA256, verifier.as_bytes())) != code.challenge
        || form.get("redirect_uri") != Some(&code.redirect_uri)
    {
        return refused("invalid_grant");
    }
    let answer = json!({ "access_token": "an access token", "token_type": "Bearer", "id_token": id_token(&code, issuer, state) });
    told("200 OK", "application/json", &answer.to_string())
}

fn id_token(code: &Code, issuer: &str, state: &State) -> String {
    let mut claims =
        json!({ "iss": issuer, "aud": CLIENT, "exp": now() + 300, "iat": now(), "nonce": code.nonce });
    lay_over(&mut claims, &person(&code.person));
    if state.thin {
        claims.as_object_mut().unwrap().remove("groups");
    }
    lay_over(&mut claims, &state.claims);
    let header = |algorithm: &str| json!({ "alg": algorithm, "kid": "one" });
    match state.signed {
        Signed::Well => state.signer.token(&claims),
        Signed::ByAnother => state.another.token(&claims),
        Signed::ByNobody => format!("{}.{}.", encode(header("none").to_string()), encode(claims.to_string())),
        Signed::ByPublicKey => {
            let key = Signer::shared(Algorithm::Hs256, state.signer.public_pem().as_bytes());
            key.token_with(&header("HS256"), &claims)
        }
        Signed::BySecret => {
            Signer::shared(Algorithm::Hs256, SECRET.as_bytes()).token_with(&header("HS256"), &claims)
        }
        Signed::ThenChanged => {
            let token = state.signer.token(&claims);
            let signature = token.rsplit_once('.').unwrap().1;
            lay_over(&mut claims, &person("ann"));
            let header = header(state.signer.algorithm().name());
            format!("{}.{}.{signature}", encode(header.to_string()), encode(claims.to_string()))
        }
    }
}
