//! `ai-proxy-multi` spreads requests over several models, by weight or by what is asked.
//!
//! Of the instances with the highest priority that are well one is chosen: in turns by weight, or the same one for the same key. Where
//! `fallback_strategy` says so, an instance that answers badly, or not at all, is followed by the next, those of lower priorities too: each once, and
//! only before the client has seen a byte of an answer. The last one's answer is the client's. Everything else is as with `ai-proxy`.
//!
//! An instance with `checks` is probed from its first request on and passed over while it is unwell, unless all are. What authorizes requests
//! authorizes probes too, but for plain ones of an endpoint that is spoken to by https.
//!
//! Example: `{"instances": [{"name": "one", "provider": "openai", "weight": 8, "auth": {"header": {"Authorization": "Bearer sk-my-key"}}, "options": {"model": "gpt-4o"}}, {"name": "two", "provider": "deepseek", "weight": 2, "auth": {"header": {"Authorization": "Bearer sk-my-key"}}}]}`

mod config;
mod fleet;
mod journey;

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
use fleet::{Fleet, Member};

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
        config.asking.check()?;
        let mut members = Vec::new();
        for (at, one) in config.instances.iter().enumerate() {
            if config.instances.iter().take(at).any(|earlier| earlier.name == one.name) {
                return Err(BuildError::new(format!("duplicate instance name '{}'", one.name)));
            }
            let described = Described {
                name: &one.name,
                provider: one.provider,
                auth: &one.auth,
                options: &one.options,
                over: &one.r#override,
                probes: one.checks.as_ref().map(|checks| &checks.active),
            };
            let instance = Instance::build(described, &config.asking, env);
            let instance = instance.map_err(|error| BuildError::new(format!("instances[{at}]: {error}")))?;
            members.push(Member { instance, weight: one.weight, priority: one.priority });
        }
        let fleet = Fleet::new(members, config.balancer.key()?, config.rules())
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

    #[expect(clippy::unused_self, reason = "a hook is a method")]
    fn tell(&self, exchange: &mut Exchange) {
        call::tell(exchange);
    }
}

#[cfg(test)]
mod tests;
