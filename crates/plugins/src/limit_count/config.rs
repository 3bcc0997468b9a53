//! What a user writes for `limit-count`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limit_key::Amount;
use crate::redis_link::{Cluster, Sentinel, Single};
use crate::schema::{one_of_required, status, yes};

/// Admits a number of requests per key and time; either `count` and `time_window`, or `rules`.
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
#[schemars(transform = one_of_required(&[&["count", "time_window"], &["rules"]]))]
pub(super) struct Config {
    /// How many requests a window admits: a whole number above 0, or a text with variables that makes one.
    pub(super) count: Option<Amount>,
    /// The window's length in seconds: a whole number above 0, or a text with variables that makes one.
    pub(super) time_window: Option<Amount>,
    /// `fixed`: a window starts with a key's first request and ends as a whole. `sliding`: the window before counts on, by the share of it that
    /// a window ending now would hold.
    #[serde(default)]
    pub(super) window_type: WindowType,
    /// Several limits at once; each with headers of its own. Not together with `count`, `time_window` or `group`.
    pub(super) rules: Option<Vec<Rule>>,
    /// Counts together with all other uses of the plugin that name the same group; their bodies have to be the same.
    pub(super) group: Option<String>,
    /// What requests are told apart by, as `key_type` says. Where it has no value, the client's address is taken. IPv6 addresses count by
    /// their /64 network.
    #[serde(default = "remote_addr")]
    pub(super) key: String,
    /// `var`: `key` is a variable's name. `var_combination`: `key` is a text with variables. `constant`: `key` is the key itself.
    #[serde(default)]
    pub(super) key_type: KeyType,
    /// The status of a rejection, 200 to 599.
    #[serde(default = "status::<503>")]
    #[schemars(range(min = 200, max = 599))]
    pub(super) rejected_code: u16,
    /// The text of a rejection, sent as `{"error_msg": ...}`. Without it a rejection is the page of its status.
    #[schemars(length(min = 1))]
    pub(super) rejected_msg: Option<String>,
    /// Where counters live. `local`: in this process, exact over all its workers. `redis`, `redis-cluster`, `redis-sentinel`: there, exact over all
    /// gateways that use the same.
    #[serde(default)]
    pub(super) policy: Policy,
    /// Lets requests pass that can't be counted, instead of answering 500.
    #[serde(default)]
    pub(super) allow_degradation: bool,
    /// Sends `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` with every answer.
    #[serde(default = "yes")]
    pub(super) show_limit_quota_header: bool,
    /// Counts in this process and brings counters together with Redis every so many seconds, 0.1 or more, so that no request waits for it. Limits
    /// are then exceeded by what other gateways admit in between. Only for fixed windows; -1 asks Redis with every request.
    #[serde(default = "never")]
    pub(super) sync_interval: f64,
    #[serde(flatten)]
    pub(super) redis: Single,
    #[serde(flatten)]
    pub(super) cluster: Cluster,
    #[serde(flatten)]
    pub(super) sentinel: Sentinel,
}

/// One of several limits.
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
pub(super) struct Rule {
    /// How many requests a window admits: a whole number above 0, or a text with variables that makes one.
    pub(super) count: Amount,
    /// The window's length in seconds: a whole number above 0, or a text with variables that makes one.
    pub(super) time_window: Amount,
    /// What requests are told apart by: a text with variables. The rule is left out for requests where none of them has a value.
    pub(super) key: String,
    /// What stands in the header names, as in `X-<prefix>-RateLimit-Limit`; the rule's number from 1 by default.
    pub(super) header_prefix: Option<String>,
}

fn remote_addr() -> String {
    "remote_addr".to_owned()
}

const fn never() -> f64 {
    -1.0
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum WindowType {
    #[default]
    Fixed,
    Sliding,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyType {
    #[default]
    Var,
    VarCombination,
    Constant,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Policy {
    #[default]
    Local,
    Redis,
    RedisCluster,
    RedisSentinel,
}

/// What all uses of the plugin share.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Metadata {
    /// The header that says how many requests a window admits.
    #[serde(default = "limit_header")]
    pub(super) limit_header: String,
    /// The header that says how many requests are left.
    #[serde(default = "remaining_header")]
    pub(super) remaining_header: String,
    /// The header that says in how many seconds there is room again.
    #[serde(default = "reset_header")]
    pub(super) reset_header: String,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            limit_header: limit_header(),
            remaining_header: remaining_header(),
            reset_header: reset_header(),
        }
    }
}

fn limit_header() -> String {
    "X-RateLimit-Limit".to_owned()
}

fn remaining_header() -> String {
    "X-RateLimit-Remaining".to_owned()
}

fn reset_header() -> String {
    "X-RateLimit-Reset".to_owned()
}
