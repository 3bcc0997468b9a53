//! The provider: its discovery document and published keys, fetched when they are needed and kept for a while, and what it answers to a code.
//!
//! It is spoken to over https alone, or on loopback; without redirects, and with a bound on time, size and how many ask at once.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use reqwest::{RequestBuilder, StatusCode, Url};
use serde_json::{Map, Value};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use usher_model::jose::algorithm::{Algorithm, Family};
use usher_model::jose::claims::{Times, date};
use usher_model::jose::jwks::Jwks;
use usher_model::jose::provider::{DISCOVERY, Expected, Metadata};
use usher_model::jose::token::Token;
use usher_model::secret::Secret;

use super::trouble::clean;
use super::{Begun, LASTS, OidcSettings, Trouble};

/// The largest answer that is taken, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// How long what was fetched is believed.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// How long a provider that failed isn't asked again for the same.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often keys are asked for because a token names an unknown one.
const PAUSE_BETWEEN_KEYS: Duration = Duration::from_secs(10);
/// Codes that are exchanged at the same time; whoever is one more waits.
const AT_ONCE: usize = 16;
/// How far the clocks may differ.
const LEEWAY: Duration = Duration::from_secs(60);

/// A provider.
pub(super) struct Provider {
    issuer: String,
    client_id: String,
    client_secret: Secret<String>,
    http: reqwest::Client,
    /// Whether the issuer is on this machine, and may be spoken to in clear.
    is_local: bool,
    /// Held while it is asked, so that of many who log in one asks.
    metadata: Mutex<Kept<Metadata>>,
    keys: Mutex<Kept<Jwks>>,
    /// The newest discovery document, for whoever doesn't want to wait.
    known: RwLock<Option<Arc<Metadata>>>,
    slots: Semaphore,
}

struct Kept<T> {
    found: Option<(Instant, Arc<T>)>,
    failed: Option<(Instant, Trouble)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { found: None, failed: None }
    }
}

impl<T> Kept<T> {
    fn young(&self, than: Duration) -> Option<Arc<T>> {
        self.found.as_ref().filter(|(at, _)| at.elapsed() < than).map(|(_, found)| Arc::clone(found))
    }

    /// What is to be answered while it isn't asked again: the last good one, or why there is none.
    fn pausing(&self) -> Option<Result<Arc<T>, Trouble>> {
        let (_, trouble) = self.failed.as_ref().filter(|(at, _)| at.elapsed() < PAUSE_AFTER_FAILURE)?;
        Some(self.last().ok_or_else(|| trouble.clone()))
    }

    fn last(&self) -> Option<Arc<T>> {
        self.found.as_ref().map(|(_, found)| Arc::clone(found))
    }

    /// Takes up an answer; after a failure the last good one stays.
    fn take(&mut self, what: &str, read: Result<T, Trouble>) -> Result<Arc<T>, Trouble> {
        match read {
            Ok(found) => {
                let found = Arc::new(found);
                *self = Self { found: Some((Instant::now(), Arc::clone(&found))), failed: None };
                Ok(found)
            }
            Err(trouble) => {
                tracing::warn!(error = %trouble, what, "the provider that people log in with can't be asked");
                self.failed = Some((Instant::now(), trouble.clone()));
                self.last().ok_or(trouble)
            }
        }
    }
}

impl Provider {
    pub(super) fn new(settings: &OidcSettings, client_secret: Secret<String>) -> Result<Self, String> {
        let is_local = is_on_loopback(&settings.issuer);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("usher/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.timeout)
            .timeout(settings.timeout);
        if is_local {
            builder = builder.no_proxy();
        }
        if let Some(path) = &settings.ca_file {
            let pem = std::fs::read(path)
                .map_err(|error| format!("ca_file: could not read {}: {error}", path.display()))?;
            let found = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if found.is_empty() {
                return Err(format!("ca_file: {} holds no certificate in PEM", path.display()));
            }
            builder = found.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        Ok(Self {
            issuer: settings.issuer.clone(),
            client_id: settings.client_id.clone(),
            client_secret,
            http: builder.build().map_err(|error| format!("no connection could be set up: {error}"))?,
            is_local,
            metadata: Mutex::default(),
            keys: Mutex::default(),
            known: RwLock::default(),
            slots: Semaphore::new(AT_ONCE),
        })
    }

    /// The discovery document.
    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>, Trouble> {
        let mut kept = self.metadata.lock().await;
        if let Some(young) = kept.young(KEPT) {
            return Ok(young);
        }
        if let Some(answer) = kept.pausing() {
            return answer;
        }
        let found = kept.take("discovery", self.discover().await);
        if let Ok(found) = &found {
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(found));
        }
        found
    }

    /// The discovery document, where it was asked for already.
    pub(super) fn known(&self) -> Option<Arc<Metadata>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn discover(&self) -> Result<Metadata, Trouble> {
        let url = format!("{}{DISCOVERY}", self.issuer.trim_end_matches('/'));
        let text = self.get(&url, None).await?;
        let metadata: Metadata = serde_json::from_slice(&text).map_err(|error| {
            Trouble::Unusable(format!("its discovery document at {url} can't be read: {error}"))
        })?;
        if metadata.issuer != self.issuer {
            return Err(Trouble::Unusable(format!(
                "at {url} it says that it is {}, and console.oidc.issuer says {}",
                clean(&metadata.issuer),
                self.issuer
            )));
        }
        // What can't be used isn't kept, so that the next one who logs in finds what was mended.
        self.endpoint(metadata.authorization_endpoint.as_deref(), "authorization_endpoint")?;
        self.endpoint(metadata.token_endpoint.as_deref(), "token_endpoint")?;
        self.endpoint(metadata.jwks_uri.as_deref(), "jwks_uri")?;
        Ok(metadata)
    }

    /// An address of the discovery document, where it may be used.
    pub(super) fn endpoint(&self, url: Option<&str>, what: &str) -> Result<String, Trouble> {
        let url = url.ok_or_else(|| Trouble::Unusable(format!("its discovery document names no {what}")))?;
        let is_safe = match Url::parse(url) {
            Ok(parsed) => parsed.scheme() == "https" || self.is_local && is_on_loopback(url),
            Err(_) => false,
        };
        if is_safe {
            return Ok(url.to_owned());
        }
        Err(Trouble::Unusable(format!("its {what} {} is no https:// address", clean(url))))
    }

    /// The published keys; asked for anew where none is the token's.
    async fn keys(&self, metadata: &Metadata, token: &Token<'_>) -> Result<Arc<Jwks>, Trouble> {
        let mut kept = self.keys.lock().await;
        if let Some(young) =
            kept.young(KEPT).filter(|young| young.knows(token)).or(kept.young(PAUSE_BETWEEN_KEYS))
        {
            return Ok(young);
        }
        if let Some(answer) = kept.pausing() {
            return answer;
        }
        let read = async {
            let url = self.endpoint(metadata.jwks_uri.as_deref(), "jwks_uri")?;
            let text = self.get(&url, None).await?;
            Jwks::parse(&text)
                .map_err(|error| Trouble::Unusable(format!("its keys at {url} can't be read: {error}")))
        };
        kept.take("keys", read.await)
    }

    /// Exchanges a code for tokens (RFC 6749, section 4.1.3).
    pub(super) async fn exchange(
        &self,
        metadata: &Metadata,
        begun: &Begun,
        code: &str,
    ) -> Result<Map<String, Value>, Trouble> {
        let url = self.endpoint(metadata.token_endpoint.as_deref(), "token_endpoint")?;
        let request = self.code_request(&url, metadata, begun, code);
        let (status, text) = self.send(&url, request).await?;
        let answer = serde_json::from_slice::<Map<String, Value>>(&text).ok();
        let said = answer.as_ref().and_then(|answer| answer.get("error")).and_then(Value::as_str);
        match (status, said) {
            (StatusCode::OK, None) => {
                answer.ok_or_else(|| Trouble::Away(format!("what it answered at {url} is no JSON object")))
            }
            (_, Some("invalid_grant")) => {
                Err(Trouble::token("it doesn't take the code, which was used before or is too old"))
            }
            (_, Some("invalid_client" | "unauthorized_client")) => {
                Err(Trouble::Unusable("it refuses the client_id or client_secret of Usher".to_owned()))
            }
            (_, Some(error)) => Err(Trouble::Unusable(format!("at {url} it answered {}", clean(error)))),
            (status, None) => Err(Trouble::Away(format!("{url} answered {}", status.as_u16()))),
        }
    }

    fn code_request(&self, url: &str, metadata: &Metadata, begun: &Begun, code: &str) -> RequestBuilder {
        let secret = self.client_secret.expose();
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", begun.redirect_uri())
            .append_pair("code_verifier", begun.verifier());
        let mut request = self.http.post(url).header("accept", "application/json");
        if metadata.takes_secret_in_form() {
            form.append_pair("client_id", &self.client_id).append_pair("client_secret", secret);
        } else {
            let escaped = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(escaped(&self.client_id), Some(escaped(secret)));
        }
        request.header("content-type", "application/x-www-form-urlencoded").body(form.finish())
    }

    /// The claims of the ID token among these tokens, once it proved to be made by the provider, for this client and this login.
    pub(super) async fn verified(
        &self,
        metadata: &Metadata,
        begun: &Begun,
        tokens: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Trouble> {
        let text = tokens.get("id_token").and_then(Value::as_str);
        let text = text.ok_or(Trouble::token("there is no id token"))?;
        let token =
            Token::parse(text).map_err(|why| Trouble::token(format!("the id token can't be read: {why}")))?;
        let is_public = |algorithm: &Algorithm| algorithm.family() != Family::Shared;
        if !Algorithm::ALL.iter().filter(|one| is_public(one)).any(|one| one.name() == token.algorithm()) {
            let algorithm = clean(token.algorithm());
            return Err(Trouble::token(format!(
                "the id token is signed by {algorithm}, which needs no key of the provider's"
            )));
        }
        if !self.keys(metadata, &token).await?.verifies(&token) {
            return Err(Trouble::token("the id token's signature is not the provider's"));
        }
        let claims = token.claims();
        let expected = Expected { issuer: &self.issuer, client_id: &self.client_id, nonce: begun.nonce() };
        expected.subject(claims).map_err(Trouble::token)?;
        // Whoever else it is made for could have shown it here; so it has to say to whom it was given.
        let several = claims.get("aud").and_then(Value::as_array).is_some_and(|list| list.len() > 1);
        if several && !claims.contains_key("azp") {
            return Err(Trouble::token(
                "the id token is made for several clients, and doesn't say which one asked",
            ));
        }
        check_times(claims)?;
        Ok(token.into_claims())
    }

    /// The claims with what the provider tells of the person beside its ID token, which goes on to count where both say something.
    pub(super) async fn told(
        &self,
        metadata: &Metadata,
        tokens: &Map<String, Value>,
        claims: Map<String, Value>,
    ) -> Result<Map<String, Value>, Trouble> {
        let url = self.endpoint(metadata.userinfo_endpoint.as_deref(), "userinfo_endpoint")?;
        let Some(access) = tokens.get("access_token").and_then(Value::as_str) else { return Ok(claims) };
        let text = self.get(&url, Some(access)).await?;
        let Ok(mut told) = serde_json::from_slice::<Map<String, Value>>(&text) else {
            return Err(Trouble::Away(format!("what it answered at {url} is no JSON object")));
        };
        if told.get("sub") != claims.get("sub") {
            return Err(Trouble::token("it speaks of another person than its id token"));
        }
        // An address and whether it is verified belong together.
        if claims.contains_key("email") {
            told.remove("email_verified");
        }
        told.extend(claims);
        Ok(told)
    }

    async fn get(&self, url: &str, token: Option<&str>) -> Result<Vec<u8>, Trouble> {
        let mut request = self.http.get(url).header("accept", "application/json");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        match self.send(url, request).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(Trouble::Away(format!("{url} answered {}", status.as_u16()))),
        }
    }

    async fn send(&self, url: &str, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Trouble> {
        let _slot = self.slots.acquire().await;
        let away = |error: reqwest::Error| {
            let late = error.is_timeout();
            let error = error.without_url();
            let mut innermost: &dyn std::error::Error = &error;
            while let Some(source) = innermost.source() {
                innermost = source;
            }
            Trouble::Away(if late {
                format!("{url} doesn't answer in time")
            } else {
                format!("{url}: {innermost}")
            })
        };
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(away)?);
            if body.len() > MOST_BYTES {
                return Err(Trouble::Away(format!("{url} answers more than 1 MiB")));
            }
        }
        Ok((status, body))
    }
}

/// Whether a token is valid now, and was made for a login of these minutes.
fn check_times(claims: &Map<String, Value>) -> Result<(), Trouble> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let times = Times { leeway_secs: LEEWAY.as_secs(), needs_exp: true, needs_nbf: false };
    let unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    times
        .check(claims, unix_ms)
        .map_err(|why| Trouble::token(format!("the id token is not valid: {why}")))?;
    let issued = claims.get("iat").and_then(date);
    let issued = issued.ok_or(Trouble::token("the id token doesn't say when it was made"))?;
    let earliest = now.saturating_sub(LASTS + LEEWAY).as_secs_f64();
    let latest = (now + LEEWAY).as_secs_f64();
    if (earliest..=latest).contains(&issued) {
        return Ok(());
    }
    Err(Trouble::token("the id token was not made for this log-in: its time is another"))
}

/// Whether an address is on this very machine.
#[must_use]
pub fn is_on_loopback(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
