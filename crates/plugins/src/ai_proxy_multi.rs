//! `ai-proxy-multi` spreads requests over several models, by weight or by what is asked.
//!
//! Of the instances with the highest priority one is chosen: in turns by weight, or the same one for the same key. Everything else is as with
//! `ai-proxy`.
//!
//! Example: `{"instances": [{"name": "one", "provider": "openai", "weight": 8, "auth": {"header": {"Authorization": "Bearer sk-my-key"}}, "options": {"model": "gpt-4o"}}, {"name": "two", "provider": "deepseek", "weight": 2, "auth": {"header": {"Authorization": "Bearer sk-my-key"}}}]}`

mod config;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::sync::PoisonError;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use usher_model::variables::Variables as _;
use usher_pipeline::body::BodyStep;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::ai::call;
use crate::ai::config::Asking;
use crate::ai::instance::Instance;
use config::{Algorithm, Config, HashOn};

/// `ai-proxy-multi`.
pub(crate) static PLUGIN: Spec = Spec::of::<AiProxyMulti>();

struct AiProxyMulti {
    /// Those of the highest priority, each with its weight.
    instances: Vec<(Instance, u64)>,
    choice: Choice,
    asking: Asking,
}

/// How one is chosen.
enum Choice {
    /// In turns: how far each one is from its next.
    Turns(Mutex<Vec<i128>>),
    /// By what this variable says.
    Key(Key),
}

enum Key {
    Variable(String),
    Consumer,
    Text(usher_model::template::Template),
}

impl Plugin for AiProxyMulti {
    const NAME: &'static str = "ai-proxy-multi";
    const PRIORITY: i32 = 1041;
    const PHASES: Phases<Self> = Phases {
        access: Some(Hook::Later(Self::ask)),
        body_filter: Some(Self::read),
        log: Some(Self::tell),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        config.check()?;
        let highest = config.instances.iter().map(|instance| instance.priority).max().unwrap_or(0);
        let mut instances = Vec::new();
        for (at, one) in config.instances.iter().enumerate() {
            if config.instances.iter().take(at).any(|earlier| earlier.name == one.name) {
                return Err(BuildError::new(format!("duplicate instance name '{}'", one.name)));
            }
            let built = Instance::build(
                &one.name,
                one.provider,
                &one.auth,
                &one.options,
                &one.r#override,
                &config.asking,
                env,
            );
            let built = built.map_err(|error| BuildError::new(format!("instances[{at}]: {error}")))?;
            if one.priority == highest && one.weight > 0 {
                instances.push((built, one.weight));
            }
        }
        if instances.is_empty() {
            return Err(BuildError::new("no instance of the highest priority has a weight above 0"));
        }
        let choice = match (config.balancer.algorithm, config.balancer.hash_on) {
            (Algorithm::Roundrobin, _) => Choice::Turns(Mutex::new(vec![0; instances.len()])),
            (Algorithm::Chash, HashOn::Consumer) => Choice::Key(Key::Consumer),
            (Algorithm::Chash, on) => Choice::Key(config.balancer.key(on)?),
            (Algorithm::Semantic, _) => {
                return Err(BuildError::new(
                    "balancer.algorithm semantic is not supported by this version of Usher; take roundrobin or chash",
                ));
            }
        };
        Ok(Self { instances, choice, asking: config.asking })
    }
}

impl AiProxyMulti {
    fn ask<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let (body, protocol) = match call::read(exchange, &self.asking).await {
                Ok(read) => read,
                Err(reply) => return reply.into(),
            };
            let Some(instance) = self.choose(exchange) else { return Reply::new(503).into() };
            match call::send(exchange, instance, body, protocol) {
                Ok(()) => Flow::Continue,
                Err(reply) => Flow::Reply(reply),
            }
        }
        .boxed_local()
    }

    fn choose(&self, exchange: &Exchange) -> Option<&Instance> {
        let at = match &self.choice {
            Choice::Turns(turns) => {
                let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
                smooth(&mut turns, self.instances.iter().map(|(_, weight)| *weight))?
            }
            Choice::Key(key) => {
                let key = key.of(exchange);
                let score = |(at, (instance, weight)): (usize, &(Instance, u64))| {
                    (at, weighted_hash(&key, &instance.name, *weight))
                };
                let scores = self.instances.iter().enumerate().map(score);
                scores.max_by(|a, b| a.1.total_cmp(&b.1))?.0
            }
        };
        self.instances.get(at).map(|(instance, _)| instance)
    }

    fn read(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        call::meter(exchange, &self.asking)
    }

    #[expect(clippy::unused_self, reason = "a hook is a method")]
    fn tell(&self, exchange: &mut Exchange) {
        call::tell(exchange);
    }
}

impl Key {
    fn of(&self, exchange: &Exchange) -> Vec<u8> {
        let found = match self {
            Self::Variable(name) => exchange.variable(name).map(std::borrow::Cow::into_owned),
            Self::Consumer => exchange.consumer().map(|consumer| consumer.name.as_bytes().to_vec()),
            Self::Text(template) => {
                let mut text = Vec::new();
                template.render_into(exchange, &mut text);
                Some(text)
            }
        };
        found.unwrap_or_else(|| exchange.client.ip().to_string().into_bytes())
    }
}

/// The next in turns by weight, spread evenly: whoever is furthest behind.
fn smooth(turns: &mut [i128], weights: impl Iterator<Item = u64> + Clone) -> Option<usize> {
    let total: i128 = weights.clone().map(i128::from).sum();
    for (turn, weight) in turns.iter_mut().zip(weights) {
        *turn += i128::from(weight);
    }
    let (at, chosen) =
        turns.iter_mut().enumerate().max_by_key(|(at, turn)| (**turn, std::cmp::Reverse(*at)))?;
    *chosen -= total;
    Some(at)
}

/// How well an instance fits a key (rendezvous hashing with weights): one that goes takes only its own keys along.
fn weighted_hash(key: &[u8], name: &str, weight: u64) -> f64 {
    let mut hasher = DefaultHasher::new();
    (key, name).hash(&mut hasher);
    let share = ((hasher.finish() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -(weight as f64) / share.ln()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};
    use usher_pipeline::harness::{Harness, harness, try_harness};

    use super::{PLUGIN, smooth};

    fn instance(name: &str, weight: u64, priority: i64) -> Value {
        json!({ "name": name, "provider": "openai-compatible", "weight": weight, "priority": priority,
            "auth": { "header": { "X-Which": name } }, "override": { "endpoint": "http://127.0.0.1:9" } })
    }

    fn counted(bench: &mut Harness, requests: usize, fields: &[(&str, &str)]) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            let body = json!({ "messages": [] }).to_string();
            let outcome = bench.send("POST", "/", fields, body);
            let which = outcome.expect_status(200).seen().head.get_str("x-which").unwrap().to_owned();
            *counts.entry(which).or_default() += 1;
        }
        counts
    }

    #[test]
    fn requests_are_spread_by_weight_among_the_highest_priority() {
        let body = json!({ "instances": [instance("a", 3, 1), instance("b", 1, 1), instance("c", 9, 0), instance("d", 0, 1)] });
        let counts = counted(&mut harness(&PLUGIN, body), 40, &[]);
        assert_eq!(counts, BTreeMap::from([("a".to_owned(), 30), ("b".to_owned(), 10)]));
        let mut turns = vec![0; 2];
        let order: Vec<_> = (0..4).map(|_| smooth(&mut turns, [3, 1].into_iter()).unwrap()).collect();
        assert_eq!(order, [0, 0, 1, 0]);
    }

    #[test]
    fn the_same_key_goes_to_the_same_instance() {
        let body = json!({ "balancer": { "algorithm": "chash", "hash_on": "header", "key": "X-User" },
            "instances": [instance("a", 1, 0), instance("b", 1, 0), instance("c", 1, 0)] });
        let mut bench = harness(&PLUGIN, body);
        let mut all = std::collections::BTreeSet::new();
        for user in 0..30 {
            let user = user.to_string();
            let counts = counted(&mut bench, 3, &[("X-User", user.as_str())]);
            assert_eq!(counts.len(), 1, "{user}");
            all.extend(counts.into_keys());
        }
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        let two = json!([instance("a", 1, 0), instance("a", 1, 0)]);
        for (body, sentence) in [
            (json!({}), "property \"instances\" is required"),
            (json!({ "instances": [] }), "expect array to have at least 1 items"),
            (json!({ "instances": two }), "duplicate instance name 'a'"),
            (
                json!({ "instances": [instance("a", 0, 0)] }),
                "no instance of the highest priority has a weight above 0",
            ),
            (
                json!({ "instances": [instance("a", 1, 0)], "balancer": { "algorithm": "chash", "hash_on": "header" } }),
                "balancer.key is required",
            ),
            (
                json!({ "instances": [instance("a", 1, 0)], "balancer": { "algorithm": "semantic" } }),
                "semantic is not supported",
            ),
            (
                json!({ "instances": [instance("a", 1, 0)], "fallback_strategy": "http_429" }),
                "fallback_strategy is not supported",
            ),
            (json!({ "instances": [instance("a", 1, 0)], "max_retries": 1 }), "max_retries is not supported"),
            (json!({ "instances": [{ "name": "a" }] }), "property \"provider\" is required"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
