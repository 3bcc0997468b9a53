//! Questions to registries over HTTP: a base URL with whoever asks, and answers as JSON.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use serde_json::Value;
use usher_http1::head::Head;
use usher_model::secret::Secret;

use crate::ask::{Answer, Ask, Bounds, ask_within, authority, field};

/// The largest answer: a service with thousands of nodes takes some megabytes.
const MOST_BYTES: usize = 16 << 20;

/// One server of a registry.
pub(super) struct Web {
    /// Scheme, host and port, without a slash at the end.
    base: String,
    user: Option<(String, Secret<String>)>,
    own: Arc<[SocketAddr]>,
    tls: Option<Arc<ClientConfig>>,
    verify: bool,
}

/// One question.
pub(super) struct Question<'a> {
    pub(super) method: &'a str,
    /// From the first slash on.
    pub(super) path: &'a str,
    /// Further fields.
    pub(super) fields: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
    pub(super) within: Duration,
    /// Whether the first line is waited for, instead of the end.
    pub(super) one_line: bool,
}

impl Question<'_> {
    pub(super) const fn get(path: &str, within: Duration) -> Question<'_> {
        Question { method: "GET", path, fields: &[], body: &[], within, one_line: false }
    }
}

impl Web {
    /// A server by its base URL, in which a user and a password may stand.
    ///
    /// # Errors
    /// It is no URL that can be called.
    pub(super) fn new(url: &str, own: &Arc<[SocketAddr]>) -> Result<Self, String> {
        let bad = || "a server of a registry is written as a URL such as http://127.0.0.1:8500".to_owned();
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (at, behind) = rest.split_at(end);
        let (user, host) = match at.rsplit_once('@') {
            Some((user, host)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                (Some((name.to_owned(), Secret::new(password.to_owned()))), host)
            }
            None => (None, at),
        };
        let base = format!("{scheme}://{host}{}", behind.trim_end_matches('/'));
        authority(&base)?;
        Ok(Self { base, user, own: Arc::clone(own), tls: None, verify: true })
    }

    /// The same, known by this authority.
    pub(super) fn known_by(mut self, tls: Option<Arc<ClientConfig>>, verify: bool) -> Self {
        (self.tls, self.verify) = (tls, verify);
        self
    }

    /// Where it is, without who asks.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Who asks, where the URL says it.
    pub(super) const fn user(&self) -> Option<&(String, Secret<String>)> {
        self.user.as_ref()
    }

    /// Asks.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Answer, String> {
        let mut fields = Head::empty();
        field(&mut fields, "Accept", "application/json")?;
        for (name, value) in question.fields {
            field(&mut fields, name, value)?;
        }
        let url = format!("{}{}", self.base, question.path);
        let asked =
            Ask { method: question.method, url: &url, fields, body: question.body, verify: self.verify };
        let bounds = Bounds {
            within: question.within,
            most_bytes: MOST_BYTES,
            one_line: question.one_line,
            tls: self.tls.clone(),
        };
        ask_within(asked, &bounds, &self.own).await
    }

    /// The value of `Authorization` for whom the URL names.
    pub(super) fn basic(&self) -> Option<String> {
        let (name, password) = self.user.as_ref()?;
        Some(format!("Basic {}", STANDARD.encode(format!("{name}:{}", password.expose()))))
    }
}

/// Asks servers of which any knows all, one after the other until one answers, beginning with the one at `place`: where the next question begins.
///
/// # Errors
/// What the last one failed by.
pub(super) async fn ask_in_turn<'a, T, F: Future<Output = Result<T, String>>>(
    all: &'a [Web],
    place: &mut usize,
    ask: impl Fn(&'a Web) -> F,
) -> Result<T, String> {
    let mut failed = "no server".to_owned();
    for next in 0..all.len() {
        let at = place.wrapping_add(next) % all.len();
        let Some(server) = all.get(at) else { continue };
        match ask(server).await {
            Ok(answer) => {
                *place = at;
                return Ok(answer);
            }
            Err(reason) => failed = reason,
        }
    }
    Err(failed)
}

/// The JSON of an answer with status 200.
///
/// # Errors
/// It is another status, or no JSON.
pub(super) fn json(who: &str, answer: &Answer) -> Result<Value, String> {
    match answer.status {
        200 => serde_json::from_slice(&answer.body).map_err(|_| format!("{who} did not answer with JSON")),
        401 | 403 => Err(format!("{who} answered {}: whoever asks may not see this", answer.status)),
        status => Err(format!("{who} answered {status}")),
    }
}

/// A text as it stands in a path or a query (RFC 3986): everything but unreserved characters is escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The same with slashes left.
pub(super) fn escaped_path(text: &str) -> String {
    text.split('/').map(escaped).collect::<Vec<_>>().join("/")
}
