//! What a user writes for `ai-rate-limiting`.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;
use usher_http1::head::Head;
use usher_pipeline::plugin::BuildError;

use super::cost::Cost;
use super::limits::{Limit, Whose};
use crate::limit_key::{Amount, Number};
use crate::redis_link::{Cluster, Redis, Sentinel, Single};
use crate::schema::{status, yes};
use crate::text::Text;

/// Holds down how many tokens models are asked for: by `limit` and `time_window`, by `instances`, or by `rules`.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = one_way)]
pub(super) struct Config {
    /// Tokens in a window, for all instances without a limit of their own together; a text may have variables in it.
    limit: Option<Amount>,
    /// The window, in seconds.
    time_window: Option<Amount>,
    /// Limits of single instances.
    #[schemars(length(min = 1))]
    instances: Option<Vec<OfInstance>>,
    /// Limits by what requests say, each with counters of its own; one whose `key` has no value doesn't count.
    rules: Option<Vec<Rule>>,
    /// Which tokens are counted: `total_tokens`, `prompt_tokens` or `completion_tokens`; with `expression`, what `cost_expr` comes to.
    #[serde(default)]
    pub(super) limit_strategy: Strategy,
    /// What an answer costs, for the strategy `expression`: numbers, `+ - * / %`, brackets, `min`, `max`, `floor`, `ceil`, and the names that the provider
    /// gives its usage, such as `input_tokens + 0.1 * cache_read_input_tokens + 5 * output_tokens`; deeper ones as
    /// `prompt_tokens_details.cached_tokens`. What the provider doesn't say is 0; the result is rounded.
    #[schemars(length(min = 1))]
    cost_expr: Option<String>,
    /// The status of a rejection, 200 to 599.
    #[serde(default = "status::<503>")]
    #[schemars(range(min = 200, max = 599))]
    pub(super) rejected_code: u16,
    /// The text of a rejection, at least one character.
    #[schemars(length(min = 1))]
    pub(super) rejected_msg: Option<String>,
    /// Whether answers say what is left.
    #[serde(default = "yes")]
    pub(super) show_limit_quota_header: bool,
    /// Where tokens are counted. `local`: in this process, over all its workers. `redis`, `redis-cluster`, `redis-sentinel`: there, over all gateways that use
    /// the same.
    #[serde(default)]
    policy: Policy,
    /// Lets requests pass whose counters can't be asked, instead of answering 500.
    #[serde(default)]
    pub(super) allow_degradation: bool,
    #[serde(flatten)]
    redis: Single,
    #[serde(flatten)]
    cluster: Cluster,
    #[serde(flatten)]
    sentinel: Sentinel,
}

fn one_way(schema: &mut Schema) {
    schema.insert(
        "oneOf".to_owned(),
        json!([
            { "anyOf": [{ "required": ["limit", "time_window"] }, { "required": ["instances"] }] },
            { "required": ["rules"] }
        ]),
    );
    schema.insert("dependencies".to_owned(), json!({ "limit": ["time_window"], "time_window": ["limit"] }));
}

/// The limit of one instance.
#[derive(Deserialize, JsonSchema)]
struct OfInstance {
    /// The instance: its name in `ai-proxy-multi`, or `ai-proxy-` and the provider with `ai-proxy`.
    name: String,
    /// Tokens in a window; a text may have variables in it.
    limit: Amount,
    /// The window, in seconds.
    time_window: Amount,
}

/// A limit by what requests say.
#[derive(Deserialize, JsonSchema)]
struct Rule {
    /// Tokens in a window; a text may have variables in it.
    count: Amount,
    /// The window, in seconds.
    time_window: Amount,
    /// What requests are counted by, such as `${http_x_user}`.
    key: String,
    /// What the names of the headers have in them; the rule's number where there is none.
    header_prefix: Option<String>,
}

/// Which tokens are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Strategy {
    /// All.
    #[default]
    TotalTokens,
    /// Those of the question.
    PromptTokens,
    /// Those of the answer.
    CompletionTokens,
    /// By `cost_expr`.
    Expression,
}

/// Where tokens are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    #[default]
    Local,
    Redis,
    RedisCluster,
    RedisSentinel,
}

impl Config {
    /// The expression that tokens are counted by, where they are.
    ///
    /// # Errors
    /// It is missing, or none.
    pub(super) fn cost(&self) -> Result<Option<Cost>, BuildError> {
        let is_expression = self.limit_strategy == Strategy::Expression;
        let Some(text) = self.cost_expr.as_ref().filter(|_| is_expression) else {
            return if is_expression {
                Err(BuildError::new(
                    "property \"cost_expr\" is required where limit_strategy is expression; write something like input_tokens + 5 * output_tokens",
                ))
            } else {
                Ok(None)
            };
        };
        let cost = Cost::parse(text);
        cost.map(Some).map_err(|reason| {
            BuildError::new(format!("property \"cost_expr\" validation failed: the expression {reason}"))
        })
    }

    /// Where tokens are counted; `None` where that is this process.
    ///
    /// # Errors
    /// A member that is missing or can't be used.
    pub(super) fn redis(&self) -> Result<Option<Redis>, BuildError> {
        Ok(Some(match self.policy {
            Policy::Local => return Ok(None),
            Policy::Redis => self.redis.redis()?,
            Policy::RedisCluster => self.redis.cluster(&self.cluster)?,
            Policy::RedisSentinel => self.redis.sentinel(&self.sentinel)?,
        }))
    }

    pub(super) fn limits(&self) -> Result<Vec<Limit>, BuildError> {
        let mut limits = Vec::new();
        for (at, one) in self.instances.iter().flatten().enumerate() {
            limits.push(Limit {
                whose: Whose::Instance(one.name.clone()),
                count: Number::new(&format!("instances[{at}].limit"), &one.limit)?,
                window: Number::new(&format!("instances[{at}].time_window"), &one.time_window)?,
                prefix: None,
            });
        }
        if let (Some(limit), Some(window)) = (&self.limit, &self.time_window) {
            limits.push(Limit {
                whose: Whose::Others,
                count: Number::new("limit", limit)?,
                window: Number::new("time_window", window)?,
                prefix: None,
            });
        }
        for (at, rule) in self.rules.iter().flatten().enumerate() {
            let prefix = rule.header_prefix.clone().unwrap_or_else(|| (at + 1).to_string());
            if Head::empty().set(&format!("X-AI-{prefix}-RateLimit-Limit"), "0").is_err() {
                return Err(BuildError::new(format!(
                    "property \"rules\" validation failed: header_prefix {prefix:?} can't be a part of a header's name"
                )));
            }
            limits.push(Limit {
                whose: Whose::Key(Text::parse(&rule.key)),
                count: Number::new(&format!("rules[{at}].count"), &rule.count)?,
                window: Number::new(&format!("rules[{at}].time_window"), &rule.time_window)?,
                prefix: Some(prefix),
            });
        }
        Ok(limits)
    }
}
