//! Tokens that a client brings: verified by their signature, or judged by the provider.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_model::jose::algorithm::Family;
use usher_model::jose::claims::{Times, date};
use usher_model::jose::token::Token;
use usher_model::jose::verifier::Verifier;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::worker::Worker;

use super::OpenidConnect;
use super::assertion::KIND;
use super::config::AuthMethod;
use super::provider::Trouble;
use crate::form;

/// Headers of one message that mean nothing in another.
const FRAMING: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "connection", "content-encoding", "expect"];

/// What a token's claims come to.
pub(super) type Claims = Map<String, Value>;

/// A judgement of the provider's that is believed for a while.
pub(super) struct Judged {
    claims: Arc<Claims>,
    until: Instant,
}

/// What a request has as a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Brought {
    Nothing,
    Token(String),
    /// An `Authorization` without anything behind its first word, or two of them.
    Malformed,
}

/// The token in `Authorization: Bearer`, or else in `X-Access-Token`.
pub(super) fn brought(head: &Head) -> Brought {
    let mut fields = head.get_all("authorization");
    let Some(field) = fields.next() else {
        return match head.get_str("x-access-token") {
            Some(token) if !token.is_empty() => Brought::Token(token.to_owned()),
            _ => Brought::Nothing,
        };
    };
    if fields.next().is_some() {
        return Brought::Malformed;
    }
    let text = std::str::from_utf8(field).unwrap_or_default().trim();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Brought::Token(token.trim().to_owned())
        }
        Some(_) => Brought::Nothing,
        None => Brought::Malformed,
    }
}

impl OpenidConnect {
    /// The claims of a token that the client brought.
    ///
    /// # Errors
    /// What is wrong with it, for client and log.
    pub(super) async fn judge_bearer(
        &self,
        exchange: &Exchange,
        worker: &Rc<dyn Worker>,
        token: &str,
    ) -> Result<Arc<Claims>, String> {
        let claims = if self.public_key.is_some() || self.config.use_jwks {
            Arc::new(self.verify(worker, token).await?)
        } else {
            self.introspect(exchange, worker, token).await?
        };
        Ok(claims)
    }

    /// Verifies a token by signature, issuer and times.
    async fn verify(&self, worker: &Rc<dyn Worker>, text: &str) -> Result<Claims, String> {
        let token = Token::parse(text).map_err(|reason| format!("the token can't be read: {reason}"))?;
        self.check_signature(worker, &token).await?;
        self.check_issuer(worker, token.claims(), true).await?;
        self.check_times(worker, token.claims(), false)?;
        Ok(token.into_claims())
    }

    /// Whether the provider signed it, by an algorithm that may be.
    pub(super) async fn check_signature(
        &self,
        worker: &Rc<dyn Worker>,
        token: &Token<'_>,
    ) -> Result<(), String> {
        const UNSIGNED: &str = "the token's signature is not the provider's";
        let expected = self.config.token_signing_alg_values_expected;
        if expected.is_some_and(|expected| expected.name() != token.algorithm()) {
            return Err("the token is signed by an algorithm that is not expected".to_owned());
        }
        let is_signed = if let Some(key) = &self.public_key {
            key.verifies(token)
        } else if let Some(algorithm) = expected.filter(|expected| expected.family() == Family::Shared) {
            // The secret is the client's own: the provider signs with it only where that was asked for.
            let secret = self.config.client_secret.as_ref().map(|secret| secret.expose().as_bytes());
            let verifier = secret.and_then(|secret| Verifier::shared(algorithm, secret).ok());
            verifier.is_some_and(|verifier| verifier.verifies(token))
        } else {
            self.provider.keys(worker, token).await.map_err(told)?.verifies(token)
        };
        if is_signed { Ok(()) } else { Err(UNSIGNED.to_owned()) }
    }

    /// Whether the issuer is one whose tokens are taken.
    pub(super) async fn check_issuer(
        &self,
        worker: &Rc<dyn Worker>,
        claims: &Claims,
        is_needed: bool,
    ) -> Result<(), String> {
        let issuer = match claims.get("iss") {
            None if !is_needed => return Ok(()),
            found => found.and_then(Value::as_str).ok_or("the token names no issuer")?,
        };
        let valid = self.config.claim_validator.as_ref().and_then(|rules| rules.issuer.as_ref());
        let is_valid = match valid.and_then(|issuer| issuer.valid_issuers.as_ref()) {
            Some(valid) => valid.iter().any(|known| known == issuer),
            None => self.provider.metadata(worker).await.map_err(told)?.issuer == issuer,
        };
        if is_valid { Ok(()) } else { Err("the token is another issuer's".to_owned()) }
    }

    /// Whether it is valid now.
    pub(super) fn check_times(
        &self,
        worker: &Rc<dyn Worker>,
        claims: &Claims,
        needs_exp: bool,
    ) -> Result<(), String> {
        let times = Times { leeway_secs: self.config.iat_slack, needs_exp, needs_nbf: false };
        times.check(claims, worker.unix_ms()).map_err(|reason| format!("the token is not valid: {reason}"))
    }

    /// Lets the provider judge a token (RFC 7662).
    async fn introspect(
        &self,
        exchange: &Exchange,
        worker: &Rc<dyn Worker>,
        token: &str,
    ) -> Result<Arc<Claims>, String> {
        let now = worker.now();
        let more = self.told_besides(&exchange.request.head);
        // What a provider is told besides may change what it says.
        let asked = more.iter().fold(token.as_bytes().to_vec(), |mut asked, (name, value)| {
            for part in [name.as_bytes(), value] {
                asked.push(0);
                asked.extend_from_slice(part);
            }
            asked
        });
        let key: [u8; 32] = digest(&SHA256, &asked).as_ref().try_into().unwrap_or_default();
        if let Some(judged) = self.judged.get(&key).filter(|judged| now < judged.until) {
            return Ok(Arc::clone(&judged.claims));
        }
        let endpoint = match &self.config.introspection_endpoint {
            Some(endpoint) => endpoint.clone(),
            None => {
                let metadata = self.provider.metadata(worker).await.map_err(told)?;
                metadata.introspection_endpoint.clone().ok_or("the provider judges no tokens")?
            }
        };
        let form = [("token", token), ("token_type_hint", "access_token")];
        let method = self.config.introspection_endpoint_auth_method;
        let claims = self.post_with(worker, &endpoint, &form, method, &more).await;
        let claims = claims.map_err(told)?;
        if claims.get("active") != Some(&json!(true)) {
            return Err("the token is not active".to_owned());
        }
        self.check_issuer(worker, &claims, false).await?;
        self.check_times(worker, &claims, false)?;
        let claims = Arc::new(claims);
        if self.config.introspection_interval > 0 {
            let left = claims
                .get(&self.config.introspection_expiry_claim)
                .and_then(date)
                .map_or(f64::MAX, |exp| exp - worker.unix_ms() as f64 / 1000.0);
            let seconds = left.clamp(0.0, self.config.introspection_interval as f64);
            let until = now + Duration::from_secs_f64(seconds.min(86400.0));
            self.judged.insert(key, Arc::new(Judged { claims: Arc::clone(&claims), until }));
        }
        Ok(claims)
    }

    /// Headers of the client that the provider is told.
    fn told_besides(&self, head: &Head) -> Head {
        let mut more = Head::empty();
        // How a message is framed is its own business.
        let is_framing = |name: &str| FRAMING.iter().any(|known| known.eq_ignore_ascii_case(name));
        for name in self.config.introspection_addon_headers.iter().flatten() {
            if let Some(value) = head.get(name).filter(|_| !is_framing(name))
                && let Err(error) = more.set(name, value)
            {
                tracing::debug!(%error, "a header can't be told to the provider");
            }
        }
        more
    }

    /// Posts a form as this client.
    pub(super) async fn post(
        &self,
        worker: &Rc<dyn Worker>,
        url: &str,
        form: &[(&str, &str)],
        method: AuthMethod,
    ) -> Result<Map<String, Value>, Trouble> {
        self.post_with(worker, url, form, method, &Head::empty()).await
    }

    /// The same with further headers.
    async fn post_with(
        &self,
        worker: &Rc<dyn Worker>,
        url: &str,
        form: &[(&str, &str)],
        method: AuthMethod,
        more: &Head,
    ) -> Result<Map<String, Value>, Trouble> {
        let id = self.config.client_id.as_str();
        let mut form = form.to_vec();
        if matches!(method, AuthMethod::ClientSecretJwt | AuthMethod::PrivateKeyJwt) {
            let now = worker.unix_ms() / 1000;
            let assertion = self.assertions.sign(&self.config, method, url, now).map_err(Trouble)?;
            form.extend([
                ("client_id", id),
                ("client_assertion_type", KIND),
                ("client_assertion", assertion.as_str()),
            ]);
            return self.provider.post(worker, url, &form, None, more).await;
        }
        match &self.config.client_secret {
            Some(secret) if method == AuthMethod::ClientSecretBasic => {
                // RFC 6749, section 2.3.1: both are encoded as in a form first.
                let login = format!("{}:{}", form::escaped(id), form::escaped(secret.expose()));
                let authorization = format!("Basic {}", STANDARD.encode(login));
                self.provider.post(worker, url, &form, Some(&authorization), more).await
            }
            Some(secret) => {
                form.extend([("client_id", id), ("client_secret", secret.expose())]);
                self.provider.post(worker, url, &form, None, more).await
            }
            None => {
                form.push(("client_id", id));
                self.provider.post(worker, url, &form, None, more).await
            }
        }
    }

    /// Whether the claims lack scopes, as the sentence of the answer 403: it names all that are required.
    pub(super) fn missing_scopes(&self, claims: &Claims) -> Option<String> {
        let required = self.config.required_scopes.as_ref()?;
        let has: Vec<&str> = match claims.get("scope").or_else(|| claims.get("scp")) {
            Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let lacks = required.iter().any(|scope| !has.contains(&scope.as_str()));
        lacks.then(|| format!("required scopes {} not present", required.join(", ")))
    }

    /// What is wrong with the claims' audience.
    pub(super) fn wrong_audience(&self, claims: &Claims) -> Option<&'static str> {
        let rules = self.config.claim_validator.as_ref()?.audience.as_ref()?;
        let found = claims.get(&rules.claim);
        if rules.required && found.is_none() {
            return Some("required audience claim not present");
        }
        let is_meant = match found {
            None => true,
            Some(Value::Array(list)) => list.iter().any(|one| one.as_str() == Some(&self.config.client_id)),
            Some(one) => one.as_str() == Some(&self.config.client_id),
        };
        (rules.match_with_client_id && !is_meant).then_some("mismatched audience")
    }
}

/// What a client reads of a provider that can't be asked; the log has more.
fn told(trouble: Trouble) -> String {
    tracing::warn!(error = %trouble.0, "an identity provider can't be asked");
    "the identity provider can't be asked".to_owned()
}
