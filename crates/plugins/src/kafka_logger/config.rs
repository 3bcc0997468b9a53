//! What a user writes for `kafka-logger`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use usher_model::secret::Secret;

use crate::logs::Content;
use crate::schema::{number, one_of_required};

/// Sends lines to a topic of Kafka: each batch is a JSON list in one message (in several where it is large), or one object a message where
/// `batch_max_size` is 1.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = one_of_required(&[&["brokers", "kafka_topic"], &["broker_list", "kafka_topic"]]))]
pub(super) struct Config {
    /// What a message holds: the line, or the request as it came (start line, header fields, and the body where that is logged).
    #[serde(default)]
    pub(super) meta_format: MetaFormat,
    /// The brokers that are asked where the topic is, by name and port. An older way to write `brokers`.
    #[serde(default)]
    #[schemars(schema_with = "ports")]
    pub(super) broker_list: Option<BTreeMap<String, u16>>,
    /// The brokers that are asked where the topic is.
    #[schemars(length(min = 1))]
    pub(super) brokers: Option<Vec<Broker>>,
    /// The topic.
    pub(super) kafka_topic: Option<String>,
    /// A lone broker that confirms a message is enough for 1; -1 waits for all replicas that are in step.
    #[serde(default = "one")]
    #[schemars(extend("enum" = [1, -1]))]
    pub(super) required_acks: i16,
    /// Accepted for APISIX's sake: batches are always sent behind the requests, and a broker's answer is always waited for.
    #[serde(default)]
    #[expect(dead_code, reason = "there is one way, which is both")]
    pub(super) producer_type: ProducerType,
    /// All messages of one key go to the same partition; without one they go round.
    pub(super) key: Option<String>,
    /// Seconds for a connection, and for each answer of a broker.
    #[serde(default = "number::<3>")]
    #[schemars(range(min = 1))]
    pub(super) timeout: u64,
    /// Speaks TLS with the brokers.
    pub(super) tls: Option<Tls>,
    /// Accepted for APISIX's sake: each use of the plugin has a producer of its own.
    #[serde(default = "number::<1>")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "producers are told apart by themselves")]
    pub(super) cluster_name: u64,
    /// Accepted for APISIX's sake: `batch_max_size` says how many lines leave together.
    #[serde(default = "number::<200>")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "there is one queue, which has its own bound")]
    pub(super) producer_batch_num: u64,
    /// The largest message that holds several lines, in bytes; a batch that is larger is sent in several messages.
    #[serde(default = "number::<1_048_576>")]
    #[schemars(range(min = 0))]
    pub(super) producer_batch_size: u64,
    /// Accepted for APISIX's sake: `max_pending_entries` of the metadata says how many lines may wait.
    #[serde(default = "number::<50000>")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "there is one queue, which has its own bound")]
    pub(super) producer_max_buffering: u64,
    /// Accepted for APISIX's sake: `inactive_timeout` and `buffer_duration` say how long lines wait.
    #[serde(default = "number::<1>")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "there is one queue, which has its own bound")]
    pub(super) producer_time_linger: u64,
    /// Seconds after which brokers are asked anew where the topic's partitions are.
    #[serde(default = "number::<30>")]
    #[schemars(range(min = 1))]
    pub(super) meta_refresh_interval: u64,
    /// Accepted for APISIX's sake: the version of messages is one that every broker since 1.0 knows.
    #[serde(default = "one_of_three")]
    #[schemars(extend("enum" = [0, 1, 2]))]
    #[expect(dead_code, reason = "one version is spoken with all brokers")]
    pub(super) api_version: u8,
    /// A name for the batches, for logs.
    #[serde(default = "name")]
    pub(super) name: String,
    /// How many lines leave together at most.
    #[serde(default = "number::<1000>")]
    #[schemars(range(min = 1))]
    pub(super) batch_max_size: u64,
    /// Lines leave when none has come for so many seconds.
    #[serde(default = "number::<5>")]
    #[schemars(range(min = 1))]
    pub(super) inactive_timeout: u64,
    /// Lines leave when the first of them has waited for so many seconds.
    #[serde(default = "number::<60>")]
    #[schemars(range(min = 1))]
    pub(super) buffer_duration: u64,
    /// How often a batch that could not be sent is sent again, before it is dropped.
    #[serde(default = "number::<0>")]
    #[schemars(range(min = 0))]
    pub(super) max_retry_count: u64,
    /// Seconds between two tries.
    #[serde(default = "number::<1>")]
    #[schemars(range(min = 0))]
    pub(super) retry_delay: u64,
    #[serde(flatten)]
    pub(super) content: Content,
}

fn ports(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "patternProperties": { ".*": { "type": "integer", "minimum": 1, "maximum": 65535 } },
    })
}

const fn one() -> i16 {
    1
}

const fn one_of_three() -> u8 {
    1
}

fn name() -> String {
    "kafka logger".to_owned()
}

/// What a message holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum MetaFormat {
    #[default]
    Default,
    Origin,
}

/// How messages leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProducerType {
    #[default]
    Async,
    Sync,
}

/// One broker.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Broker {
    /// Its name or address.
    #[schemars(length(min = 1))]
    pub(super) host: String,
    /// Its port, 1 to 65535.
    #[schemars(range(min = 1))]
    pub(super) port: u16,
    /// Who the gateway is to it, and to the brokers that it names.
    pub(super) sasl_config: Option<Sasl>,
}

/// Who the gateway is to a broker.
#[derive(Clone, Deserialize, JsonSchema)]
pub(super) struct Sasl {
    /// How that is proved. The password itself is sent for `PLAIN`, which is refused over a connection to another machine without TLS.
    #[serde(default)]
    pub(super) mechanism: Mechanism,
    /// The user's name.
    pub(super) user: String,
    /// The user's password.
    pub(super) password: Secret<String>,
}

/// How a user proves who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) enum Mechanism {
    #[default]
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    /// Its name in the protocol.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// How TLS is spoken with brokers.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Tls {
    /// Whether their certificates are verified.
    #[serde(default)]
    pub(super) verify: bool,
}
