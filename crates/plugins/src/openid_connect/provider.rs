//! The identity provider: its discovery document and published keys, fetched when they are needed and kept for a while.
//!
//! What was fetched stays while the provider is away. All workers share it; nobody waits for a lock while a call is under way.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value};
use usher_http1::head::Head;
use usher_model::jose::jwks::Jwks;
use usher_model::jose::provider::Metadata;
use usher_model::jose::token::Token;
use usher_pipeline::worker::{Call, Worker};

use crate::callee::is_confidential;
use crate::form;

/// The largest answer that is taken from a provider, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
/// How long a provider that failed isn't asked again for the same.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often keys are asked for because a token names an unknown one: anybody can send such tokens.
const PAUSE_BETWEEN_KEYS: Duration = Duration::from_secs(10);

/// Why a provider couldn't be used; for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble(pub(super) String);

/// How a provider is reached.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) verify: bool,
    pub(super) timeout: Duration,
    /// Whether secrets may go over plain http.
    pub(super) allow_plain: bool,
}

/// A provider.
pub(super) struct Provider {
    discovery: String,
    pub(super) line: Line,
    keep: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    metadata: Option<(Instant, Arc<Metadata>)>,
    keys: Option<(Instant, Arc<Jwks>)>,
    failed: Option<(Instant, Trouble)>,
    asked_for_keys: Option<Instant>,
}

impl Provider {
    pub(super) fn new(discovery: &str, line: Line, keep: Duration) -> Self {
        Self { discovery: discovery.to_owned(), line, keep, state: Mutex::default() }
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The discovery document.
    pub(super) async fn metadata(&self, worker: &Rc<dyn Worker>) -> Result<Arc<Metadata>, Trouble> {
        let now = worker.now();
        let (kept, failed) = self.state(|state| (state.metadata.clone(), state.failed.clone()));
        if let Some((since, metadata)) = &kept
            && now.saturating_duration_since(*since) < self.keep
        {
            return Ok(Arc::clone(metadata));
        }
        let old = kept.map(|(_, metadata)| metadata);
        if let Some((at, trouble)) = failed
            && now.saturating_duration_since(at) < PAUSE_AFTER_FAILURE
        {
            return old.ok_or(trouble);
        }
        let read = self.get(worker, &self.discovery, None).await.and_then(|text| {
            serde_json::from_slice::<Metadata>(&text)
                .map_err(|error| Trouble(format!("the discovery document can't be used: {error}")))
        });
        match read {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                self.state(|state| {
                    state.metadata = Some((now, Arc::clone(&metadata)));
                    state.failed = None;
                });
                Ok(metadata)
            }
            Err(trouble) => {
                tracing::warn!(error = %trouble.0, "an identity provider's discovery document can't be read");
                self.state(|state| state.failed = Some((now, trouble.clone())));
                old.ok_or(trouble)
            }
        }
    }

    /// The published keys; asked for anew where none is the token's.
    pub(super) async fn keys(
        &self,
        worker: &Rc<dyn Worker>,
        token: &Token<'_>,
    ) -> Result<Arc<Jwks>, Trouble> {
        let now = worker.now();
        let (kept, asked) = self.state(|state| (state.keys.clone(), state.asked_for_keys));
        let rests = asked.is_some_and(|at| now.saturating_duration_since(at) < PAUSE_BETWEEN_KEYS);
        if let Some((since, keys)) = &kept {
            let is_young = now.saturating_duration_since(*since) < self.keep;
            if rests || (is_young && keys.knows(token)) {
                return Ok(Arc::clone(keys));
            }
        } else if asked.is_some_and(|at| now.saturating_duration_since(at) < PAUSE_AFTER_FAILURE) {
            return Err(Trouble("its keys could not be read a moment ago".to_owned()));
        }
        self.state(|state| state.asked_for_keys = Some(now));
        let read = async {
            let metadata = self.metadata(worker).await?;
            let uri = metadata.jwks_uri.clone().ok_or_else(|| Trouble("it publishes no keys".to_owned()))?;
            let text = self.get(worker, &uri, None).await?;
            Jwks::parse(&text).map_err(|error| Trouble(format!("its keys can't be used: {error}")))
        };
        match read.await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                self.state(|state| state.keys = Some((now, Arc::clone(&keys))));
                Ok(keys)
            }
            Err(trouble) => {
                tracing::warn!(error = %trouble.0, "an identity provider's keys can't be read");
                kept.map(|(_, keys)| keys).ok_or(trouble)
            }
        }
    }

    /// A GET, with a token where there is one.
    pub(super) async fn get(
        &self,
        worker: &Rc<dyn Worker>,
        url: &str,
        token: Option<&str>,
    ) -> Result<Bytes, Trouble> {
        let mut fields = Head::empty();
        let mut put = |name: &str, value: &str| {
            fields.set(name, value).map_err(|error| Trouble(format!("a header can't be sent: {error}")))
        };
        put("Accept", "application/json")?;
        if let Some(token) = token {
            put("Authorization", &format!("Bearer {token}"))?;
        }
        self.call(worker, "GET", url, fields, Bytes::new()).await
    }

    /// A form that is posted, and the object that is answered.
    pub(super) async fn post(
        &self,
        worker: &Rc<dyn Worker>,
        url: &str,
        form: &[(&str, &str)],
        authorization: Option<&str>,
        more: &Head,
    ) -> Result<Map<String, Value>, Trouble> {
        // Our own come last, so that nothing stands in their place.
        let mut fields = more.clone();
        let mut put = |name: &str, value: &str| {
            fields.set(name, value).map_err(|error| Trouble(format!("a header can't be sent: {error}")))
        };
        put("Content-Type", "application/x-www-form-urlencoded")?;
        put("Accept", "application/json")?;
        if let Some(authorization) = authorization {
            put("Authorization", authorization)?;
        }
        let body = Bytes::from(form::encode(form.iter().copied()));
        let text = self.call(worker, "POST", url, fields, body).await?;
        if text.trim_ascii().is_empty() {
            // A token that was ended is answered by nothing (RFC 7009, section 2.2).
            return Ok(Map::new());
        }
        serde_json::from_slice(&text)
            .map_err(|_| Trouble("the provider's answer is no JSON object".to_owned()))
    }

    async fn call(
        &self,
        worker: &Rc<dyn Worker>,
        method: &str,
        url: &str,
        fields: Head,
        body: Bytes,
    ) -> Result<Bytes, Trouble> {
        if !self.line.allow_plain && !is_confidential(url) {
            return Err(Trouble(format!("{url} is plain http, and \"allow_plain_http\" is not set")));
        }
        let call = Call {
            method: method.to_owned(),
            url: url.to_owned(),
            fields,
            body,
            timeout: self.line.timeout,
            verify: self.line.verify,
            max_answer_bytes: MAX_ANSWER_BYTES,
        };
        let answer = worker.fetch(call).await.map_err(|error| Trouble(error.to_string()))?;
        // 201: what was pushed is kept (RFC 9126, section 2.2).
        if matches!(answer.head.status(), 200 | 201) {
            Ok(answer.body)
        } else {
            Err(Trouble(format!("{url} answered {}", answer.head.status())))
        }
    }
}
