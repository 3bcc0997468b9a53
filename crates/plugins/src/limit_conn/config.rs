//! What a user writes for `limit-conn`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use usher_pipeline::plugin::BuildError;

use super::{Limit, LimitKey};
use crate::limit_key::{Amount, Key, KeyType, Number};
use crate::redis_link::{Cluster, Single};
use crate::schema::{number, one_of_required, status};
use crate::text::Text;

/// Holds down how many requests of a key are on their way; either `conn`, `burst` and `key`, or `rules`.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = one_of_required(&[&["conn", "burst", "key"], &["rules"]]))]
pub(super) struct Config {
    /// How many requests at a time pass without waiting: a whole number above 0, or a text with variables that makes one.
    conn: Option<Amount>,
    /// How many requests beyond `conn` wait; further ones are refused. A whole number from 0 on, or a text with variables that makes one.
    #[serde(default)]
    #[schemars(schema_with = "from_zero")]
    burst: Option<Amount>,
    /// Several limits at once, each with a key of its own. Not together with `conn`, `burst` and `key`.
    #[schemars(length(min = 1))]
    rules: Option<Vec<Rule>>,
    /// Seconds that a request beyond `conn` waits for each full load before it; more than 0. Drifts towards how long requests take, unless
    /// `only_use_default_delay` says otherwise.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(super) default_conn_delay: f64,
    /// The delay stays what `default_conn_delay` says.
    #[serde(default)]
    pub(super) only_use_default_delay: bool,
    /// What requests are told apart by, as `key_type` says. Where it has no value, the client's address is taken. IPv6 addresses count by
    /// their /64 network.
    key: Option<String>,
    /// `var`: `key` is a variable's name. `var_combination`: `key` is a text with variables.
    #[serde(default)]
    key_type: KeyType,
    /// The status of a refusal, 200 to 599.
    #[serde(default = "status::<503>")]
    #[schemars(range(min = 200, max = 599))]
    pub(super) rejected_code: u16,
    /// The text of a refusal, sent as `{"error_msg": ...}`. Without it a refusal is the page of its status.
    #[schemars(length(min = 1))]
    pub(super) rejected_msg: Option<String>,
    /// Where requests are counted: in this process, or in Redis for all gateways that use the same.
    #[serde(default)]
    pub(super) policy: Policy,
    /// Lets requests pass that can't be counted, instead of answering 500.
    #[serde(default)]
    pub(super) allow_degradation: bool,
    /// Seconds after which Redis forgets a request that was never released; longer than any request takes.
    #[serde(default = "number::<3600>")]
    #[schemars(range(min = 1))]
    pub(super) key_ttl: u64,
    #[serde(flatten)]
    pub(super) redis: Single,
    #[serde(flatten)]
    pub(super) cluster: Cluster,
}

/// One of several limits.
#[derive(Deserialize, JsonSchema)]
struct Rule {
    /// How many requests at a time pass without waiting: a whole number above 0, or a text with variables that makes one.
    conn: Amount,
    /// How many requests beyond `conn` wait: a whole number from 0 on, or a text with variables that makes one.
    #[schemars(schema_with = "from_zero")]
    burst: Amount,
    /// What requests are told apart by: a text with variables. The rule is left out for requests where none of them has a value.
    key: String,
}

/// Where requests are counted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Policy {
    #[default]
    Local,
    Redis,
    RedisCluster,
}

fn from_zero(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "oneOf": [{ "type": "integer", "minimum": 0 }, { "type": "string" }] })
}

impl Config {
    /// The limits, ready to run.
    ///
    /// # Errors
    /// A number that is none, or a key that stands twice.
    pub(super) fn limits(&self) -> Result<Vec<Limit>, BuildError> {
        if let Some(rules) = &self.rules {
            for (at, rule) in rules.iter().enumerate() {
                if rules.iter().take(at).any(|earlier| earlier.key == rule.key) {
                    return Err(BuildError::new(format!("duplicate key '{}' in rules", rule.key)));
                }
            }
            let limit = |(at, rule): (usize, &Rule)| {
                Ok(Limit {
                    conn: Number::new(&format!("rules[{at}].conn"), &rule.conn)?,
                    burst: Number::from(0, &format!("rules[{at}].burst"), &rule.burst)?,
                    key: LimitKey::Rule(at, Text::parse(&rule.key)),
                })
            };
            return rules.iter().enumerate().map(limit).collect();
        }
        let (Some(conn), Some(burst), Some(key)) = (&self.conn, &self.burst, &self.key) else {
            return Err(BuildError::new("conn, burst and key are required where there are no rules"));
        };
        Ok(vec![Limit {
            conn: Number::new("conn", conn)?,
            burst: Number::from(0, "burst", burst)?,
            key: LimitKey::Key(Key::new(self.key_type, key)),
        }])
    }
}
