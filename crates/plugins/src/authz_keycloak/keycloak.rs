//! Keycloak as it is asked: its endpoints, the gateway's own token, and its answers.

use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_http1::head::Head;
use usher_model::secret::Secret;
use usher_pipeline::worker::{Answer, Call, Worker};

use super::config::Config;
use crate::callee::is_confidential;
use crate::form;

/// The largest answer that is taken, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// What is known of Keycloak, shared by all workers.
#[derive(Default)]
pub(super) struct Known(Mutex<State>);

#[derive(Default)]
struct State {
    endpoints: Option<(Instant, Endpoints)>,
    token: Option<(Instant, Secret<String>)>,
}

/// Where Keycloak decides and names resources.
#[derive(Clone, Deserialize)]
struct Endpoints {
    token_endpoint: Option<String>,
    resource_registration_endpoint: Option<String>,
}

/// Which endpoint.
#[derive(Clone, Copy)]
enum Which {
    Token,
    Resources,
}

/// Keycloak, for one request.
pub(super) struct Keycloak<'k> {
    pub(super) config: &'k Config,
    pub(super) known: &'k Known,
    pub(super) worker: Rc<dyn Worker>,
    /// Whether secrets may go over plain http.
    pub(super) allow_plain: bool,
}

impl Known {
    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keycloak<'_> {
    /// Asks for a decision over these permissions, in the name of who bears this `Authorization`.
    pub(super) async fn decide(
        &self,
        authorization: &[u8],
        permissions: &[String],
    ) -> Result<Answer, String> {
        let endpoint = self.endpoint(Which::Token).await?;
        let mut form = vec![
            ("grant_type", self.config.grant_type.name()),
            ("audience", &self.config.client_id),
            ("response_mode", "decision"),
        ];
        form.extend(permissions.iter().map(|permission| ("permission", permission.as_str())));
        self.post(&endpoint, &form, Some(authorization)).await
    }

    /// Exchanges a user's password for a token.
    pub(super) async fn log_in(&self, user: &str, password: &str) -> Result<Answer, String> {
        let endpoint = self.endpoint(Which::Token).await?;
        let mut form = vec![("grant_type", "password"), ("client_id", &*self.config.client_id)];
        form.extend(
            self.config.client_secret.as_ref().map(|secret| ("client_secret", secret.expose().as_str())),
        );
        form.extend([("username", user), ("password", password)]);
        self.post(&endpoint, &form, None).await
    }

    /// The resources that a path belongs to, by their ids.
    pub(super) async fn resources(&self, uri: &str) -> Result<Vec<String>, String> {
        let endpoint = self.endpoint(Which::Resources).await?;
        let token = self.own_token().await?;
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        let query = form::encode([("uri", uri), ("matchingUri", "true")]);
        let authorization = format!("Bearer {}", token.expose());
        let url = format!("{endpoint}{joint}{query}");
        let answer = self.call("GET", &url, Bytes::new(), Some(authorization.as_bytes())).await?;
        if answer.head.status() != 200 {
            return Err(format!("it names no resources: {}", answer.head.status()));
        }
        serde_json::from_slice(&answer.body).map_err(|_| "its list of resources can't be read".to_owned())
    }

    /// The gateway's own token.
    async fn own_token(&self) -> Result<Secret<String>, String> {
        let now = self.worker.now();
        let kept = self.known.state(|state| state.token.clone());
        if let Some((until, token)) = kept
            && now < until
        {
            return Ok(token);
        }
        let endpoint = self.endpoint(Which::Token).await?;
        let secret = self.config.client_secret.as_ref().map_or("", |secret| secret.expose().as_str());
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.config.client_id.as_str()),
            ("client_secret", secret),
        ];
        let answer = self.post(&endpoint, &form, None).await?;
        if answer.head.status() != 200 {
            return Err(format!("it gives the gateway no token: {}", answer.head.status()));
        }
        let told: Map<String, Value> =
            serde_json::from_slice(&answer.body).map_err(|_| "its answer is no JSON object".to_owned())?;
        let token =
            told.get("access_token").and_then(Value::as_str).ok_or("its answer has no access_token")?;
        let token = Secret::new(token.to_owned());
        let lasts =
            told.get("expires_in").and_then(Value::as_u64).unwrap_or(self.config.access_token_expires_in);
        let lasts = lasts.saturating_sub(1).saturating_sub(self.config.access_token_expires_leeway);
        let until = now + Duration::from_secs(lasts.min(86400));
        self.known.state(|state| state.token = Some((until, token.clone())));
        Ok(token)
    }

    async fn endpoint(&self, which: Which) -> Result<String, String> {
        let (given, name) = match which {
            Which::Token => (&self.config.token_endpoint, "token endpoint"),
            Which::Resources => {
                (&self.config.resource_registration_endpoint, "resource registration endpoint")
            }
        };
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let discovered = self.discovered().await?;
        let found = match which {
            Which::Token => discovered.token_endpoint,
            Which::Resources => discovered.resource_registration_endpoint,
        };
        found.ok_or_else(|| format!("unable to determine the {name}"))
    }

    async fn discovered(&self) -> Result<Endpoints, String> {
        let now = self.worker.now();
        let keep = Duration::from_secs(self.config.cache_ttl_seconds);
        let kept = self.known.state(|state| state.endpoints.clone());
        if let Some((since, endpoints)) = &kept
            && now.saturating_duration_since(*since) < keep
        {
            return Ok(endpoints.clone());
        }
        let url = self.config.discovery.as_deref().ok_or("unable to determine the token endpoint")?;
        let read = self.call("GET", url, Bytes::new(), None).await.and_then(|answer| {
            if answer.head.status() != 200 {
                return Err(format!("its discovery document answered {}", answer.head.status()));
            }
            serde_json::from_slice::<Endpoints>(&answer.body)
                .map_err(|_| "its discovery document can't be read".to_owned())
        });
        match read {
            Ok(endpoints) => {
                self.known.state(|state| state.endpoints = Some((now, endpoints.clone())));
                Ok(endpoints)
            }
            Err(error) => kept.map(|(_, endpoints)| endpoints).ok_or(error),
        }
    }

    async fn post(
        &self,
        url: &str,
        form: &[(&str, &str)],
        authorization: Option<&[u8]>,
    ) -> Result<Answer, String> {
        self.call("POST", url, Bytes::from(form::encode(form.iter().copied())), authorization).await
    }

    async fn call(
        &self,
        method: &str,
        url: &str,
        body: Bytes,
        authorization: Option<&[u8]>,
    ) -> Result<Answer, String> {
        if !self.allow_plain && !is_confidential(url) {
            return Err(format!("{url} is plain http, and \"allow_plain_http\" is not set"));
        }
        let mut fields = Head::empty();
        let mut put = |name: &str, value: &[u8]| fields.set(name, value).map_err(|error| error.to_string());
        if !body.is_empty() {
            put("Content-Type", b"application/x-www-form-urlencoded")?;
        }
        if let Some(authorization) = authorization {
            put("Authorization", authorization)?;
        }
        let call = Call {
            method: method.to_owned(),
            url: url.to_owned(),
            fields,
            body,
            timeout: Duration::from_millis(self.config.timeout.min(600_000)),
            verify: self.config.ssl_verify,
            max_answer_bytes: MAX_ANSWER_BYTES,
        };
        self.worker.fetch(call).await.map_err(|error| error.to_string())
    }
}
