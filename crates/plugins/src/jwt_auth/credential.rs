//! A consumer's key for `jwt-auth`, with which its tokens are verified.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_model::jose::algorithm::{Algorithm, Family};
use usher_model::jose::token::Token;
use usher_model::jose::verifier::Verifier;
use usher_model::reference::is_reference;
use usher_model::secret::Secret;
use usher_pipeline::spec::Credential;

use crate::schema::{number, written_as};

/// A consumer's key, parsed: one algorithm, one key.
#[derive(Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct JwtAuthCredential {
    key: String,
    /// `None` where the key is kept elsewhere and isn't known here: it verifies nothing.
    verifier: Option<Verifier>,
    grace_secs: u64,
}

/// A consumer's key for tokens, and how they are signed.
#[derive(Deserialize, JsonSchema)]
struct Written {
    /// What the token's claim names, at least 1 character. No two consumers may have the same.
    #[schemars(length(min = 1))]
    key: String,
    /// The secret of `HS256`, `HS384` and `HS512`; sealed in the store.
    #[schemars(length(min = 1))]
    secret: Option<Secret<String>>,
    /// The public key of all other algorithms, as PEM: a public key, or a certificate that holds one. RSA keys have 2048 to 8192 bits.
    #[schemars(length(min = 1))]
    public_key: Option<String>,
    /// How the consumer's tokens are signed. A token that names another algorithm is refused.
    #[serde(default)]
    algorithm: Algorithm,
    /// Seconds, at least 1. Accepted for APISIX's sake: tokens are made by their issuer, who sets their end.
    #[serde(default = "number::<86400>")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "tokens are signed elsewhere")]
    exp: u64,
    /// Whether `secret` is written in base64.
    #[serde(default)]
    base64_secret: bool,
    /// How far the issuer's clock may differ, in seconds.
    #[serde(default = "number::<0>")]
    lifetime_grace_period: u64,
}

impl TryFrom<Written> for JwtAuthCredential {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let verifier = verifier(&written)?;
        Ok(Self { key: written.key, verifier, grace_secs: written.lifetime_grace_period })
    }
}

fn verifier(written: &Written) -> Result<Option<Verifier>, String> {
    let algorithm = written.algorithm;
    if algorithm.family() == Family::Shared {
        let secret = written.secret.as_ref().map(Secret::expose).filter(|secret| !secret.is_empty());
        let secret = secret.ok_or_else(|| {
            format!("property \"secret\" is required where \"algorithm\" is {}", algorithm.name())
        })?;
        if is_reference(secret) {
            return Ok(None);
        }
        let decoded = written.base64_secret.then(|| STANDARD.decode(secret)).transpose();
        let decoded = decoded.map_err(
            |_| "property \"secret\" validation failed: it is no base64, and base64_secret is true",
        )?;
        return Verifier::shared(algorithm, decoded.as_deref().unwrap_or(secret.as_bytes())).map(Some);
    }
    let pem = written.public_key.as_deref().ok_or_else(|| {
        format!("property \"public_key\" is required where \"algorithm\" is {}", algorithm.name())
    })?;
    if is_reference(pem) {
        return Ok(None);
    }
    let verifier = Verifier::pem(algorithm, pem);
    verifier.map(Some).map_err(|reason| format!("property \"public_key\" validation failed: {reason}"))
}

impl JwtAuthCredential {
    /// Whether this consumer signed the token.
    pub(super) fn verifies(&self, token: &Token<'_>) -> bool {
        self.verifier.as_ref().is_some_and(|verifier| verifier.verifies(token))
    }

    /// How far clocks may differ, in seconds.
    pub(super) const fn grace_secs(&self) -> u64 {
        self.grace_secs
    }
}

written_as!(JwtAuthCredential, Written);

impl Credential for JwtAuthCredential {
    const UNIQUE: &'static str = "key";

    fn unique(&self) -> &str {
        &self.key
    }
}
