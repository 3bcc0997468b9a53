//! What a user writes for `opentelemetry`, and for all uses of it in its metadata.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use usher_http1::head::Head;
use usher_model::secret::Secret;
use usher_pipeline::plugin::BuildError;

use crate::logs::BatchSettings;
use crate::schema::number;

/// Tells an OpenTelemetry collector how long requests took.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Config {
    /// Which requests are told of.
    #[serde(default)]
    sampler: Sampler,
    /// Variables that become attributes of spans, such as `consumer_name`.
    #[schemars(inner(length(min = 1)))]
    pub(super) additional_attributes: Option<Vec<String>>,
    /// Request fields that become attributes of spans; one that ends in `*` stands for all that begin so.
    #[schemars(inner(length(min = 1)))]
    pub(super) additional_header_prefix_attributes: Option<Vec<String>>,
}

/// Which requests are told of.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
struct Sampler {
    /// `always_on` and `always_off` say it of all; `trace_id_ratio` takes a share; `parent_base` does as whoever called, and asks `root` about the rest.
    #[serde(default)]
    name: Name,
    /// What the sampler goes by.
    #[serde(default)]
    options: Options,
}

/// A sampler.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Name {
    /// Every request.
    AlwaysOn,
    /// None.
    #[default]
    AlwaysOff,
    /// A share.
    TraceIdRatio,
    /// As whoever called.
    ParentBase,
}

/// What a sampler goes by.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Options {
    /// The share of `trace_id_ratio`, 0 to 1.
    #[serde(default = "none_of_it")]
    fraction: f64,
    /// What `parent_base` asks about requests that belong to no trace yet.
    #[serde(default)]
    root: Root,
}

const fn none_of_it() -> f64 {
    0.0
}

impl Default for Options {
    fn default() -> Self {
        Self { fraction: 0.0, root: Root::default() }
    }
}

/// The sampler of requests that belong to no trace yet.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
struct Root {
    /// As for the sampler itself.
    #[serde(default)]
    name: RootName,
    /// What it goes by.
    #[serde(default)]
    options: Share,
}

/// A sampler that asks nobody else.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RootName {
    /// Every request.
    AlwaysOn,
    /// None.
    #[default]
    AlwaysOff,
    /// A share.
    TraceIdRatio,
}

/// A share.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Share {
    /// The share of `trace_id_ratio`, 0 to 1.
    #[serde(default = "none_of_it")]
    fraction: f64,
}

impl Default for Share {
    fn default() -> Self {
        Self { fraction: 0.0 }
    }
}

/// A sampler, ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampling {
    /// What whoever called says, counts.
    follows_parent: bool,
    share: f64,
}

impl Config {
    pub(super) fn sampling(&self) -> Sampling {
        let options = &self.sampler.options;
        let alone = |share| Sampling { follows_parent: false, share };
        match self.sampler.name {
            Name::AlwaysOn => alone(1.0),
            Name::AlwaysOff => alone(0.0),
            Name::TraceIdRatio => alone(options.fraction),
            Name::ParentBase => Sampling {
                follows_parent: true,
                share: match options.root.name {
                    RootName::AlwaysOn => 1.0,
                    RootName::AlwaysOff => 0.0,
                    RootName::TraceIdRatio => options.root.options.fraction,
                },
            },
        }
    }
}

impl Sampling {
    /// Whether a trace is told of. `parent` is what whoever called says.
    pub(super) fn samples(self, trace: u128, parent: Option<bool>) -> bool {
        if let Some(parent) = parent.filter(|_| self.follows_parent) {
            return parent;
        }
        // The same trace comes to the same verdict at every gateway.
        let low = u64::try_from(trace & u128::from(u64::MAX)).unwrap_or(0) >> 1;
        self.share >= 1.0 || (low as f64) < self.share * (i64::MAX as f64)
    }
}

/// What all uses of the plugin share.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Metadata {
    /// Where ids of new traces come from: `random`, or the request's `X-Request-Id` where that is 32 hexadecimal digits.
    pub(super) trace_id_source: TraceIds,
    /// Attributes of the gateway itself: texts, numbers and truths. `service.name` is `APISIX` unless it stands here.
    pub(super) resource: Map<String, Value>,
    /// Where spans are sent.
    pub(super) collector: CollectorSettings,
    /// How spans wait.
    pub(super) batch_span_processor: Batches,
    /// Sets the variables `opentelemetry_context_traceparent`, `opentelemetry_trace_id` and `opentelemetry_span_id`, for logs.
    pub(super) set_ngx_var: bool,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            trace_id_source: TraceIds::Random,
            resource: Map::new(),
            collector: CollectorSettings::default(),
            batch_span_processor: Batches::default(),
            set_ngx_var: false,
        }
    }
}

impl Metadata {
    /// What of it makes another batch.
    pub(super) fn told(&self) -> String {
        let CollectorSettings { address, request_timeout, request_headers } = &self.collector;
        // Never shown: it is only compared.
        let fields = request_headers.expose();
        format!("{address}\n{request_timeout}\n{fields:?}\n{}", Value::Object(self.resource.clone()))
    }
}

/// Where ids of new traces come from.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(super) enum TraceIds {
    /// `X-Request-Id`.
    #[serde(rename = "x-request-id")]
    RequestId,
    /// Chance.
    #[default]
    #[serde(rename = "random")]
    Random,
}

impl TraceIds {
    /// An id for a new trace, never 0.
    pub(super) fn make(self, head: &Head) -> u128 {
        let given = match self {
            Self::RequestId => head.get_str("x-request-id"),
            Self::Random => None,
        };
        let digits = given.map(|text| text.replace('-', "")).filter(|text| text.len() == 32);
        let id = digits.and_then(|digits| u128::from_str_radix(&digits, 16).ok()).filter(|id| *id != 0);
        id.unwrap_or_else(|| fastrand::u128(1..))
    }
}

/// Where spans are sent.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct CollectorSettings {
    /// Host and port, or a URL of them: `127.0.0.1:4318`, `https://collector.test`. Spans go to `/v1/traces` there.
    address: String,
    /// How long a batch may take, in seconds.
    #[schemars(range(min = 1))]
    pub(super) request_timeout: u64,
    /// Fields that are sent along, such as `Authorization`.
    request_headers: Secret<BTreeMap<String, Value>>,
}

impl Default for CollectorSettings {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:4318".to_owned(),
            request_timeout: 3,
            request_headers: Secret::new(BTreeMap::new()),
        }
    }
}

impl CollectorSettings {
    pub(super) fn url(&self) -> String {
        let address = self.address.trim_end_matches('/');
        if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
    }

    /// The fields of a batch's request.
    ///
    /// # Errors
    /// One can't be sent.
    pub(super) fn fields(&self) -> Result<Head, BuildError> {
        let mut fields = Head::empty();
        for (name, value) in self.request_headers.expose() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fields.set(name, text).map_err(|_| {
                BuildError::new(format!(
                    "property \"collector.request_headers\" validation failed: the field {name:?} can't be sent"
                ))
            })?;
        }
        // It has to be what the body is.
        fields.set("Content-Type", "application/json").map_err(|error| BuildError::new(error.to_string()))?;
        Ok(fields)
    }
}

/// How spans wait.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Batches {
    /// Taken, and always so: spans beyond `max_queue_size` are dropped, because memory has a bound.
    drop_on_queue_full: bool,
    /// How many spans may wait.
    #[schemars(range(min = 1))]
    pub(super) max_queue_size: u64,
    /// Spans leave when the first of them has waited for so many seconds.
    #[schemars(range(min = 0))]
    batch_timeout: f64,
    /// Spans leave when none has come for so many seconds.
    #[schemars(range(min = 0))]
    inactive_timeout: f64,
    /// How many spans leave together at most.
    #[schemars(range(min = 1))]
    max_export_batch_size: u64,
}

impl Default for Batches {
    fn default() -> Self {
        Self {
            drop_on_queue_full: true,
            max_queue_size: number::<2048>(),
            batch_timeout: 5.0,
            inactive_timeout: 2.0,
            max_export_batch_size: number::<256>(),
        }
    }
}

impl Batches {
    pub(super) fn settings(&self) -> BatchSettings {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "held between 0 and an hour"
        )]
        let secs = |secs: f64| secs.ceil().clamp(0.0, 3600.0) as u64;
        BatchSettings {
            batch_max_size: self.max_export_batch_size,
            inactive_timeout: secs(self.inactive_timeout),
            buffer_duration: secs(self.batch_timeout),
            ..BatchSettings::at_once()
        }
    }
}
