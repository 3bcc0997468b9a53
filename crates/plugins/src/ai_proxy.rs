//! `ai-proxy` sends requests to a model of a provider, by the protocol that clients of OpenAI, Anthropic or Amazon speak.
//!
//! The protocol follows from the path: `/messages` is Anthropic's, `/converse` Amazon's, `/responses`, `/embeddings` and everything else OpenAI's. A request
//! of Anthropic's is translated for a provider that only knows chat completions, and so is the answer.
//!
//! Keys of the provider are sent to it and shown to nobody; what clients authorize themselves with at the gateway stays here. Answers that stream go on
//! as they come, and are read for what they cost: `$llm_prompt_tokens` and `$llm_completion_tokens` say it in logs.
//!
//! Example: `{"provider": "openai", "auth": {"header": {"Authorization": "Bearer sk-my-key"}}, "options": {"model": "gpt-4o"}}`

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::body::BodyStep;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::spec::Spec;

use crate::ai::call;
use crate::ai::config::{Asking, Auth, Options, Override, Place};
use crate::ai::instance::{Described, Instance};
use crate::ai::provider::Provider;

/// `ai-proxy`.
pub(crate) static PLUGIN: Spec = Spec::of::<AiProxy>();

/// Sends requests to a model of a provider.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Who has the model.
    provider: Provider,
    /// Where, at a provider that has its models in regions: `vertex-ai`, `bedrock`.
    #[serde(default)]
    provider_conf: Place,
    /// How the gateway is authorized there.
    auth: Auth,
    /// What is set in every request.
    #[serde(default)]
    options: Options,
    /// What is different from what the provider's name says.
    #[serde(default)]
    r#override: Override,
    #[serde(flatten)]
    asking: Asking,
}

struct AiProxy {
    instance: Arc<Instance>,
    asking: Asking,
}

impl Plugin for AiProxy {
    const NAME: &'static str = "ai-proxy";
    const PRIORITY: i32 = 1040;
    const PHASES: Phases<Self> = Phases {
        access: Some(Hook::Later(Self::ask)),
        body_filter: Some(Self::read),
        mask: Some(Self::tell),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let Config { provider, provider_conf, auth, options, r#override, asking } = config;
        let name = format!("ai-proxy-{}", provider.name());
        let (place, auth, options, over) = (&provider_conf, &auth, &options, &r#override);
        let at = "plugins['ai-proxy']";
        let described = Described { name: &name, at, provider, place, auth, options, over, probes: None };
        let instance = Instance::build(described, &asking, env)?;
        Ok(Self { instance: Arc::new(instance), asking })
    }
}

impl AiProxy {
    fn ask<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            match call::read(exchange, &self.asking).await {
                Ok((body, protocol)) => match call::send(exchange, &self.instance, body, protocol).await {
                    Ok(()) => Flow::Continue,
                    Err(reply) => Flow::Reply(reply),
                },
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
