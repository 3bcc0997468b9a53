//! `ai-rate-limiting` holds down how many tokens models are asked for.
//!
//! A request is admitted as long as its window has tokens left, and charged for what its answer cost: only then is that known. The last request of
//! a window may therefore cost more than was left, and so may those that were under way beside it. Counters belong to the plugin's body: of this
//! gateway, or through Redis of all gateways together. Where `ai-proxy-multi` goes on to another instance, that one's limit counts.
//!
//! Example: `{"limit": 10000, "time_window": 60, "rejected_code": 429}`

mod config;
mod cost;
mod limits;
mod remote;

use std::sync::Arc;

use futures_util::FutureExt as _;
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Called, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::ai::{Gate, asked};
use crate::keyed::Keyed;
use config::{Config, Strategy};
use cost::Cost;
use limits::{Limits, Place, Progress, Quota, Window};
use remote::Remote;

/// `ai-rate-limiting`.
pub(crate) static PLUGIN: Spec = Spec::of::<AiRateLimiting>();

struct AiRateLimiting {
    limits: Arc<Limits>,
    strategy: Strategy,
    /// For the strategy `expression`.
    cost: Option<Cost>,
    rejection: FixedReply,
    shows: bool,
}

impl Plugin for AiRateLimiting {
    const NAME: &'static str = "ai-rate-limiting";
    const PRIORITY: i32 = 1030;
    const PHASES: Phases<Self> = Phases {
        rewrite: Some(Hook::Now(Self::stand_ready)),
        access: Some(Hook::Either(Self::judge)),
        header_filter: Some(Self::show),
        log: Some(Self::charge),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let cost = config.cost()?;
        let place = match config.redis()? {
            Some(redis) => Place::Remote(Remote::new(redis, &env.shared_key())),
            None => {
                let counters = env.process().permanent("ai-rate-limiting", Keyed::<Window>::default);
                let space = env.keep(&env.own_key(), || counters.new_space());
                Place::Local(counters, space)
            }
        };
        let allow_degradation = config.allow_degradation;
        Ok(Self {
            limits: Arc::new(Limits { limits: config.limits()?, place, allow_degradation }),
            strategy: config.limit_strategy,
            cost,
            rejection: match &config.rejected_msg {
                Some(message) => Reply::error_msg(config.rejected_code, message),
                None => Reply::new(config.rejected_code),
            }
            .fixed(),
            shows: config.show_limit_quota_header,
        })
    }
}

impl AiRateLimiting {
    /// Whoever chooses among instances asks which have tokens left.
    fn stand_ready(&self, exchange: &mut Exchange) -> Flow {
        let gate: Arc<dyn Gate> = Arc::<Limits>::clone(&self.limits);
        let known = asked(exchange);
        known.gates.push(gate);
        if self.cost.is_some() {
            known.counted.get_or_insert_default();
        }
        Flow::Continue
    }

    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        // Only requests to models are counted, which the plugins before this one have told.
        let Some(instance) = asked(exchange).instance.clone() else { return Called::Now(Flow::Continue) };
        let known = exchange.existing_slot::<_, Progress>(&*self.limits);
        if known.is_some_and(|known| known.of(&instance).is_some()) {
            return Called::Now(self.decide(exchange, &instance));
        }
        if self.limits.are_local() {
            let looked = self.limits.look_now(exchange, &instance);
            return Called::Now(self.settle(exchange, &instance, looked));
        }
        Called::Later(
            async move {
                let looked = self.limits.look(exchange, &instance).await;
                self.settle(exchange, &instance, looked)
            }
            .boxed_local(),
        )
    }

    fn settle(
        &self,
        exchange: &mut Exchange,
        instance: &Arc<str>,
        looked: Result<Vec<Quota>, String>,
    ) -> Flow {
        match looked {
            Ok(quotas) => {
                exchange.slot::<_, Progress>(&*self.limits).note(instance, quotas);
                self.decide(exchange, instance)
            }
            Err(error) => {
                tracing::error!(%error, "failed to limit tokens");
                if self.limits.allow_degradation {
                    Flow::Continue
                } else {
                    Reply::error_msg(500, "failed to limit count").into()
                }
            }
        }
    }

    fn decide(&self, exchange: &mut Exchange, instance: &str) -> Flow {
        let progress = exchange.slot::<_, Progress>(&*self.limits);
        let spent = |quotas: &[Quota]| quotas.iter().any(|quota| quota.remaining == 0);
        progress.refused = progress.of(instance).is_some_and(spent);
        if progress.refused { self.rejection.reply().into() } else { Flow::Continue }
    }

    fn show(&self, exchange: &mut Exchange) -> Flow {
        let Some(instance) = asked(exchange).instance.clone().filter(|_| self.shows) else {
            return Flow::Continue;
        };
        let progress = exchange.existing_slot::<_, Progress>(&*self.limits);
        let Some(quotas) = progress.as_ref().and_then(|progress| progress.of(&instance)) else {
            return Flow::Continue;
        };
        let mut fields = Head::empty();
        for Quota { names: [limit, remaining, reset], limit: count, remaining: left, reset_secs, .. } in
            quotas
        {
            for (name, value) in
                [(limit, count.to_string()), (remaining, left.to_string()), (reset, reset_secs.to_string())]
            {
                if let Err(error) = fields.set(name, value) {
                    tracing::debug!(%error, "a quota header can't be sent");
                }
            }
        }
        if let Err(error) = exchange.answer.append_all(&fields) {
            tracing::debug!(%error, "quota headers can't be sent");
        }
        Flow::Continue
    }

    fn charge(&self, exchange: &mut Exchange) {
        let known = asked(exchange);
        let usage = known.usage.get();
        let Some(instance) = known.instance.clone() else { return };
        let cost = match self.strategy {
            Strategy::TotalTokens => usage.total,
            Strategy::PromptTokens => usage.prompt,
            Strategy::CompletionTokens => usage.completion,
            Strategy::Expression => {
                let counted = known.counted.clone().unwrap_or_default();
                self.cost.as_ref().map_or(0, |cost| cost.of(&counted.borrow()))
            }
        };
        self.limits.charge(exchange, &instance, cost);
    }
}

#[cfg(test)]
mod redis_tests;
#[cfg(test)]
mod tests;
