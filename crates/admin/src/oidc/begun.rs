//! What a login began with, as it lies sealed in a cookie of the browser that began it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use usher_model::jose::token::encode;

use crate::service::Service;

/// How long a login may take.
pub(crate) const LASTS: Duration = Duration::from_secs(10 * 60);
/// What it is sealed for.
const PURPOSE: &str = "oidc-login";
/// Characters of a place that is come back to.
const LONGEST_PLACE: usize = 1000;

/// What a login began with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    state: String,
    nonce: String,
    verifier: String,
    redirect_uri: String,
    to: Option<String>,
    /// In seconds since 1970.
    ends: u64,
}

impl Begun {
    /// A fresh one; `None` where the system gives no randomness. `to` is the place of the console that is wanted afterwards.
    pub(super) fn new(redirect_uri: String, to: Option<String>) -> Option<Self> {
        let to = to.filter(|to| to.len() <= LONGEST_PLACE);
        let ends = now()?.saturating_add(LASTS.as_secs());
        Some(Self { state: random()?, nonce: random()?, verifier: random()?, redirect_uri, to, ends })
    }

    /// As the cookie holds it; `None` where the keyring fails.
    pub(crate) fn seal(&self, service: &Service) -> Option<String> {
        let sealed = service.seal_note(PURPOSE, &serde_json::to_string(self).ok()?)?;
        // A cookie's value takes fewer characters than a sealed text may have.
        Some(encode(sealed))
    }

    /// What a cookie holds; `None` for one that isn't ours, or too old.
    pub(crate) fn open(service: &Service, cookie: &str) -> Option<Self> {
        let sealed = String::from_utf8(usher_model::jose::token::decode(cookie)?).ok()?;
        let begun: Self = serde_json::from_str(&service.open_note(PURPOSE, &sealed)?).ok()?;
        (begun.ends > now()?).then_some(begun)
    }

    pub(super) fn is_state(&self, state: &str) -> bool {
        self.state.as_bytes().ct_eq(state.as_bytes()).into()
    }

    pub(super) fn state(&self) -> &str {
        &self.state
    }

    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    pub(super) fn verifier(&self) -> &str {
        &self.verifier
    }

    pub(super) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Whether the browser speaks TLS to whoever it reaches us by.
    pub(crate) fn is_secure(&self) -> bool {
        self.redirect_uri.starts_with("https://")
    }

    /// The place of the console that was wanted.
    pub(crate) fn into_place(self) -> Option<String> {
        self.to
    }
}

fn now() -> Option<u64> {
    Some(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Bytes that nobody can guess, as text.
fn random() -> Option<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(encode(bytes))
}
