//! What a user writes for every logger: what lines say, which bodies they hold, how they leave in batches.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::schema::number;

/// What lines say.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
pub(crate) struct Content {
    /// A line's members instead of the usual ones: texts, `$variables`, and objects of them, nested up to five deep. The route's and the service's
    /// ids are added.
    pub(crate) log_format: Option<Map<String, Value>>,
    /// Members beside the usual ones, written like those of `log_format`.
    pub(crate) log_format_extra: Option<Map<String, Value>>,
    /// Logs the request's body.
    #[serde(default)]
    pub(crate) include_req_body: bool,
    /// Logs the request's body only where this expression holds, such as `[["request_length", "<", "1024"]]`.
    #[schemars(length(min = 1))]
    pub(crate) include_req_body_expr: Option<Vec<Value>>,
    /// Logs the answer's body.
    #[serde(default)]
    pub(crate) include_resp_body: bool,
    /// Logs the answer's body only where this expression holds, such as `[["status", ">=", "500"]]`.
    #[schemars(length(min = 1))]
    pub(crate) include_resp_body_expr: Option<Vec<Value>>,
    /// How many bytes of a request's body are logged at most.
    #[serde(default = "number::<524_288>")]
    #[schemars(range(min = 1))]
    pub(crate) max_req_body_bytes: u64,
    /// How many bytes of an answer's body are logged at most.
    #[serde(default = "number::<524_288>")]
    #[schemars(range(min = 1))]
    pub(crate) max_resp_body_bytes: u64,
}

/// How lines leave.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub(crate) struct BatchSettings {
    /// A name for the batches, for logs and metrics.
    pub(crate) name: Option<String>,
    /// How many lines leave together at most.
    #[serde(default = "number::<1000>")]
    #[schemars(range(min = 1))]
    pub(crate) batch_max_size: u64,
    /// Lines leave when none has come for so many seconds.
    #[serde(default = "number::<5>")]
    #[schemars(range(min = 1))]
    pub(crate) inactive_timeout: u64,
    /// Lines leave when the first of them has waited for so many seconds.
    #[serde(default = "number::<60>")]
    #[schemars(range(min = 1))]
    pub(crate) buffer_duration: u64,
    /// How often a batch that could not be sent is sent again, before it is dropped.
    #[serde(default = "number::<0>")]
    #[schemars(range(min = 0))]
    pub(crate) max_retry_count: u64,
    /// Seconds between two tries.
    #[serde(default = "number::<1>")]
    #[schemars(range(min = 0))]
    pub(crate) retry_delay: u64,
}

impl BatchSettings {
    /// Lines leave at once, together with whatever else waits.
    pub(crate) fn at_once() -> Self {
        Self {
            name: None,
            batch_max_size: 1000,
            inactive_timeout: 0,
            buffer_duration: 0,
            max_retry_count: 0,
            retry_delay: 1,
        }
    }
}

/// What all uses of a logger share.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct Metadata {
    /// What lines say where a use of the plugin has no `log_format` of its own.
    #[serde(default)]
    pub(crate) log_format: Map<String, Value>,
    /// Members beside the usual ones, where a use of the plugin has no `log_format_extra` of its own.
    #[serde(default)]
    pub(crate) log_format_extra: Map<String, Value>,
    /// How many lines may wait for one use of the plugin; further ones are dropped.
    #[serde(default = "number::<8192>")]
    #[schemars(range(min = 1))]
    pub(crate) max_pending_entries: u64,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { log_format: Map::new(), log_format_extra: Map::new(), max_pending_entries: 8192 }
    }
}
