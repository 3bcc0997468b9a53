//! What a user writes for `traffic-split`.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_model::kind::Kind;

use crate::schema::Id;

/// Spreads a route's requests over several upstreams.
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
pub(super) struct Config {
    /// Looked at in order; the first whose `match` holds is taken. Without one that holds, the route's own upstream is used.
    #[serde(default)]
    pub(super) rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
pub(super) struct Rule {
    /// Conditions, of which one has to hold; without any the rule is always taken.
    pub(super) r#match: Option<Vec<Match>>,
    /// Where requests go, by weight; 1 to 20 entries.
    #[serde(default = "only_the_routes_own")]
    #[schemars(length(min = 1, max = 20))]
    pub(super) weighted_upstreams: Vec<Weighted>,
}

/// One condition.
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
pub(super) struct Match {
    /// An expression over variables, such as `[["arg_version", "==", "2"]]`.
    pub(super) vars: Option<Vec<Value>>,
}

/// One place where requests go: `upstream_id`, or else `upstream`; without both the route's own upstream.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Weighted {
    /// The id of an upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upstream_id: Option<Id>,
    /// An upstream, written as the Admin API takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "upstream")]
    pub(super) upstream: Option<Value>,
    /// Its share of the requests, from 0 on; 0 gets none.
    #[serde(default = "one")]
    pub(super) weight: u32,
}

fn only_the_routes_own() -> Vec<Weighted> {
    vec![Weighted { upstream_id: None, upstream: None, weight: one() }]
}

const fn one() -> u32 {
    1
}

fn upstream(_: &mut SchemaGenerator) -> Schema {
    Schema::try_from(usher_model::schema::schema(Kind::Upstream).clone()).unwrap_or_default()
}
