//! `ai-proxy-multi` spreads requests over several models, by weight, by a key or by what is asked.
//!
//! Of the instances with the highest priority that are well one is chosen: in turns by weight, or the same one for the same key. Where
//! `fallback_strategy` says so, an instance that answers badly, or not at all, is followed by the next, those of lower priorities too: each once, and
//! only before the client has seen a byte of an answer. The last one's answer is the client's. Everything else is as with `ai-proxy`.
//!
//! With `balancer.algorithm` `semantic`, a model of embeddings says how close the last message of the user's is to the `examples` of each instance, and the
//! closest one is asked. That costs a call before each request; where it fails, the instance marked `catchall` is asked, or the first.
//!
//! An instance with `checks` is probed from its first request on and passed over while it is unwell, unless all are. What authorizes requests
//! authorizes probes too, but for plain ones of an endpoint that is spoken to by https.
//!
//! Example: `{"instances": [{"name": "one", "provider": "openai", "weight": 8, "auth": {"header": {"Authorization": "Bearer sk-my-key"}}, "options": {"model": "gpt-4o"}}, {"name": "two", "provider": "deepseek", "weight": 2, "auth": {"header": {"Authorization": "Bearer sk-my-key"}}}]}`

mod config;
mod fleet;
mod journey;
mod meaning;

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use usher_pipeline::body::BodyStep;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::spec::Spec;

use crate::ai::call;
use crate::ai::config::Asking;
use crate::ai::instance::{Described, Instance};
use config::Config;
use fleet::{Fleet, Member, Way};
use meaning::{Meaning, Purpose};

/// `ai-proxy-multi`.
pub(crate) static PLUGIN: Spec = Spec::of::<AiProxyMulti>();

struct AiProxyMulti {
    fleet: Arc<Fleet>,
    asking: Asking,
}

impl Plugin for AiProxyMulti {
    const NAME: &'static str = "ai-proxy-multi";
    const PRIORITY: i32 = 1041;
    const PHASES: Phases<Self> = Phases {
        access: Some(Hook::Later(Self::ask)),
        body_filter: Some(Self::read),
        mask: Some(Self::tell),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let mut members = Vec::new();
        for (at, one) in config.instances.iter().enumerate() {
            if config.instances.iter().take(at).any(|earlier| earlier.name == one.name) {
                return Err(BuildError::new(format!("duplicate instance name '{}'", one.name)));
            }
            let described = Described {
                name: &one.name,
                at: &format!("plugins['{}'].instances[{at}]", Self::NAME),
                provider: one.provider,
                place: &one.provider_conf,
                auth: &one.auth,
                options: &one.options,
                over: &one.r#override,
                probes: one.checks.as_ref().map(|checks| &checks.active),
            };
            let instance = Instance::build(described, &config.asking, env);
            let instance = instance.map_err(|error| BuildError::new(format!("instances[{at}]: {error}")))?;
            let purpose = Purpose {
                examples: one.examples.clone(),
                threshold: one.threshold,
                catches_all: one.catchall,
            };
            members.push(Member { instance, weight: one.weight, priority: one.priority, purpose });
        }
        let way = match (&config.embeddings, config.balancer.key()?) {
            (Some(embeddings), _) if config.balancer.is_semantic() => {
                Way::Meaning(Box::new(Meaning::build(embeddings, config.balancer.threshold, env)?))
            }
            (None, _) if config.balancer.is_semantic() => {
                return Err(BuildError::new(
                    "property \"embeddings\" is required where balancer.algorithm is semantic; say who embeds what is asked",
                ));
            }
            (_, Some(key)) => Way::Key(key),
            (_, None) => Way::turns(),
        };
        let fleet = Fleet::new(members, way, config.rules())?
            .ok_or_else(|| BuildError::new("no instance has a weight above 0; give one a share"))?;
        Ok(Self { fleet: Arc::new(fleet), asking: config.asking })
    }
}

impl AiProxyMulti {
    fn ask<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            match call::read(exchange, &self.asking).await {
                Ok((body, protocol)) => journey::begin(&self.fleet, exchange, body, protocol).await,
                Err(reply) => reply.into(),
            }
        }
        .boxed_local()
    }

    fn read(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        call::meter(exchange, &self.asking)
    }

    fn tell(&self, exchange: &mut Exchange) {
        call::tell(exchange, &self.asking);
    }
}

#[cfg(test)]
mod tests;
