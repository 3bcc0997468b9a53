//! An identity provider for tests: real keys, real tokens, and switches for everything that can go wrong with one.
#![cfg(test)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_model::jose::algorithm::Algorithm;
use usher_model::jose::signing::Signer;
use usher_model::jose::token::encode;
use usher_pipeline::harness::{Clock, Harness, harness, try_harness};
use usher_pipeline::worker::{Answer, Call, FetchError};

use super::super::PLUGIN;
use crate::form;

/// The bench's clock, in seconds.
pub(super) const NOW: u64 = 1_800_000_000;
/// Who the provider says it is.
pub(super) const ISSUER: &str = "https://idp.test/realm";
/// Where its discovery document is.
pub(super) const DISCOVERY: &str = "https://idp.test/realm/.well-known/openid-configuration";

/// The provider.
pub(super) struct Provider {
    pub(super) signer: RefCell<Signer>,
    /// Everything fails from now on.
    pub(super) is_away: Cell<bool>,
    pub(super) nonce: RefCell<String>,
    pub(super) challenge: RefCell<Option<String>>,
    /// Laid over the id token's claims.
    pub(super) claims: RefCell<Value>,
    /// Laid over the answer of the token endpoint.
    pub(super) tokens: RefCell<Value>,
    pub(super) introspection: RefCell<Value>,
    pub(super) user: RefCell<Value>,
    pub(super) calls: RefCell<Vec<Call>>,
}

impl Provider {
    pub(super) fn start() -> Rc<Self> {
        Rc::new(Self {
            signer: RefCell::new(Signer::generate(Algorithm::Es256).with_kid("one")),
            is_away: Cell::new(false),
            nonce: RefCell::default(),
            challenge: RefCell::default(),
            claims: RefCell::new(json!({})),
            tokens: RefCell::new(json!({})),
            introspection: RefCell::new(json!({ "active": true, "sub": "ann", "scope": "read write" })),
            user: RefCell::new(json!({ "sub": "ann", "groups": ["staff"] })),
            calls: RefCell::default(),
        })
    }

    /// A bench whose calls this provider answers.
    pub(super) fn bench(self: &Rc<Self>, body: Value) -> Harness {
        let provider = Rc::clone(self);
        harness(&PLUGIN, body).fetches(move |call| provider.answer(call))
    }

    /// The same over real connections to everybody else, such as a Redis.
    pub(super) fn live_bench(self: &Rc<Self>, body: Value) -> Harness {
        let provider = Rc::clone(self);
        harness(&PLUGIN, body).on_runtime(Clock::Real).fetches(move |call| provider.answer(call))
    }

    /// Answers a call.
    pub(super) fn answer(&self, call: &Call) -> Result<Answer, FetchError> {
        self.calls.borrow_mut().push(call.clone());
        if self.is_away.get() {
            return Err(FetchError::TimedOut("idp.test".into()));
        }
        let form = String::from_utf8(call.body.to_vec()).unwrap();
        let (status, told) = match call.url.strip_prefix(ISSUER).unwrap_or(&call.url) {
            "/.well-known/openid-configuration" => (200, discovery()),
            "/jwks" => (200, json!({ "keys": [self.signer.borrow().jwk()] })),
            "/token" => self.tokens_for(&form),
            "/introspect" => (200, self.introspection.borrow().clone()),
            "/userinfo" => (200, self.user.borrow().clone()),
            "/par" => (201, json!({ "request_uri": "urn:of:this-login", "expires_in": 60 })),
            "/revoke" => return Ok(Answer { head: Head::response(200), body: bytes::Bytes::new() }),
            _ => (404, json!({})),
        };
        Ok(Answer { head: Head::response(status), body: told.to_string().into() })
    }

    fn tokens_for(&self, form: &str) -> (u16, Value) {
        let is_refresh = form::value(form, "grant_type").as_deref() == Some("refresh_token");
        if !is_refresh && form::value(form, "code").as_deref() != Some("the-code") {
            return (400, json!({ "error": "invalid_grant" }));
        }
        if let (false, Some(challenge)) = (is_refresh, self.challenge.borrow().as_ref()) {
            let verifier = form::value(form, "code_verifier").unwrap_or_default();
            if encode(digest(&SHA256, verifier.as_bytes())) != *challenge {
                return (400, json!({ "error": "invalid_grant" }));
            }
        }
        let mut claims = self.usual_claims();
        claims["nonce"] = json!(*self.nonce.borrow());
        lay_over(&mut claims, &self.claims.borrow());
        let mut told = json!({
            "access_token": if is_refresh { "second-access" } else { "first-access" },
            "refresh_token": "refresh-me", "expires_in": 300, "token_type": "Bearer",
            "id_token": self.signer.borrow().token(&claims),
        });
        lay_over(&mut told, &self.tokens.borrow());
        (200, told)
    }

    /// What a token of this provider says.
    pub(super) fn usual_claims(&self) -> Value {
        json!({ "iss": ISSUER, "sub": "ann", "aud": "shop", "exp": NOW + 3600, "iat": NOW, "scope": "read" })
    }

    /// A token with these claims laid over the usual ones.
    pub(super) fn token(&self, claims: &Value) -> String {
        let mut all = self.usual_claims();
        lay_over(&mut all, claims);
        self.signer.borrow().token(&all)
    }

    /// The forms that were posted here, and whether each came with `Authorization`.
    pub(super) fn forms(&self, path: &str) -> Vec<(String, bool)> {
        let calls = self.calls.borrow();
        let posted = calls.iter().filter(|call| call.url.ends_with(path));
        posted
            .map(|call| {
                (String::from_utf8(call.body.to_vec()).unwrap(), call.fields.contains("authorization"))
            })
            .collect()
    }

    /// How often this was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        self.calls.borrow().iter().filter(|call| call.url.ends_with(path)).count()
    }
}

/// Members that are null go away.
fn lay_over(value: &mut Value, over: &Value) {
    let members = value.as_object_mut().unwrap();
    for (name, value) in over.as_object().into_iter().flatten() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}

fn discovery() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": format!("{ISSUER}/auth"),
        "token_endpoint": format!("{ISSUER}/token"),
        "introspection_endpoint": format!("{ISSUER}/introspect"),
        "userinfo_endpoint": format!("{ISSUER}/userinfo"),
        "end_session_endpoint": format!("{ISSUER}/logout"),
        "revocation_endpoint": format!("{ISSUER}/revoke"),
        "pushed_authorization_request_endpoint": format!("{ISSUER}/par"),
        "jwks_uri": format!("{ISSUER}/jwks"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
    })
}

/// A body with these members laid over the least one.
pub(super) fn body(more: &Value) -> Value {
    let mut body = json!({ "client_id": "shop", "client_secret": "s e:cret", "discovery": DISCOVERY });
    lay_over(&mut body, more);
    body
}

/// Why a body is refused.
pub(super) fn refusal(more: &Value) -> String {
    try_harness(&PLUGIN, body(more)).err().map(|error| error.message).unwrap_or_default()
}

/// A browser: keeps the cookies that it is given.
#[derive(Default)]
pub(super) struct Browser(pub(super) Map<String, Value>);

impl Browser {
    /// The `Cookie` field.
    pub(super) fn cookies(&self) -> String {
        let pairs: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect();
        pairs.join("; ")
    }

    /// Asks for something, and takes the answer's cookies.
    pub(super) fn get(&mut self, bench: &mut Harness, target: &str) -> usher_pipeline::harness::Outcome {
        let cookies = self.cookies();
        let mut fields = vec![("X-Userinfo", "spoofed"), ("X-ID-Token", "spoofed")];
        if !cookies.is_empty() {
            fields.push(("Cookie", cookies.as_str()));
        }
        let outcome = bench.send("GET", target, &fields, "");
        for line in outcome.head.get_all("set-cookie") {
            let line = std::str::from_utf8(line).unwrap();
            let (pair, attributes) = line.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), json!(value));
            }
        }
        outcome
    }
}
