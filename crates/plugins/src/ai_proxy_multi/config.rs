//! What a user writes for `ai-proxy-multi`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use usher_model::template::Template;
use usher_pipeline::plugin::BuildError;

use super::fleet::{Key, Rules};
use super::meaning::Embeddings;
use crate::ai::config::{Asking, Auth, Options, Override, Place};
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
    /// Who embeds what is asked, for `balancer.algorithm` `semantic`.
    pub(super) embeddings: Option<Embeddings>,
    /// What makes another instance be asked, of whichever priority, one after the other. `http_429`, `http_5xx`: such an answer; no answer at all counts as
    /// 502, one that took too long as 504. `instance_health_and_rate_limiting`, in a list `rate_limiting`: it has no tokens left by `ai-rate-limiting`,
    /// and isn't asked at all then. Health counts always. Without it, whoever is chosen answers.
    fallback_strategy: Option<Strategies>,
    /// Further statuses that do, 400 to 599, such as 401 and 402 for keys that ended.
    #[schemars(length(min = 1), inner(range(min = 400, max = 599)))]
    fallback_http_statuses: Option<Vec<u16>>,
    /// How many more instances one request is sent to at most; all of them, each once, where it isn't given.
    #[schemars(range(min = 0))]
    max_retries: Option<u64>,
    /// A bad answer that took longer than this many milliseconds is the client's, so that nobody waits twice.
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
    /// Instances of a lower priority are asked where none of a higher one is well, or as `fallback_strategy` says.
    #[serde(default)]
    pub(super) priority: i64,
    /// Where, at a provider that has its models in regions: `vertex-ai`, `bedrock`.
    #[serde(default)]
    pub(super) provider_conf: Place,
    /// How the gateway is authorized there.
    pub(super) auth: Auth,
    /// What is set in every request.
    #[serde(default)]
    pub(super) options: Options,
    /// What is different from what the provider's name says.
    #[serde(default)]
    pub(super) r#override: Override,
    /// With `balancer.algorithm` `semantic`: questions that this instance is for.
    #[serde(default)]
    #[schemars(length(max = 100), inner(length(min = 1, max = 2000)))]
    pub(super) examples: Vec<String>,
    /// How close a question has to be to one of them, by the cosine between both, -1 to 1; `balancer.threshold` where it isn't given.
    #[schemars(range(min = -1, max = 1))]
    pub(super) threshold: Option<f64>,
    /// Whether this instance answers what no other is close enough to; the first one does where none is marked so.
    #[serde(default)]
    pub(super) catchall: bool,
    /// How it is looked whether the instance is well.
    pub(super) checks: Option<Checks>,
}

/// How an instance is probed.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Checks {
    /// As an upstream's `checks.active`: `type`, `http_path`, `port`, `healthy`, `unhealthy` and so on.
    pub(super) active: Map<String, Value>,
}

/// When another instance is asked: one reason, or several.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected instance_health_and_rate_limiting, http_429 or http_5xx, or a list of rate_limiting, http_429 and http_5xx"
)]
enum Strategies {
    One(Strategy),
    Several(Vec<Reason>),
}

/// One reason alone.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Strategy {
    InstanceHealthAndRateLimiting,
    #[serde(rename = "http_429")]
    Http429,
    #[serde(rename = "http_5xx")]
    Http5xx,
}

/// One reason among others.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Reason {
    RateLimiting,
    #[serde(rename = "http_429")]
    Http429,
    #[serde(rename = "http_5xx")]
    Http5xx,
}

/// How an instance is chosen.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct Balancer {
    /// `roundrobin` in turns by weight, `chash` the same one for the same key, `semantic` the one whose `examples` are
    /// closest to what the user asks, whatever the weights and priorities.
    #[serde(default)]
    algorithm: Algorithm,
    /// What `chash` goes by.
    #[serde(default)]
    hash_on: HashOn,
    /// The name of the variable, header or cookie, or a text of variables for `vars_combinations`.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// How close a question has to be to an instance's `examples` with `semantic`, by the cosine between both, -1 to 1; the closest one is taken at any
    /// distance where it isn't given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 1))]
    pub(super) threshold: Option<f64>,
}

/// How an instance is chosen.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Algorithm {
    /// In turns.
    #[default]
    Roundrobin,
    /// By a key.
    Chash,
    /// By what is asked.
    Semantic,
}

/// What a key is made of.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum HashOn {
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
    /// Whether instances are chosen by what is asked.
    pub(super) const fn is_semantic(&self) -> bool {
        matches!(self.algorithm, Algorithm::Semantic)
    }

    /// The key that instances are chosen by; `None` where there is none.
    ///
    /// # Errors
    /// The key has no name.
    pub(super) fn key(&self) -> Result<Option<Key>, BuildError> {
        match self.algorithm {
            Algorithm::Roundrobin | Algorithm::Semantic => return Ok(None),
            Algorithm::Chash if self.hash_on == HashOn::Consumer => return Ok(Some(Key::Consumer)),
            Algorithm::Chash => {}
        }
        let Some(key) = &self.key else {
            return Err(BuildError::new(
                "balancer.key is required where balancer.algorithm is chash; name what hash_on goes by",
            ));
        };
        Ok(Some(match self.hash_on {
            HashOn::Vars => Key::Variable(key.clone()),
            HashOn::Header => Key::Variable(format!("http_{}", key.to_ascii_lowercase().replace('-', "_"))),
            HashOn::Cookie => Key::Variable(format!("cookie_{key}")),
            HashOn::VarsCombinations => Key::Text(Template::parse(key)),
            HashOn::Consumer => Key::Consumer,
        }))
    }
}

impl Config {
    /// When another instance is asked.
    pub(super) fn rules(&self) -> Rules {
        let (out_of_tokens, http_429, http_5xx) = match &self.fallback_strategy {
            None => (false, false, false),
            Some(Strategies::One(one)) => match one {
                Strategy::InstanceHealthAndRateLimiting => (true, false, false),
                Strategy::Http429 => (false, true, false),
                Strategy::Http5xx => (false, false, true),
            },
            Some(Strategies::Several(reasons)) => {
                let has = |reason| reasons.contains(&reason);
                (has(Reason::RateLimiting), has(Reason::Http429), has(Reason::Http5xx))
            }
        };
        Rules {
            out_of_tokens,
            http_429,
            http_5xx,
            statuses: self.fallback_http_statuses.clone().unwrap_or_default(),
            most: self.max_retries,
            within: self.retry_on_failure_within_ms.map(Duration::from_millis),
        }
    }
}
