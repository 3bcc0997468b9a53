//! What a user writes for `proxy-cache`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::schema::{number, yes};

/// Keeps answers and gives them again.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Config {
    /// `disk`: answers lie in a folder and outlive the process. `memory`: they live in a memory zone of it.
    #[serde(default)]
    pub(super) cache_strategy: Strategy,
    /// The zone, one of `apisix.proxy_cache.zones` in `config.yaml`; `disk_cache_one` and, for the memory strategy, `memory_cache` are there by default.
    #[serde(default = "disk_cache_one")]
    #[schemars(length(min = 1, max = 100))]
    pub(super) cache_zone: String,
    /// What answers are told apart by: constants and variables such as `$host`. Scheme and port, and the consumer where `consumer_isolation`
    /// says so, are told apart beside it.
    #[serde(default = "host_and_uri")]
    #[schemars(length(min = 1))]
    pub(super) cache_key: Vec<Value>,
    /// The methods whose answers are kept. Answers to HEAD are made of those to GET; answers to POST are told apart by the body too.
    #[serde(default = "get_and_head")]
    #[schemars(schema_with = "methods")]
    pub(super) cache_method: Vec<Method>,
    /// The statuses that are kept, 200 to 599.
    #[serde(default = "statuses_by_default")]
    #[schemars(schema_with = "statuses")]
    pub(super) cache_http_status: Vec<u16>,
    /// How long an answer is kept in memory, in seconds, where `cache_control` doesn't say otherwise. On disk it is kept as long as it says itself, and
    /// for `apisix.proxy_cache.cache_ttl` where it says nothing.
    #[serde(default = "number::<300>")]
    #[schemars(range(min = 1))]
    pub(super) cache_ttl: u64,
    /// The cache is left aside where one of these is neither empty nor `0`.
    #[schemars(length(min = 1))]
    pub(super) cache_bypass: Option<Vec<Value>>,
    /// An answer is not kept where one of these is neither empty nor `0`.
    #[schemars(length(min = 1))]
    pub(super) no_cache: Option<Vec<Value>>,
    /// Takes `Expires` and `Cache-Control` away from answers.
    #[serde(default)]
    pub(super) hide_cache_headers: bool,
    /// Obeys the client's `Cache-Control`, and takes the time to live from the answer's. `private`, `no-store` and `no-cache` of an answer are
    /// always obeyed.
    #[serde(default)]
    pub(super) cache_control: bool,
    /// Keeps answers of different consumers apart, unless `cache_key` names the consumer, its group or the credential itself.
    #[serde(default = "yes")]
    pub(super) consumer_isolation: bool,
    /// Keeps answers that set cookies, cookies included.
    #[serde(default)]
    pub(super) cache_set_cookie: bool,
    /// The largest body that is kept, in bytes; larger ones pass without being kept.
    #[serde(default = "number::<67_108_864>")]
    #[schemars(range(min = 1))]
    pub(super) max_resp_body_size: u64,
}

/// Where answers are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Strategy {
    #[default]
    Disk,
    Memory,
}

/// A method whose answers may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    Get,
    Post,
    Head,
}

impl Method {
    /// The method of this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "GET" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "HEAD" => Some(Self::Head),
            _ => None,
        }
    }
}

/// A constant, or a variable with `$` before its name.
#[derive(Deserialize)]
pub(super) struct Value(pub(super) String);

impl JsonSchema for Value {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Value".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"(^[^\$].+$|^\$[0-9a-zA-Z_]+$)" })
    }
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

fn disk_cache_one() -> String {
    super::zones::DISK_ZONE.to_owned()
}

fn host_and_uri() -> Vec<Value> {
    ["$host", "$request_uri"].map(|name| Value(name.to_owned())).into()
}

fn get_and_head() -> Vec<Method> {
    vec![Method::Get, Method::Head]
}

fn statuses_by_default() -> Vec<u16> {
    vec![200, 301, 404]
}

fn methods(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "string", "enum": ["GET", "POST", "HEAD"] }
    })
}

fn statuses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "integer", "minimum": 200, "maximum": 599 }
    })
}
