//! `hmac-auth` lets in who signed the request with a consumer's secret.
//!
//! The signature covers date and request target unless `signed_headers` says otherwise: a signature that covers less could be used again, for
//! other requests or for ever. A body that is judged by its digest has to have that digest signed.
//!
//! Example: `{"signed_headers": ["@request-target", "date"], "clock_skew": 300, "hide_credentials": true}`

mod parameters;
mod signing_text;

use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::compat::Behaviour;
use usher_model::secret::Secret;
use usher_pipeline::consumer::Found;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::{Credential, Spec};

use crate::alike::alike;
use crate::schema::{MAX_BODY_BYTES, number, written_as};
use crate::stranger::Stranger;
use parameters::Parameters;
use signing_text::signing_text;

/// `hmac-auth`.
pub(crate) static PLUGIN: Spec = Spec::of::<HmacAuth>().auth::<HmacAuthCredential>();

/// Lets in who signed the request with a consumer's secret.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The algorithms that a client may sign with.
    #[serde(default = "algorithms")]
    #[schemars(length(min = 1))]
    allowed_algorithms: Vec<Algorithm>,
    /// How far the client's clock may differ, in seconds. 0 judges no date at all, so that a request can be sent again for ever.
    #[serde(default = "number::<300>")]
    clock_skew: u64,
    /// What a signature has to cover: names of headers, and `@request-target` for method, path and query. By default `@request-target` and `date`.
    #[schemars(inner(length(min = 1, max = 50)))]
    signed_headers: Option<Vec<String>>,
    /// Whether the body has to fit the header `Digest`, which then has to be signed.
    #[serde(default)]
    validate_request_body: bool,
    /// The largest body that is judged, in bytes, at least 1. A larger one is answered 413.
    #[serde(default = "number::<MAX_BODY_BYTES>")]
    #[schemars(range(min = 1))]
    max_req_body_size: u64,
    /// Takes `Authorization` out of the request before the upstream sees it.
    #[serde(default)]
    hide_credentials: bool,
    /// The realm that the answer 401 names.
    #[serde(default = "realm")]
    realm: String,
    /// The consumer as which requests go on that carry no valid signature. Without it they are answered 401.
    anonymous_consumer: Option<String>,
}

fn algorithms() -> Vec<Algorithm> {
    Algorithm::ALL.to_vec()
}

fn realm() -> String {
    "hmac".to_owned()
}

/// How a client signs.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
enum Algorithm {
    #[serde(rename = "hmac-sha1")]
    Sha1,
    #[serde(rename = "hmac-sha256")]
    Sha256,
    #[serde(rename = "hmac-sha512")]
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha256 => "hmac-sha256",
            Self::Sha512 => "hmac-sha512",
        }
    }
}

/// A consumer's secret, as a key of each algorithm.
#[derive(Deserialize)]
#[serde(from = "Written")]
struct HmacAuthCredential {
    key_id: String,
    sha1: hmac::Key,
    sha256: hmac::Key,
    sha512: hmac::Key,
}

/// A consumer's secret for signatures.
#[derive(Deserialize, JsonSchema)]
struct Written {
    /// What a signature names, 1 to 256 characters. No two consumers may have the same.
    #[schemars(length(min = 1, max = 256))]
    key_id: String,
    /// The secret, 1 to 256 characters; sealed in the store.
    #[schemars(length(min = 1, max = 256))]
    secret_key: Secret<String>,
}

impl From<Written> for HmacAuthCredential {
    fn from(written: Written) -> Self {
        let key = |algorithm| hmac::Key::new(algorithm, written.secret_key.expose().as_bytes());
        Self {
            sha1: key(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            sha256: key(hmac::HMAC_SHA256),
            sha512: key(hmac::HMAC_SHA512),
            key_id: written.key_id,
        }
    }
}

impl HmacAuthCredential {
    const fn key(&self, algorithm: Algorithm) -> &hmac::Key {
        match algorithm {
            Algorithm::Sha1 => &self.sha1,
            Algorithm::Sha256 => &self.sha256,
            Algorithm::Sha512 => &self.sha512,
        }
    }
}

written_as!(HmacAuthCredential, Written);

impl Credential for HmacAuthCredential {
    const UNIQUE: &'static str = "key_id";

    fn unique(&self) -> &str {
        &self.key_id
    }
}

struct HmacAuth {
    allowed: Vec<Algorithm>,
    clock_skew: Duration,
    signed_headers: Vec<String>,
    validate_request_body: bool,
    max_body_bytes: u64,
    hide_credentials: bool,
    stranger: Stranger,
}

impl Plugin for HmacAuth {
    const NAME: &'static str = "hmac-auth";
    const PRIORITY: i32 = 2530;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Later(Self::authenticate)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let mut signed = config.signed_headers.unwrap_or_else(|| {
            let target = !env.process().compat().has(Behaviour::UnsignedHmacTarget);
            target.then_some("@request-target").into_iter().chain(["date"]).map(str::to_owned).collect()
        });
        signed.iter_mut().for_each(|name| name.make_ascii_lowercase());
        let mut require = |name: &str| {
            if !signed.iter().any(|known| known == name) {
                signed.push(name.to_owned());
            }
        };
        if !env.process().compat().has(Behaviour::UnsignedHmacTarget) {
            if config.clock_skew > 0 {
                // A date that isn't signed is whatever a thief of the signature writes.
                require("date");
            }
            if config.validate_request_body {
                require("digest");
            }
        }
        Ok(Self {
            allowed: config.allowed_algorithms,
            clock_skew: Duration::from_secs(config.clock_skew),
            signed_headers: signed,
            validate_request_body: config.validate_request_body,
            max_body_bytes: config.max_req_body_size,
            hide_credentials: config.hide_credentials,
            stranger: Stranger::new(Self::NAME, "hmac", &config.realm, config.anonymous_consumer)?,
        })
    }
}

/// Why a request isn't let in.
enum Problem {
    /// The sentence that the client reads.
    Told(String),
    /// For the log alone: a client doesn't learn what was nearly right.
    Kept(&'static str),
    /// The body can't be judged.
    Body(u16),
}

impl HmacAuth {
    fn authenticate<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            const REFUSED: &str = "client request can't be validated";
            let told = match self.judge(exchange).await {
                Ok(found) => {
                    exchange.attach(&found);
                    None
                }
                Err(Problem::Body(status)) => return Reply::new(status).into(),
                Err(Problem::Told(reason)) => Some(format!("{REFUSED}: {reason}")),
                Err(Problem::Kept(reason)) => {
                    tracing::debug!(reason, "a signature of hmac-auth is not valid");
                    Some(REFUSED.to_owned())
                }
            };
            if let Some(told) = told
                && let Err(refusal) = self.stranger.meet(exchange, &told)
            {
                return refusal;
            }
            if self.hide_credentials {
                exchange.request.head.remove("Authorization");
            }
            Flow::Continue
        }
        .boxed_local()
    }

    async fn judge(&self, exchange: &mut Exchange) -> Result<Found, Problem> {
        let found = {
            let head = &exchange.request.head;
            let parameters = Parameters::read(head).map_err(|reason| Problem::Told(reason.to_owned()))?;
            let algorithm = self.allowed.iter().find(|allowed| allowed.name() == parameters.algorithm);
            let algorithm = *algorithm.ok_or(Problem::Kept("the algorithm is not allowed"))?;
            self.check_clock(exchange)?;
            if let Some(name) = self.signed_headers.iter().find(|name| !parameters.signs(name)) {
                tracing::debug!(name, "a signature of hmac-auth does not cover what it has to");
                return Err(Problem::Kept("it does not cover enough"));
            }
            if let Some(name) = parameters.headers.iter().find(|name| head.get_all(name).nth(1).is_some()) {
                tracing::debug!(name, "a signed header stands twice");
                return Err(Problem::Kept("a signed header stands twice"));
            }
            let absent = |name: &&String| *name != "@request-target" && !head.contains(name);
            if self.signed_headers.iter().any(|name| absent(&name)) {
                return Err(Problem::Kept("a header that has to be signed is absent"));
            }
            let unknown = Problem::Kept("nobody has this keyId");
            let found = exchange.find_credential(Self::NAME, parameters.key_id.as_bytes()).ok_or(unknown)?;
            let credential = found.config.downcast_ref::<HmacAuthCredential>();
            let key = credential.ok_or(Problem::Kept("the credential is of another kind"))?.key(algorithm);
            let text = signing_text(&exchange.request, &parameters);
            let signature = STANDARD.decode(parameters.signature).map_err(|_| Problem::Kept("no base64"))?;
            hmac::verify(key, &text, &signature).map_err(|_| Problem::Kept("the signature is another"))?;
            found
        };
        if self.validate_request_body {
            self.check_body(exchange).await?;
        }
        Ok(found)
    }

    fn check_clock(&self, exchange: &Exchange) -> Result<(), Problem> {
        if self.clock_skew.is_zero() {
            return Ok(());
        }
        let date = exchange.request.head.get_str("date").ok_or(Problem::Kept("it has no Date"))?;
        let date = httpdate::parse_http_date(date).map_err(|_| Problem::Kept("its Date is no time"))?;
        let date = date.duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Duration::from_millis(exchange.worker().unix_ms());
        // A date has whole seconds: so has the difference.
        if Duration::from_secs(now.as_secs()).abs_diff(date) > self.clock_skew {
            return Err(Problem::Kept("its Date is too far away"));
        }
        Ok(())
    }

    async fn check_body(&self, exchange: &mut Exchange) -> Result<(), Problem> {
        let digest = {
            let mut fields = exchange.request.head.get_all("digest");
            let sent = fields.next().ok_or(Problem::Kept("it has no Digest"))?;
            let digest = sent.strip_prefix(b"SHA-256=").filter(|_| fields.next().is_none());
            digest.ok_or(Problem::Kept("its Digest can't be read"))?.to_vec()
        };
        let body = exchange.request.body.read_whole(self.max_body_bytes).await;
        let body = body.map_err(|error| Problem::Body(error.status()))?;
        let found = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
        if alike(STANDARD.encode(found).as_bytes(), &digest) {
            Ok(())
        } else {
            Err(Problem::Kept("the body is another"))
        }
    }
}

#[cfg(test)]
mod tests;
