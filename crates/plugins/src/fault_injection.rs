//! `fault-injection` makes requests slow, or answers them itself, to see how clients live with it.
//!
//! Who is delayed waits first and may be answered afterwards. Each of both is thrown for a share of the requests, and only for those that `vars`
//! picks.
//!
//! Example: `{"abort": {"http_status": 503, "body": "$uri is taking a break\n", "headers": {"Retry-After": "5"}, "percentage": 50}, "delay": {"duration": 0.2, "vars": [[["arg_slow", "==", "yes"]]]}}`

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Called, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::schema::any_of_required;
use crate::text::Text;
use crate::vars::AnyOf;

/// `fault-injection`.
pub(crate) static PLUGIN: Spec = Spec::of::<FaultInjection>();

/// Makes requests slow, or answers them itself; at least one of both has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = any_of_required(&[&["abort"], &["delay"]]))]
struct Config {
    /// Answers requests instead of the upstream.
    abort: Option<Abort>,
    /// Makes requests wait.
    delay: Option<Delay>,
}

/// How requests are answered.
#[derive(Deserialize, JsonSchema)]
struct Abort {
    /// The status of the answer, from 200 on.
    #[schemars(range(min = 200, max = 999))]
    http_status: u16,
    /// The body of the answer, a text with variables. Without it the answer is the page of its status.
    #[schemars(length(min = 0))]
    body: Option<String>,
    /// Header fields of the answer; values are texts with variables.
    #[serde(default)]
    #[schemars(schema_with = "fields")]
    headers: Option<BTreeMap<String, Value>>,
    /// How many requests of a hundred are answered; all by default.
    #[schemars(range(min = 0, max = 100))]
    percentage: Option<u8>,
    /// Expressions of which one has to hold, such as `[[["arg_name", "==", "jack"]]]`.
    #[schemars(length(max = 20))]
    vars: Option<Vec<Value>>,
}

/// How requests wait.
#[derive(Deserialize, JsonSchema)]
struct Delay {
    /// How long, in seconds; fractions are seconds too.
    #[schemars(range(min = 0))]
    duration: f64,
    /// How many requests of a hundred wait; all by default.
    #[schemars(range(min = 0, max = 100))]
    percentage: Option<u8>,
    /// Expressions of which one has to hold, such as `[[["arg_name", "==", "jack"]]]`.
    #[schemars(length(max = 20))]
    vars: Option<Vec<Value>>,
}

fn fields(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "patternProperties": { "^[^:]+$": { "oneOf": [{ "type": "string" }, { "type": "number" }] } }
    })
}

struct FaultInjection {
    abort: Option<Answer>,
    delay: Option<(Draw, Duration)>,
}

/// What requests are answered.
struct Answer {
    draw: Draw,
    status: u16,
    body: Option<Text>,
    headers: Vec<(String, Text)>,
}

/// Which requests it is thrown for.
struct Draw {
    percentage: Option<u8>,
    vars: AnyOf,
}

/// Nobody waits longer than this.
const LONGEST: f64 = 86_400.0;

impl Plugin for FaultInjection {
    const NAME: &'static str = "fault-injection";
    const PRIORITY: i32 = 11000;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Either(Self::inject)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let abort = config.abort.map(|abort| {
            let draw = Draw { percentage: abort.percentage, vars: AnyOf::parse(abort.vars.as_deref())? };
            let mut headers = Vec::new();
            for (name, value) in abort.headers.unwrap_or_default() {
                usher_http1::head::Head::empty().set(&name, "").map_err(|_| {
                    BuildError::new(format!(
                        "property \"abort\" validation failed: {name:?} is not a header name"
                    ))
                })?;
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                headers.push((name, Text::parse(&text)));
            }
            let body = abort.body.as_deref().map(Text::parse);
            Ok(Answer { draw, status: abort.http_status, body, headers })
        });
        let delay = config.delay.map(|delay| {
            let draw = Draw { percentage: delay.percentage, vars: AnyOf::parse(delay.vars.as_deref())? };
            Ok((draw, Duration::try_from_secs_f64(delay.duration.min(LONGEST)).unwrap_or_default()))
        });
        Ok(Self { abort: abort.transpose()?, delay: delay.transpose()? })
    }
}

impl Draw {
    fn hits(&self, exchange: &Exchange) -> bool {
        self.percentage.is_none_or(|share| fastrand::u8(1..=100) <= share) && self.vars.holds(exchange)
    }
}

impl FaultInjection {
    fn inject<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        match &self.delay {
            Some((draw, duration)) if !duration.is_zero() && draw.hits(exchange) => {
                let waiting = exchange.worker().sleep(*duration);
                Called::Later(waiting.map(|()| self.abort(exchange)).boxed_local())
            }
            _ => Called::Now(self.abort(exchange)),
        }
    }

    fn abort(&self, exchange: &Exchange) -> Flow {
        let Some(Answer { draw, status, body, headers }) = &self.abort else { return Flow::Continue };
        if !draw.hits(exchange) {
            return Flow::Continue;
        }
        let mut reply = match body {
            Some(body) => {
                Reply::text(*status, "text/plain; charset=utf-8", body.render(exchange).into_owned())
            }
            None => Reply::new(*status),
        };
        for (name, text) in headers {
            if let Err(error) = reply.head.set(name, text.render(exchange)) {
                tracing::debug!(%error, "left out a field of an answer");
            }
        }
        reply.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_pipeline::harness::{harness, try_harness};
    use usher_pipeline::worker::Worker as _;

    use super::PLUGIN;

    #[test]
    fn answers_with_status_fields_and_a_body_of_variables() {
        let body = json!({ "abort": {
            "http_status": 418, "body": "no tea at $uri", "headers": { "X-Tea": "$arg_tea", "X-Count": 7 }
        } });
        let outcome = harness(&PLUGIN, body).get("/pot?tea=green");
        assert_eq!(outcome.expect_status(418).text(), "no tea at /pot");
        assert_eq!((outcome.field("X-Tea"), outcome.field("X-Count")), (Some("green"), Some("7")));
        assert!(outcome.upstream.is_none());
        let bare = harness(&PLUGIN, json!({ "abort": { "http_status": 503 } })).get("/");
        assert!(bare.expect_status(503).body.is_empty(), "the page of the status is the gateway's");
    }

    #[test]
    fn waits_before_it_answers() {
        let body = json!({ "abort": { "http_status": 500 }, "delay": { "duration": 1.5 } });
        let mut bench = harness(&PLUGIN, body);
        let before = bench.worker().now();
        bench.get("/").expect_status(500);
        assert_eq!((bench.worker().now() - before).as_millis(), 1500);
    }

    #[test]
    fn picks_requests_by_their_variables_and_by_chance() {
        let vars = json!([[["arg_a", "==", "1"], ["arg_b", "==", "1"]], [["arg_c", "==", "1"]]]);
        let mut bench = harness(&PLUGIN, json!({ "abort": { "http_status": 403, "vars": vars } }));
        for (target, status) in [("/?a=1&b=1", 403), ("/?c=1", 403), ("/?a=1", 200), ("/", 200)] {
            bench.get(target).expect_status(status);
        }
        for (share, least, most) in [(0, 0, 0), (100, 400, 400), (50, 120, 280)] {
            let mut bench = harness(&PLUGIN, json!({ "abort": { "http_status": 403, "percentage": share } }));
            let hits = (0..400).filter(|_| bench.get("/").status() == 403).count();
            assert!((least..=most).contains(&hits), "{share}% hit {hits} of 400");
        }
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({}), "object matches none of the required"),
            (json!({ "abort": {} }), "property \"http_status\" is required"),
            (json!({ "abort": { "http_status": 100 } }), "expected 100 to be at least 200"),
            (json!({ "abort": { "http_status": 200, "percentage": 101 } }), "expected 101 to be at most 100"),
            (json!({ "delay": {} }), "property \"duration\" is required"),
            (json!({ "delay": { "duration": -1 } }), "expected -1 to be at least 0"),
            (
                json!({ "delay": { "duration": 1, "vars": [[["a", "=", 1]]] } }),
                "failed to validate the 'vars' expression",
            ),
            (json!({ "abort": { "http_status": 200, "headers": { "a b": "x" } } }), "is not a header name"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
