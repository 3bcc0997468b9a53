//! `prometheus` counts requests, latencies and bytes per route, service, consumer and node, by APISIX's metric names.
//!
//! Each worker adds to numbers of its own, found by one look-up without an allocation, and a scrape adds the workers' numbers up. Label values
//! come from the configuration and never from a client; the number of label sets has a bound, and what is beyond it is counted as `other`. So is a
//! model that only a client names and that no provider has answered for.
//!
//! Example: `{"prefer_name": true}`

mod cells;
mod front;
mod labels;
mod metrics;
mod models;
mod render;
mod series;
mod settings;
mod stripe;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::env::{Env, Process};
use usher_pipeline::exchange::Exchange;
use usher_pipeline::front::Front;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::{Answers, Endpoint, Spec};
use usher_pipeline::stream::{Finished, OnConnections, Session};

use labels::{Family, Shown};
use metrics::Metrics;

/// `prometheus`.
pub(crate) static PLUGIN: Spec = Spec::of::<Prometheus>()
    .metadata::<Metadata>()
    .on_connections::<Prometheus>()
    .endpoints(&[Endpoint {
        uri: settings::EXPORT_URI,
        moved_by: Some("export_uri"),
        methods: &["GET"],
        answer: Answers::Now(answer),
    }])
    .prefer_route();

/// Counts requests, latencies and bytes. Process-wide settings are in `plugin_attr.prometheus` of `config.yaml`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Labels say the names of routes and services instead of their ids, where they have names.
    #[serde(default)]
    prefer_name: bool,
}

/// What all uses of the plugin share.
#[derive(Default, Deserialize, JsonSchema)]
struct Metadata {
    /// Labels whose values are left empty, by metric (`http_status`, `http_latency`, `bandwidth`, `llm_latency`, `llm_prompt_tokens`,
    /// `llm_completion_tokens`), to have fewer series.
    #[serde(default)]
    disabled_labels: BTreeMap<String, Vec<String>>,
}

/// All metrics of this process in Prometheus' text format, version 0.0.4.
#[must_use]
pub fn render(process: &Process) -> String {
    render::render(&Metrics::of(process), process)
}

fn answer(process: &Process) -> Reply {
    Reply::text(200, "text/plain; version=0.0.4; charset=utf-8", render(process))
}

struct Prometheus {
    metrics: Arc<Metrics>,
    front: Arc<Front>,
    shown: Shown,
}

/// Marks a request that was counted. It has no size, so that the mark costs no allocation.
#[derive(Default)]
struct Counted;

impl Plugin for Prometheus {
    const NAME: &'static str = "prometheus";
    const PRIORITY: i32 = 500;
    const PHASES: Phases<Self> = Phases { log: Some(Self::count), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let metrics = Metrics::of(env.process());
        match metrics.refused() {
            Some(reason) => Err(BuildError::new(format!("plugin_attr.prometheus: {reason}"))),
            None => {
                let metadata = env.metadata::<Metadata>()?.unwrap_or_default();
                let shown = Shown::new(config.prefer_name);
                let shown = Family::ALL.into_iter().fold(shown, |shown, family| {
                    match metadata.disabled_labels.get(family.name()) {
                        Some(labels) => shown.without(family, labels),
                        None => shown,
                    }
                });
                Ok(Self { metrics, front: Front::of(env.process()), shown })
            }
        }
    }
}

impl OnConnections for Prometheus {
    const LOG: Option<Finished<Self>> = Some(Self::count_connection);
}

impl Prometheus {
    fn count_connection(&self, session: &Session) {
        let by_name = self.shown.by_name && !session.route_name.is_empty();
        self.front.count_stream(if by_name { &session.route_name } else { &session.route });
    }

    fn count(&self, exchange: &mut Exchange) {
        let owner = &*self.metrics;
        // A global rule and a route may both have the plugin; the request is one all the same.
        if exchange.existing_slot::<_, Counted>(owner).is_none() {
            exchange.slot::<_, Counted>(owner);
            self.metrics.count(exchange, self.shown);
        }
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
