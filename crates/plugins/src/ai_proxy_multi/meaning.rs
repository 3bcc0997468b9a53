//! The instance whose examples are closest to what is asked, by the vectors that a model of embeddings gives them.
//!
//! The examples are embedded once for all workers, each request's question once. Where that fails, or nothing is close enough, the instance that is
//! marked so catches all; a conversation never waits longer for it than `embeddings.timeout`, and never fails for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::BuildError;
use usher_pipeline::worker::{Call, FetchError};

use crate::ai::config::{Auth, Place};
use crate::ai::message::{is_users, text};
use crate::ai::protocol::Protocol;
use crate::ai::provider::Provider;
use crate::callee::check_confidential;
use crate::form;
use crate::schema::{number, yes};

/// How long examples that could not be embedded aren't tried again.
const PAUSE: Duration = Duration::from_secs(5);
/// The largest answer that is taken, in bytes: vectors are long.
const MAX_BYTES: u64 = 32 << 20;
/// How much of a question is embedded, in bytes: what models of embeddings take is bounded, and its beginning tells enough.
const MOST_TEXT: usize = 8 << 10;

/// Who embeds.
#[derive(Clone, Deserialize, JsonSchema)]
pub(super) struct Embeddings {
    /// Who has the model: one that takes `openai-embeddings` and is authorized by a field or an argument.
    provider: Provider,
    /// The model, at least one character.
    #[schemars(length(min = 1))]
    model: String,
    /// Where the provider is, with or without a path, where that isn't its usual place.
    #[schemars(length(min = 1))]
    endpoint: Option<String>,
    /// How the gateway is authorized there.
    auth: Auth,
    /// How long the whole call may take, in milliseconds, at least 1.
    #[serde(default = "number::<3_000>")]
    #[schemars(range(min = 1))]
    timeout: u64,
    /// Whether the provider's certificate is verified.
    #[serde(default = "yes")]
    ssl_verify: bool,
}

/// What one instance is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Purpose {
    pub(super) examples: Vec<String>,
    /// How close a question has to be, -1 to 1; whatever the balancer says where it isn't given.
    pub(super) threshold: Option<f64>,
    pub(super) catches_all: bool,
}

/// The vectors of each instance's examples, in the order of the instances.
type Known = Arc<Vec<Vec<Vector>>>;

/// A vector of length 1.
type Vector = Vec<f32>;

/// How instances are told apart by meaning.
pub(super) struct Meaning {
    call: Call,
    model: String,
    /// In the order of the fleet's members.
    purposes: Vec<Purpose>,
    threshold: Option<f64>,
    /// Whoever finds nothing asks; the others wait for him.
    known: Mutex<Learned>,
}

#[derive(Default)]
struct Learned {
    vectors: Option<Known>,
    failed: Option<Instant>,
}

impl Meaning {
    /// # Errors
    /// Whoever embeds can't be asked.
    pub(super) fn build(
        written: &Embeddings,
        threshold: Option<f64>,
        env: &Env<'_>,
    ) -> Result<Self, BuildError> {
        let wrong =
            |reason: String| BuildError::new(format!("property \"embeddings\" validation failed: {reason}"));
        let nowhere = Place::default();
        let usual = written.provider.path(Protocol::Embeddings, &nowhere, &written.model).map_err(wrong)?;
        let endpoint = match &written.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => written
                .provider
                .home(&nowhere)
                .map_err(|_| {
                    wrong(format!(
                        "endpoint is required: the provider {} is wherever it says",
                        written.provider.name()
                    ))
                })?
                .into_owned(),
        };
        if written.auth.is_of_a_cloud() || written.provider == Provider::VertexAi {
            return Err(wrong(
                "embeddings are asked for with auth.header or auth.query only; take another provider"
                    .to_owned(),
            ));
        }
        check_confidential("embeddings.endpoint", &endpoint, false, env)?;
        let (base, query) = endpoint.split_once('?').unwrap_or((&endpoint, ""));
        let rest = base.split_once("://").map_or("", |(_, rest)| rest);
        let has_path = rest.split_once('/').is_some_and(|(_, path)| !path.is_empty());
        let base = if has_path { base.to_owned() } else { format!("{}{usual}", base.trim_end_matches('/')) };
        let own = written.auth.query.expose().iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let query = [query.to_owned(), form::encode(own)];
        let query: Vec<&str> = query.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let mut fields = Head::empty();
        let json = std::iter::once(("Content-Type", "application/json"));
        let own = written.auth.header.expose().iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in json.chain(own) {
            fields.set(name, value).map_err(|_| wrong(format!("auth: the field {name:?} can't be sent")))?;
        }
        let call = Call {
            method: "POST".to_owned(),
            url: format!("{base}{mark}{}", query.join("&")),
            fields,
            body: Bytes::new(),
            timeout: Duration::from_millis(written.timeout),
            verify: written.ssl_verify,
            max_answer_bytes: MAX_BYTES,
        };
        Ok(Self {
            call,
            model: written.model.clone(),
            purposes: Vec::new(),
            threshold,
            known: Mutex::default(),
        })
    }

    /// Tells what the members are for, in their order.
    ///
    /// # Errors
    /// Nobody has an example, or two catch all.
    pub(super) fn with(mut self, purposes: Vec<Purpose>) -> Result<Self, BuildError> {
        if purposes.iter().all(|purpose| purpose.examples.is_empty()) {
            return Err(BuildError::new(
                "no instance has examples; balancer.algorithm semantic needs some of what each is asked",
            ));
        }
        if purposes.iter().filter(|purpose| purpose.catches_all).count() > 1 {
            return Err(BuildError::new("more than one instance is the catchall; leave one"));
        }
        self.purposes = purposes;
        Ok(self)
    }

    /// How well each member fits what is asked: those that are close enough by how close they are, then whoever catches all, then the others as they
    /// stand.
    pub(super) async fn scores(&self, exchange: &Exchange, body: &Map<String, Value>) -> Vec<f64> {
        let close = match self.closeness(exchange, body).await {
            Ok(close) => close,
            Err(reason) => {
                tracing::warn!(reason, "what a model is asked can't be compared; the catchall is taken");
                vec![None; self.purposes.len()]
            }
        };
        let score = |(close, purpose): (Option<f64>, &Purpose)| match close {
            Some(close) if purpose.threshold.or(self.threshold).is_none_or(|least| close >= least) => close,
            _ if purpose.catches_all => -2.0,
            _ => -3.0,
        };
        close.into_iter().zip(&self.purposes).map(score).collect()
    }

    /// How close what is asked is to the closest example of each member; `None` for one without examples.
    async fn closeness(
        &self,
        exchange: &Exchange,
        body: &Map<String, Value>,
    ) -> Result<Vec<Option<f64>>, String> {
        let question = question(body).ok_or("the request has no text of a user's")?;
        let known = self.known(exchange).await?;
        let vectors = self.embed(exchange, &[&question]).await?;
        let asked = vectors.first().ok_or("there is no vector")?;
        let best = |examples: &Vec<Vector>| {
            examples.iter().map(|example| dot(asked, example)).max_by(f64::total_cmp)
        };
        Ok(known.iter().map(best).collect())
    }

    async fn known(&self, exchange: &Exchange) -> Result<Known, String> {
        let mut learned = self.known.lock().await;
        if let Some(known) = &learned.vectors {
            return Ok(Arc::clone(known));
        }
        let now = exchange.worker().now();
        if learned.failed.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return Err("the examples could not be embedded a moment ago".to_owned());
        }
        let all: Vec<&str> =
            self.purposes.iter().flat_map(|purpose| &purpose.examples).map(String::as_str).collect();
        match self.embed(exchange, &all).await {
            Ok(vectors) => {
                let mut vectors = vectors.into_iter();
                let own = |purpose: &Purpose| vectors.by_ref().take(purpose.examples.len()).collect();
                let known = Arc::new(self.purposes.iter().map(own).collect());
                *learned = Learned { vectors: Some(Arc::clone(&known)), failed: None };
                Ok(known)
            }
            Err(reason) => {
                learned.failed = Some(now);
                Err(reason)
            }
        }
    }

    /// A vector for each of these texts.
    async fn embed(&self, exchange: &Exchange, texts: &[&str]) -> Result<Vec<Vector>, String> {
        let body = json!({ "model": self.model, "input": texts }).to_string().into();
        let call = Call { body, ..self.call.clone() };
        let answer = exchange.worker().fetch(call).await.map_err(|error| told(&error))?;
        if answer.head.status() != 200 {
            return Err(format!("embeddings are answered with {}", answer.head.status()));
        }
        vectors(&answer.body, texts.len())
    }
}

/// Why whoever embeds can't be asked, without the URL: a key may stand among its arguments.
fn told(error: &FetchError) -> String {
    let reason = match error {
        FetchError::BadUrl { reason, .. } => reason,
        FetchError::Forbidden(_) => "it is an address that the gateway does not call",
        FetchError::Unreachable { reason, .. } | FetchError::BadAnswer { reason, .. } => reason,
        FetchError::TimedOut(_) => "it did not answer in time",
    };
    format!("the model of embeddings can't be asked: {reason}")
}

/// The vectors of an answer, by their index.
fn vectors(answer: &[u8], wanted: usize) -> Result<Vec<Vector>, String> {
    #[derive(Deserialize)]
    struct Answer {
        data: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        index: Option<usize>,
        embedding: Vec<f32>,
    }
    let answer: Answer =
        serde_json::from_slice(answer).map_err(|_| "the answer has no embeddings".to_owned())?;
    let mut all: Vec<Option<Vector>> = vec![None; wanted];
    for (at, one) in answer.data.into_iter().enumerate() {
        let place = all.get_mut(one.index.unwrap_or(at));
        let place = place.ok_or("an embedding has an index that nothing was asked for")?;
        *place = Some(unit(one.embedding).ok_or("an embedding is no vector")?);
    }
    all.into_iter().collect::<Option<_>>().ok_or_else(|| "an embedding is missing".to_owned())
}

/// The same direction at length 1; a vector without a direction stays as it is. `None` for what is no vector.
fn unit(vector: Vec<f32>) -> Option<Vector> {
    let length = vector.iter().map(|part| f64::from(*part).powi(2)).sum::<f64>().sqrt();
    if vector.is_empty() || !length.is_finite() {
        return None;
    }
    let scale = if length > 0.0 { length } else { 1.0 };
    Some(vector.into_iter().map(|part| (f64::from(part) / scale) as f32).collect())
}

/// The cosine of the angle between two vectors of length 1.
fn dot(one: &[f32], other: &[f32]) -> f64 {
    one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
}

/// What is asked: the last text of a user's.
fn question(body: &Map<String, Value>) -> Option<String> {
    let asked = match body.get("messages").or_else(|| body.get("input"))? {
        Value::String(asked) => asked.clone(),
        Value::Array(messages) => text(messages.iter().rev().find(|message| is_users(message))?),
        _ => return None,
    };
    let end = (0..=MOST_TEXT.min(asked.len())).rev().find(|at| asked.is_char_boundary(*at))?;
    let asked = asked.get(..end)?.trim();
    (!asked.is_empty()).then(|| asked.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use usher_pipeline::worker::FetchError;

    use super::{MOST_TEXT, question, told, vectors};

    #[test]
    fn a_failure_is_told_of_without_the_url_in_which_a_key_may_stand() {
        let url = || "https://e.test/v1?key=sk-9".to_owned();
        let reason = || "no route".to_owned();
        for error in [
            FetchError::BadUrl { url: url(), reason: reason() },
            FetchError::Forbidden(url()),
            FetchError::Unreachable { peer: url(), reason: reason() },
            FetchError::TimedOut(url()),
            FetchError::BadAnswer { peer: url(), reason: reason() },
        ] {
            assert!(error.to_string().contains("sk-9"));
            assert!(!told(&error).contains("sk-9"), "{}", told(&error));
        }
    }

    #[test]
    fn vectors_stand_at_their_index_and_have_one_length() {
        let answer =
            json!({ "data": [{ "index": 1, "embedding": [0, 5] }, { "index": 0, "embedding": [3, 4] }] });
        assert_eq!(vectors(answer.to_string().as_bytes(), 2), Ok(vec![vec![0.6, 0.8], vec![0.0, 1.0]]));
        for (answer, sentence) in [
            (json!(5), "has no embeddings"),
            (json!({ "data": [{ "embedding": ["x"] }] }), "has no embeddings"),
            (json!({ "data": [{ "embedding": [] }] }), "is no vector"),
            (json!({ "data": [{ "embedding": [1], "index": 7 }] }), "nothing was asked for"),
            (json!({ "data": [] }), "is missing"),
        ] {
            let error = vectors(answer.to_string().as_bytes(), 1).unwrap_err();
            assert!(error.contains(sentence), "{answer}: {error}");
        }
        assert!(vectors(b"{\"data\":[{\"embedding\":[1e999]}]}", 1).is_err());
    }

    #[test]
    fn what_is_asked_is_the_last_thing_that_the_user_says() {
        let said = |body: Value| question(body.as_object().unwrap_or(&Map::new()));
        let messages = json!([
            { "role": "user", "content": "first" },
            { "role": "user", "content": [{ "type": "text", "text": "second" }] },
            { "role": "assistant", "content": "no" },
        ]);
        assert_eq!(said(json!({ "messages": messages })).as_deref(), Some("second"));
        assert_eq!(said(json!({ "input": " bare " })).as_deref(), Some("bare"));
        let long = format!("{}\u{20ac}", "x".repeat(MOST_TEXT - 1));
        assert_eq!(said(json!({ "input": long })).map(|text| text.len()), Some(MOST_TEXT - 1));
        for nothing in
            [json!({}), json!({ "messages": [] }), json!({ "messages": 5 }), json!({ "input": "" })]
        {
            assert_eq!(said(nothing), None);
        }
    }
}
