//! Which labels a metric has, and where their values come from: from the configuration, never from a client.

use std::net::IpAddr;

use usher_model::variables::Variables;
use usher_pipeline::exchange::{AnsweredBy, Exchange};

use super::text::push_label;
use crate::ai::facts::Told;

/// The metrics that have a label set per route, service, consumer and node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Requests by status.
    Status,
    /// How long they took.
    Latency,
    /// How many bytes were moved.
    Bandwidth,
    /// How long models took to their first word.
    LlmLatency,
    /// What models were asked, in tokens.
    LlmPromptTokens,
    /// What models answered, in tokens.
    LlmCompletionTokens,
}

/// The labels of what models are asked.
pub(super) const OF_MODELS: &[&str] =
    &["le", "route_id", "service_id", "consumer", "node", "request_type", "request_llm_model", "llm_model"];

impl Family {
    /// All of them.
    pub(super) const ALL: [Self; 6] = [
        Self::Status,
        Self::Latency,
        Self::Bandwidth,
        Self::LlmLatency,
        Self::LlmPromptTokens,
        Self::LlmCompletionTokens,
    ];

    /// The metric's name without its prefix.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Status => "http_status",
            Self::Latency => "http_latency",
            Self::Bandwidth => "bandwidth",
            Self::LlmLatency => "llm_latency",
            Self::LlmPromptTokens => "llm_prompt_tokens",
            Self::LlmCompletionTokens => "llm_completion_tokens",
        }
    }

    /// Whether it is of requests to models alone.
    pub(super) const fn is_of_models(self) -> bool {
        matches!(self, Self::LlmLatency | Self::LlmPromptTokens | Self::LlmCompletionTokens)
    }

    /// Its labels in order, those that only some of its lines have included.
    pub(super) const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Status => &[
                "code",
                "route",
                "matched_uri",
                "matched_host",
                "service",
                "consumer",
                "node",
                "request_type",
                "request_llm_model",
                "llm_model",
                "response_source",
            ],
            Self::Latency => &[
                "type",
                "le",
                "route",
                "service",
                "consumer",
                "node",
                "request_type",
                "request_llm_model",
                "llm_model",
            ],
            Self::Bandwidth => &[
                "type",
                "route",
                "service",
                "consumer",
                "node",
                "request_type",
                "request_llm_model",
                "llm_model",
            ],
            Self::LlmLatency | Self::LlmPromptTokens | Self::LlmCompletionTokens => OF_MODELS,
        }
    }
}

/// What one use of the plugin shows in labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Shown {
    /// Names stand for ids, where there are names.
    pub(super) by_name: bool,
    /// Labels whose values are left empty: a bit for each of a metric's own, by its place in [`Family::labels`].
    hidden: [u16; Family::ALL.len()],
}

impl Shown {
    /// All labels.
    pub(super) fn new(by_name: bool) -> Self {
        Self { by_name, ..Self::default() }
    }

    /// The same with these labels of this metric left empty. Labels that aren't there hide nothing.
    pub(super) fn without(mut self, family: Family, labels: &[String]) -> Self {
        let places =
            labels.iter().filter_map(|label| family.labels().iter().position(|known| known == label));
        if let Some(hidden) = self.hidden.get_mut(family as usize) {
            *hidden |= places.fold(0, |bits, place| bits | 1_u16.checked_shl(place as u32).unwrap_or(0));
        }
        self
    }

    fn hides(self, family: Family, label: &str) -> bool {
        let hidden = self.hidden.get(family as usize).copied().unwrap_or_default();
        hidden != 0
            && family
                .labels()
                .iter()
                .position(|known| *known == label)
                .is_some_and(|place| hidden >> place & 1 == 1)
    }
}

/// A label that `extra_labels` adds.
pub(super) struct Extra {
    /// Its name.
    pub(super) label: String,
    /// The variable that makes its value, without `$`.
    pub(super) variable: String,
}

/// The variables that may make a label: the configuration or the protocol bounds how many values they have.
const BOUNDED: &[&str] = &[
    "balancer_ip",
    "balancer_port",
    "consumer_group_id",
    "consumer_name",
    "method",
    "request_method",
    "route_id",
    "route_name",
    "scheme",
    "server_port",
    "server_protocol",
    "service_id",
    "service_name",
    "status",
    "upstream_addr",
    "upstream_scheme",
    "upstream_status",
];

/// Whether the configuration or the protocol bounds the values of this variable.
pub(super) fn is_bounded(variable: &str) -> bool {
    BOUNDED.contains(&variable)
}

/// The variables that may make a label, for people.
pub(super) fn bounded_variables() -> String {
    BOUNDED.iter().map(|name| format!("${name}")).collect::<Vec<_>>().join(", ")
}

/// Writes the value of an extra label.
pub(super) fn write_extra(exchange: &Exchange, extra: &Extra, out: &mut Vec<u8>) {
    let Some(value) = exchange.variable(&extra.variable) else { return };
    let is_method = matches!(extra.variable.as_str(), "method" | "request_method");
    // A method is whatever token a client sends.
    if is_method && !METHODS.contains(&&*value) {
        out.extend_from_slice(OTHER.as_bytes());
    } else {
        out.extend_from_slice(&value);
    }
}

const METHODS: &[&[u8]] =
    &[b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"PURGE"];

/// What stands for all values that are not told apart.
pub(super) const OTHER: &str = "other";

/// The label values of one exchange.
pub(super) struct Facts<'a> {
    route: &'a str,
    matched_uri: &'a str,
    matched_host: &'a str,
    service: &'a str,
    consumer: &'a str,
    node: String,
    instance: &'a str,
    request_type: &'static str,
    request_model: &'a str,
    model: &'a str,
    source: &'static str,
    shown: Shown,
}

impl<'a> Facts<'a> {
    /// Of this exchange, and of what a model was asked by it.
    pub(super) fn of(exchange: &'a Exchange, shown: Shown, told: Option<&'a Told>) -> Self {
        let named = |name: &'a str, id: &'a str| if shown.by_name && !name.is_empty() { name } else { id };
        let route = exchange.route.as_deref();
        Self {
            route: route.map_or("", |route| named(&route.name, &route.id)),
            matched_uri: route.map_or("", |route| &route.uri),
            matched_host: route.map_or("", |route| &route.host),
            service: route.map_or("", |route| named(&route.service_name, &route.service_id)),
            consumer: exchange.consumer().map_or("", |consumer| &consumer.name),
            node: node_of(exchange).map(|node| node.to_string()).unwrap_or_default(),
            instance: told.map_or("", |told| &told.node),
            request_type: told.map_or("traditional_http", |told| told.request_type),
            request_model: told.map_or("", |told| &told.request_model),
            model: told.map_or("", |told| &told.model),
            source: Source::of(exchange).name(),
            shown,
        }
    }

    /// Of all label sets for which there is no room.
    pub(super) fn beyond_the_bound() -> Self {
        Self {
            route: OTHER,
            matched_uri: OTHER,
            matched_host: OTHER,
            service: OTHER,
            consumer: OTHER,
            node: OTHER.to_owned(),
            instance: OTHER,
            request_type: OTHER,
            request_model: OTHER,
            model: OTHER,
            source: OTHER,
            shown: Shown::default(),
        }
    }

    /// The label set as it is written between the braces, without `type` and `le`.
    pub(super) fn labels(&self, family: Family, code: &str, extra: &[Extra], values: &[Vec<u8>]) -> String {
        let mut out = String::with_capacity(192);
        let mut push = |name: &str, value: &str| {
            push_label(&mut out, name, if self.shown.hides(family, name) { "" } else { value });
        };
        if family == Family::Status {
            push("code", code);
        }
        let of_models = family.is_of_models();
        push(if of_models { "route_id" } else { "route" }, self.route);
        if family == Family::Status {
            push("matched_uri", self.matched_uri);
            push("matched_host", self.matched_host);
        }
        push(if of_models { "service_id" } else { "service" }, self.service);
        push("consumer", self.consumer);
        // A model is told by its instance, as in APISIX: providers share addresses.
        push("node", if of_models { self.instance } else { &self.node });
        push("request_type", self.request_type);
        push("request_llm_model", self.request_model);
        push("llm_model", self.model);
        if family == Family::Status {
            push("response_source", self.source);
        }
        for (at, extra) in extra.iter().enumerate() {
            let value = values.get(at).map_or(OTHER.into(), |value| String::from_utf8_lossy(value));
            push_label(&mut out, &extra.label, &value);
        }
        out
    }
}

/// The node that answered, or that was tried last.
pub(super) fn node_of(exchange: &Exchange) -> Option<IpAddr> {
    exchange.upstream.address.map(|address| address.ip().to_canonical())
}

/// Who made the answer, in APISIX's words.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// A plugin, or the gateway before it tried an upstream.
    Apisix,
    /// The gateway, because the upstream failed; where APISIX is made of nginx it is nginx that says so.
    Nginx,
    /// The upstream.
    Upstream,
}

impl Source {
    /// Of this exchange's answer.
    pub(super) fn of(exchange: &Exchange) -> Self {
        match exchange.answered_by {
            AnsweredBy::Upstream => Self::Upstream,
            AnsweredBy::Gateway if exchange.upstream.statuses.is_empty() => Self::Apisix,
            AnsweredBy::Gateway => Self::Nginx,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Apisix => "apisix",
            Self::Nginx => "nginx",
            Self::Upstream => "upstream",
        }
    }
}
