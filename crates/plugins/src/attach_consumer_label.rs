//! `attach-consumer-label` tells the upstream labels of the consumer, as headers.
//!
//! The headers are the gateway's own: a client's copies never reach the upstream, whether or not there is a consumer, a label or a match.
//!
//! Example: `{"headers": {"X-Team": "$team", "X-Plan": "$plan"}}`

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::spec::Spec;

use crate::spoofed::drop_copies;
use crate::stranger::header_name;

/// `attach-consumer-label`.
pub(crate) static PLUGIN: Spec = Spec::of::<AttachConsumerLabel>();

/// Tells the upstream labels of the consumer, as headers.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Headers by name, each with the label that it carries: `$` and the label's name.
    #[schemars(schema_with = "headers")]
    headers: BTreeMap<String, String>,
}

fn headers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "minProperties": 1, "additionalProperties": { "type": "string", "pattern": "^\\$.*" } })
}

struct AttachConsumerLabel {
    headers: Vec<(String, String)>,
}

impl Plugin for AttachConsumerLabel {
    const NAME: &'static str = "attach-consumer-label";
    const PRIORITY: i32 = 2399;
    const PHASES: Phases<Self> = Phases { before_proxy: Some(Hook::Now(Self::attach)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        config.headers.keys().try_for_each(|name| header_name("headers", name))?;
        let label = |text: String| text.strip_prefix('$').unwrap_or(&text).to_owned();
        Ok(Self { headers: config.headers.into_iter().map(|(name, text)| (name, label(text))).collect() })
    }

    fn passed_over(&self, exchange: &mut Exchange) {
        self.drop_client_copies(exchange);
    }
}

impl AttachConsumerLabel {
    fn attach(&self, exchange: &mut Exchange) -> Flow {
        self.drop_client_copies(exchange);
        let Some(consumer) = exchange.consumer().cloned() else { return Flow::Continue };
        for (name, label) in &self.headers {
            let Some(value) = consumer.labels.get(label).and_then(Value::as_str) else { continue };
            if let Err(error) = exchange.request.head.set(name, value) {
                tracing::warn!(%error, "left out a label that can't be sent");
            }
        }
        Flow::Continue
    }

    fn drop_client_copies(&self, exchange: &mut Exchange) {
        drop_copies(&mut exchange.request.head, self.headers.iter().map(|(name, _)| name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, try_harness, try_harness_of};

    use super::PLUGIN;
    use crate::key_auth;

    fn bench(body: Value) -> Harness {
        let auth = json!({ "_meta": { "filter": [["arg_open", "~=", "1"]] } });
        let bodies =
            Map::from_iter([("key-auth".to_owned(), auth), ("attach-consumer-label".to_owned(), body)]);
        let labels = json!({ "team": "payments", "torn": "a\r\nX-Admin: yes" });
        let bench = try_harness_of(&[&key_auth::PLUGIN, &PLUGIN], bodies).unwrap();
        bench.consumer("jack", "key-auth", &json!({ "key": "jack" }), labels.as_object().unwrap().clone())
    }

    /// CVE-2026-63041: the upstream believes these headers.
    #[test]
    fn labels_reach_the_upstream_and_a_clients_copies_never_do() {
        let body = json!({
            "headers": { "X-Team": "$team", "X-Plan": "$plan", "X-Torn": "$torn" },
            "_meta": { "filter": [["arg_off", "~=", "1"]] }
        });
        let mut bench = bench(body);
        let spoofed =
            [("apikey", "jack"), ("x-team", "root"), ("X_Team", "root"), ("X-Plan", "gold"), ("X-Torn", "1")];
        for (target, team) in [("/", Some("payments")), ("/?open=1", None), ("/?off=1", None)] {
            let outcome = bench.send("GET", target, &spoofed, "");
            let head = &outcome.seen().head;
            assert_eq!(head.get_str("x-team"), team, "{target}");
            assert!(!head.contains("x_team") && !head.contains("x-plan") && !head.contains("x-torn"));
            assert!(!head.contains("x-admin"));
        }
    }

    #[test]
    fn bodies_that_can_not_work_are_refused() {
        for body in [
            json!({}),
            json!({ "headers": {} }),
            json!({ "headers": { "X": "team" } }),
            json!({ "headers": { "a b": "$team" } }),
        ] {
            assert!(try_harness(&PLUGIN, body.clone()).is_err(), "{body}");
        }
    }
}
