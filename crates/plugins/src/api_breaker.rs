//! `api-breaker` spares an upstream that fails: after some failures in a row of a path it answers for it, longer each time.
//!
//! The time doubles with every further round of failures, from 2 seconds on, up to `max_breaker_sec`; one failure behind it brings it back. What is
//! judged are the upstream's own statuses; so many good ones in a row close the matter.
//!
//! Example: `{"break_response_code": 502, "break_response_body": "{\"error\": \"try again later\"}", "break_response_headers": [{"key": "Content-Type", "value": "application/json"}], "unhealthy": {"http_statuses": [500, 503], "failures": 3}, "healthy": {"http_statuses": [200], "successes": 1}}`

use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::{AnsweredBy, Exchange};
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::keyed::{Keyed, State};
use crate::schema::number;
use crate::text::Text;

/// `api-breaker`.
pub(crate) static PLUGIN: Spec = Spec::of::<ApiBreaker>();

/// Answers for an upstream that fails.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The status of the answers, 200 to 599.
    #[schemars(range(min = 200, max = 599))]
    break_response_code: u16,
    /// The body of the answers. Without it they are the page of their status.
    break_response_body: Option<String>,
    /// Header fields of the answers, where they have a body; values are texts with variables.
    break_response_headers: Option<Vec<Field>>,
    /// The longest time that it answers, in seconds, at least 3.
    #[serde(default = "number::<300>")]
    #[schemars(range(min = 3))]
    max_breaker_sec: u64,
    /// What counts as a failure.
    #[serde(default)]
    unhealthy: Unhealthy,
    /// What counts as a success.
    #[serde(default)]
    healthy: Healthy,
}

/// A header field.
#[derive(Deserialize, JsonSchema)]
struct Field {
    /// The field's name.
    #[schemars(length(min = 1))]
    key: String,
    /// Its value, a text with variables.
    #[schemars(length(min = 1))]
    value: String,
}

/// What counts as a failure.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Unhealthy {
    /// The statuses of the upstream that are failures, 500 to 599.
    #[schemars(schema_with = "failures")]
    http_statuses: Vec<u16>,
    /// How many failures make a round.
    #[schemars(range(min = 1))]
    failures: u64,
}

/// What counts as a success.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Healthy {
    /// The statuses of the upstream that are successes, 200 to 499.
    #[schemars(schema_with = "successes")]
    http_statuses: Vec<u16>,
    /// How many successes in a row close the matter.
    #[schemars(range(min = 1))]
    successes: u64,
}

impl Default for Unhealthy {
    fn default() -> Self {
        Self { http_statuses: vec![500], failures: 3 }
    }
}

impl Default for Healthy {
    fn default() -> Self {
        Self { http_statuses: vec![200], successes: 3 }
    }
}

fn failures(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "integer", "minimum": 500, "maximum": 599 } })
}

fn successes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "integer", "minimum": 200, "maximum": 499 } })
}

struct ApiBreaker {
    status: u16,
    body: Option<String>,
    headers: Vec<(String, Text)>,
    longest: u64,
    unhealthy: Unhealthy,
    healthy: Healthy,
    paths: Arc<Keyed<Path>>,
    space: Arc<u64>,
}

/// How a path is doing.
#[derive(Clone, Copy, Default)]
struct Path {
    failures: u64,
    successes: u64,
    /// When a round of failures was last complete, in nanoseconds.
    opened: Option<u64>,
    /// Until when it is answered for, in nanoseconds.
    open_until: u64,
    /// When it is forgotten, in nanoseconds.
    ends: u64,
}

impl State for Path {
    fn is_over(&self, now: u64) -> bool {
        now >= self.ends
    }
}

impl Plugin for ApiBreaker {
    const NAME: &'static str = "api-breaker";
    const PRIORITY: i32 = 1005;
    const PHASES: Phases<Self> =
        Phases { access: Some(Hook::Now(Self::stand_in)), log: Some(Self::judge), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let mut headers = Vec::new();
        for field in config.break_response_headers.unwrap_or_default() {
            Head::empty().set(&field.key, "").map_err(|_| {
                BuildError::new(format!(
                    "property \"break_response_headers\" validation failed: {:?} is not a header name",
                    field.key
                ))
            })?;
            headers.push((field.key, Text::parse(&field.value)));
        }
        let paths = env.process().permanent("api-breaker", Keyed::<Path>::default);
        let space = env.keep(&env.own_key(), || paths.new_space());
        Ok(Self {
            status: config.break_response_code,
            body: config.break_response_body,
            headers,
            longest: config.max_breaker_sec,
            unhealthy: config.unhealthy,
            healthy: config.healthy,
            paths,
            space,
        })
    }
}

/// A path as it was when the request came in: another plugin may change it on the way.
#[derive(Default)]
struct Key(Option<u64>);

impl ApiBreaker {
    fn stand_in(&self, exchange: &mut Exchange) -> Flow {
        let key = self.paths.key(*self.space, (exchange.request.host(), exchange.request.path()));
        exchange.slot::<_, Key>(self).0 = Some(key);
        let is_open = self.paths.with(
            key,
            exchange.worker().now(),
            |_| Path::default(),
            |path, now| now < path.open_until,
        );
        if !is_open {
            return Flow::Continue;
        }
        let Some(body) = &self.body else { return Reply::new(self.status).into() };
        let mut reply = Reply::text(self.status, "text/plain; charset=utf-8", body.clone());
        for (name, text) in &self.headers {
            if let Err(error) = reply.head.set(name, text.render(exchange)) {
                tracing::debug!(%error, "left out a field of an answer");
            }
        }
        reply.into()
    }

    fn judge(&self, exchange: &mut Exchange) {
        let Some(Key(Some(key))) = exchange.existing_slot::<_, Key>(self) else { return };
        let key = *key;
        // What failed on the way to the upstream has a status in this list too.
        let Some(status) = exchange.upstream.statuses.last().copied() else { return };
        if exchange.answered_by == AnsweredBy::Gateway && status < 500 {
            return;
        }
        let (bad, good) =
            (self.unhealthy.http_statuses.contains(&status), self.healthy.http_statuses.contains(&status));
        if !bad && !good {
            return;
        }
        let route = exchange.route.as_ref().map(|route| Arc::clone(&route.id));
        self.paths.with(
            key,
            exchange.worker().now(),
            |_| Path::default(),
            |path, now| {
                if bad {
                    path.failures = path.failures.saturating_add(1);
                    path.successes = 0;
                    if path.failures.is_multiple_of(self.unhealthy.failures) {
                        path.opened = Some(now);
                    }
                    if let Some(opened) = path.opened {
                        // The round that has begun counts, as in APISIX: one failure behind a break brings it back, and lengthens it.
                        let rounds = path.failures.div_ceil(self.unhealthy.failures);
                        let secs =
                            2_u64.saturating_pow(u32::try_from(rounds).unwrap_or(63)).min(self.longest);
                        let time = u64::try_from(Duration::from_secs(secs).as_nanos()).unwrap_or(u64::MAX);
                        let until = opened.saturating_add(time);
                        if now < until && path.open_until <= now {
                            tracing::warn!(
                                route = route.as_deref(),
                                secs,
                                "an upstream fails; api-breaker answers for it"
                            );
                        }
                        path.open_until = until;
                    }
                    path.ends = path.open_until.max(now).saturating_add(FORGOTTEN);
                } else if path.failures > 0 {
                    path.successes += 1;
                    if path.successes >= self.healthy.successes {
                        *path = Path::default();
                    }
                }
            },
        );
    }
}

/// Failures are remembered for a day, in nanoseconds.
const FORGOTTEN: u64 = 86_400 * 1_000_000_000;

#[cfg(test)]
mod tests;
