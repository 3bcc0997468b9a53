//! Encrypted cookies: AES-256-GCM with a random nonce, bound to what they are for, to the provider and to the client.
//!
//! A cookie that was made for another provider, another purpose or with another secret can't be opened: what one login gave is no good elsewhere.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use usher_http1::head::Head;
use usher_model::jose::token::{decode, encode};
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::BuildError;

use super::config::{SameSite, SessionConfig};

/// The longest value of one cookie; browsers take 4096 bytes with name and attributes.
const CHUNK: usize = 3600;
/// How many cookies one session may take.
const MAX_CHUNKS: usize = 6;
/// The length of a nonce, in bytes.
const NONCE: usize = 12;

/// What stands behind a session cookie's name in the names of the cookies of logins.
pub(super) const LOGIN: &str = "_login";

/// Makes, reads and ends cookies.
pub(super) struct Cookies {
    key: LessSafeKey,
    context: String,
    pub(super) name: String,
    path: String,
    domain: Option<String>,
    http_only: bool,
    secure: Option<bool>,
    same_site: SameSite,
}

impl Cookies {
    /// For one provider and client; `context` names them.
    pub(super) fn new(config: &SessionConfig, context: String) -> Result<Self, BuildError> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, config.secret.expose().as_bytes());
        let derived = hmac::sign(&secret, b"usher openid-connect session");
        let key = UnboundKey::new(&AES_256_GCM, derived.as_ref()).map_err(|_| {
            BuildError::new("property \"session\" validation failed: its secret can't be used")
        })?;
        let is_plain = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'='))
        };
        let parts = [
            ("cookie_name", config.cookie_name.as_str()),
            ("cookie_path", &config.cookie_path),
            ("cookie_domain", config.cookie_domain.as_deref().unwrap_or_default()),
        ];
        if let Some((member, text)) = parts.iter().find(|(_, text)| !is_plain(text)) {
            return Err(BuildError::new(format!(
                "property \"session\" validation failed: {member} {text:?} has a character that no cookie has"
            )));
        }
        if config.cookie_name.is_empty() {
            return Err(BuildError::new("property \"session\" validation failed: cookie_name is empty"));
        }
        Ok(Self {
            key: LessSafeKey::new(key),
            context,
            name: config.cookie_name.clone(),
            path: config.cookie_path.clone(),
            domain: config.cookie_domain.clone(),
            http_only: config.cookie_http_only,
            secure: config.cookie_secure,
            same_site: config.cookie_same_site,
        })
    }

    /// A value, encrypted for this purpose.
    pub(super) fn seal(&self, purpose: &str, value: &impl Serialize) -> Option<String> {
        let mut nonce = [0; NONCE];
        rand::fill(&mut nonce).ok()?;
        let mut text = serde_json::to_vec(value).ok()?;
        let aad = Aad::from(format!("{purpose}\n{}", self.context));
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).ok()?;
        let mut sealed = nonce.to_vec();
        sealed.append(&mut text);
        Some(encode(sealed))
    }

    /// The value that was encrypted for this purpose.
    pub(super) fn open<T: DeserializeOwned>(&self, purpose: &str, sealed: &str) -> Option<T> {
        let sealed = decode(sealed)?;
        let (nonce, text) = sealed.split_first_chunk::<NONCE>()?;
        let mut text = text.to_vec();
        let aad = Aad::from(format!("{purpose}\n{}", self.context));
        let inside = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut text).ok()?;
        serde_json::from_slice(inside).ok()
    }

    /// The session cookie of a request, its pieces put together.
    pub(super) fn session_of(&self, exchange: &Exchange) -> Option<String> {
        let mut whole = String::new();
        for at in 0..MAX_CHUNKS {
            match exchange.request.cookie(&self.chunk(at)) {
                Some(piece) => whole.push_str(piece),
                None => break,
            }
        }
        (!whole.is_empty()).then_some(whole)
    }

    fn chunk(&self, at: usize) -> String {
        if at == 0 { self.name.clone() } else { format!("{}{}", self.name, at + 1) }
    }

    /// Sets the session cookie, in as many pieces as it takes, and ends those that are too many. `false` where it is too large.
    pub(super) fn set_session(
        &self,
        exchange: &Exchange,
        head: &mut Head,
        sealed: &str,
        secure: bool,
    ) -> bool {
        if sealed.len() > CHUNK * MAX_CHUNKS {
            return false;
        }
        let mut rest = sealed;
        for at in 0..MAX_CHUNKS {
            let name = self.chunk(at);
            if rest.is_empty() {
                if exchange.request.cookie(&name).is_some() {
                    self.set(head, &name, "", Some(0), secure);
                }
                continue;
            }
            let (piece, behind) = rest.split_at_checked(CHUNK).unwrap_or((rest, ""));
            self.set(head, &name, piece, None, secure);
            rest = behind;
        }
        true
    }

    /// Ends the session cookie, with all of its pieces.
    pub(super) fn end_session(&self, exchange: &Exchange, head: &mut Head, secure: bool) {
        for at in 0..MAX_CHUNKS {
            let name = self.chunk(at);
            if exchange.request.cookie(&name).is_some() {
                self.set(head, &name, "", Some(0), secure);
            }
        }
    }

    /// Whether a cookie of this name is one of ours.
    pub(super) fn is_own(&self, name: &str) -> bool {
        name.strip_prefix(self.name.as_str()).is_some_and(|rest| {
            let number = rest.strip_prefix(LOGIN).unwrap_or(rest);
            number.len() <= 2 && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    }

    /// Sets a cookie; `max_age` in seconds, none for as long as the browser runs.
    pub(super) fn set(&self, head: &mut Head, name: &str, value: &str, max_age: Option<u64>, secure: bool) {
        let mut line = format!("{name}={value}; Path={}", self.path);
        if let Some(domain) = &self.domain {
            line.push_str("; Domain=");
            line.push_str(domain);
        }
        if let Some(seconds) = max_age {
            line.push_str("; Max-Age=");
            line.push_str(&seconds.to_string());
        }
        if self.http_only {
            line.push_str("; HttpOnly");
        }
        if self.secure.unwrap_or(secure) {
            line.push_str("; Secure");
        }
        // The provider's own page leads back to the end of a login.
        let is_login = name.strip_prefix(self.name.as_str()).is_some_and(|rest| rest.starts_with(LOGIN));
        line.push_str(match self.same_site {
            SameSite::Strict if !is_login => "; SameSite=Strict",
            SameSite::Strict => "; SameSite=Lax",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
            SameSite::Default => "",
        });
        if let Err(error) = head.append("Set-Cookie", line) {
            tracing::warn!(%error, "left out a cookie that can't be sent");
        }
    }
}
