//! What a user writes for `ai-proxy-multi`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_model::template::Template;
use usher_pipeline::plugin::BuildError;

use super::Key;
use crate::ai::config::{Asking, Auth, Options, Override};
use crate::ai::provider::Provider;

/// Spreads requests over several models.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Config {
    /// The models, at least one.
    #[schemars(length(min = 1))]
    pub(super) instances: Vec<Written>,
    /// How one of them is chosen.
    #[serde(default)]
    pub(super) balancer: Balancer,
    /// Refused: whoever is chosen answers, whatever the answer is.
    fallback_strategy: Option<Value>,
    /// Refused, as `fallback_strategy` is.
    #[schemars(range(min = 0))]
    max_retries: Option<u64>,
    /// Refused, as `fallback_strategy` is.
    #[schemars(range(min = 1))]
    retry_on_failure_within_ms: Option<u64>,
    #[serde(flatten)]
    pub(super) asking: Asking,
}

/// One model.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Written {
    /// Its name, for limits and logs.
    #[schemars(length(min = 1, max = 100))]
    pub(super) name: String,
    /// Who has the model.
    pub(super) provider: Provider,
    /// Its share of the requests; 0 gets none.
    #[schemars(range(min = 0))]
    pub(super) weight: u64,
    /// Only instances of the highest priority are asked.
    #[serde(default)]
    pub(super) priority: i64,
    /// How the gateway is authorized there.
    pub(super) auth: Auth,
    /// What is set in every request.
    #[serde(default)]
    pub(super) options: Options,
    /// What is different from what the provider's name says.
    #[serde(default)]
    pub(super) r#override: Override,
    /// Refused: instances are not probed.
    checks: Option<Value>,
}

/// How an instance is chosen.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct Balancer {
    /// `roundrobin` in turns by weight, `chash` the same one for the same key; `semantic` is refused.
    #[serde(default)]
    pub(super) algorithm: Algorithm,
    /// What `chash` goes by.
    #[serde(default)]
    pub(super) hash_on: HashOn,
    /// The name of the variable, header or cookie, or a text of variables for `vars_combinations`.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// How an instance is chosen.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Algorithm {
    /// In turns.
    #[default]
    Roundrobin,
    /// By a key.
    Chash,
    /// By what is asked.
    Semantic,
}

/// What a key is made of.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum HashOn {
    /// A variable.
    #[default]
    Vars,
    /// A header.
    Header,
    /// A cookie.
    Cookie,
    /// The consumer's name.
    Consumer,
    /// A text of variables.
    VarsCombinations,
}

impl Balancer {
    /// What the key is made of.
    ///
    /// # Errors
    /// It has no name.
    pub(super) fn key(&self, on: HashOn) -> Result<Key, BuildError> {
        let Some(key) = &self.key else {
            return Err(BuildError::new(
                "balancer.key is required where balancer.algorithm is chash; name what hash_on goes by",
            ));
        };
        Ok(match on {
            HashOn::Vars => Key::Variable(key.clone()),
            HashOn::Header => Key::Variable(format!("http_{}", key.to_ascii_lowercase().replace('-', "_"))),
            HashOn::Cookie => Key::Variable(format!("cookie_{key}")),
            HashOn::VarsCombinations => Key::Text(Template::parse(key)),
            HashOn::Consumer => Key::Consumer,
        })
    }
}

impl Config {
    /// # Errors
    /// It asks for what this version can't do.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        self.asking.check()?;
        let asked = [
            (
                "fallback_strategy",
                self.fallback_strategy.as_ref().is_some_and(|given| *given != Value::Array(Vec::new())),
            ),
            ("max_retries", self.max_retries.is_some_and(|most| most > 0)),
            ("retry_on_failure_within_ms", self.retry_on_failure_within_ms.is_some()),
            ("instances[].checks", self.instances.iter().any(|instance| instance.checks.is_some())),
        ];
        match asked.into_iter().find(|(_, asked)| *asked) {
            Some((name, _)) => Err(BuildError::new(format!(
                "{name} is not supported by this version of Usher, which asks one instance once; leave it out"
            ))),
            None => Ok(()),
        }
    }
}
