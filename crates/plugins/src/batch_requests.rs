//! `batch-requests` lets clients send many requests in one: each runs through the whole gateway, and all answers come back together.
//!
//! Clients reach it through a route with `public-api`, at `POST /apisix/batch-requests`, or where `plugin_attr.batch-requests.uri` of `config.yaml`
//! puts it. The requests run one after the other in the client's own name: what a client may not say of itself from outside, it may not say here
//! either, and no request of a batch may be a batch. How many there may be, how large each answer and all of them together may be, and how long all
//! of it may take has a bound.
//!
//! Example: `{}`

mod body;
mod pipeline;

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use usher_pipeline::body::BodyError;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::{Answers, Endpoint, Serve, Spec};
use usher_pipeline::worker::{FetchError, InnerCall};

use body::told;
use pipeline::Batch;

use crate::schema::number;

/// `batch-requests`.
pub(crate) static PLUGIN: Spec =
    Spec::of::<BatchRequests>().serves_all().metadata::<Metadata>().endpoints(&[Endpoint {
        uri: URI,
        moved_by: Some("uri"),
        methods: &["POST"],
        answer: Answers::Built(Runner::build),
    }]);

/// Where `public-api` serves it.
const URI: &str = "/apisix/batch-requests";

/// The largest answer to one request that is taken, in bytes.
const MOST_ANSWER: u64 = 1 << 20;
/// The most that all answers may hold together, in bytes.
const MOST_ANSWERS: u64 = 10 << 20;
/// The longest time that one request may take, whatever the batch says.
const LONGEST_EACH: Duration = Duration::from_secs(60);
/// The longest time that a whole batch may take.
const LONGEST: Duration = Duration::from_secs(120);

/// Has nothing to be set on a route; `public-api` serves it. What may be set is in its metadata.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
struct Config {}

/// What all batches go by.
#[derive(Clone, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
struct Metadata {
    /// The largest batch that is read, in bytes; a larger one is answered 413.
    #[serde(default = "number::<1_048_576>")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    max_body_size: u64,
    /// How many requests a batch may hold; one that holds more is answered 400.
    #[serde(default = "number::<100>")]
    #[schemars(range(min = 1, max = 1000))]
    max_pipeline_items: u64,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { max_body_size: 1 << 20, max_pipeline_items: 100 }
    }
}

struct BatchRequests;

impl Plugin for BatchRequests {
    const NAME: &'static str = "batch-requests";
    const PRIORITY: i32 = 4010;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = Config;

    fn build(_: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

/// Runs batches.
struct Runner {
    metadata: Metadata,
}

impl Runner {
    fn build(env: &Env<'_>) -> Result<Box<dyn Serve>, BuildError> {
        Ok(Box::new(Self { metadata: env.metadata()?.unwrap_or_default() }))
    }
}

impl Serve for Runner {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Reply> {
        async move { self.answer(exchange).await.unwrap_or_else(|refused| refused) }.boxed_local()
    }
}

impl Runner {
    async fn answer(&self, exchange: &mut Exchange) -> Result<Reply, Reply> {
        if exchange.is_inner {
            return Err(Reply::error_msg(400, "a request of a batch can't be a batch itself"));
        }
        let most = self.metadata.max_body_size;
        let body = exchange.request.body.read_whole(most).await.map_err(|error| match error {
            BodyError::TooLarge { .. } => Reply::error_msg(
                413,
                &format!("the batch is larger than the {most} bytes that max_body_size allows"),
            ),
            error => Reply::error_msg(error.status(), &error.to_string()),
        })?;
        let refused = |message: String| Reply::error_msg(400, &message);
        let batch = Batch::read(&body, self.metadata.max_pipeline_items).map_err(refused)?;
        let calls = batch.calls(exchange).map_err(refused)?;
        Ok(Reply::json(200, &run(exchange, calls, batch.timeout()).await))
    }
}

/// Runs the requests one after the other, as one connection would.
async fn run(exchange: &Exchange, calls: Vec<InnerCall>, timeout: Duration) -> Value {
    let worker = exchange.worker();
    let end = worker.now() + LONGEST;
    let mut room = MOST_ANSWERS;
    let mut answers = Vec::with_capacity(calls.len());
    for mut call in calls {
        let left = end.saturating_duration_since(worker.now());
        call.timeout = timeout.min(LONGEST_EACH).min(left);
        call.max_answer_bytes = MOST_ANSWER.min(room);
        if left.is_zero() {
            answers.push(failed(&FetchError::TimedOut(String::new())));
            continue;
        }
        answers.push(match worker.fetch_inside(call).await {
            Ok(answer) => {
                room = room.saturating_sub(answer.body.len() as u64);
                told(&answer)
            }
            Err(error) => failed(&error),
        });
    }
    Value::Array(answers)
}

/// What stands in the place of an answer that isn't there.
fn failed(error: &FetchError) -> Value {
    match error {
        FetchError::TimedOut(_) => json!({ "status": 504, "reason": "upstream timeout" }),
        other => {
            tracing::debug!(error = %other, "a request of a batch has no answer");
            let reason = match other {
                FetchError::BadAnswer { reason, .. } => reason,
                _ => "the gateway could not be asked",
            };
            json!({ "status": 502, "reason": reason })
        }
    }
}

#[cfg(test)]
mod tests;
