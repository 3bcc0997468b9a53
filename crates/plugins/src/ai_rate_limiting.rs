//! `ai-rate-limiting` holds down how many tokens models are asked for.
//!
//! A request is admitted as long as its window has tokens left, and charged for what its answer cost: only then is that known. The last request of
//! a window may therefore cost more than was left. Counters belong to this gateway and to the plugin's body.
//!
//! Example: `{"limit": 10000, "time_window": 60, "rejected_code": 429}`

mod config;

use std::sync::Arc;

use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::ai::asked;
use crate::keyed::{Keyed, State};
use crate::limit_key::{ByNetwork, Number};
use crate::text::Text;
use config::{Config, Strategy};

/// `ai-rate-limiting`.
pub(crate) static PLUGIN: Spec = Spec::of::<AiRateLimiting>();

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

struct AiRateLimiting {
    limits: Vec<Limit>,
    strategy: Strategy,
    rejection: FixedReply,
    shows: bool,
    counters: Arc<Keyed<Window>>,
    space: Arc<u64>,
}

/// One limit, and whom it is for.
struct Limit {
    whose: Whose,
    count: Number,
    window: Number,
    /// What the names of its headers have in them; the instance's name where there is none.
    prefix: Option<String>,
}

enum Whose {
    /// Requests to this instance.
    Instance(String),
    /// Requests to every instance that has no limit of its own, all together.
    Others,
    /// Requests by what this text says.
    Key(Text),
}

/// The tokens of one key.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    start: u64,
    length: u64,
    used: u64,
}

impl State for Window {
    fn is_over(&self, now: u64) -> bool {
        now >= self.start.saturating_add(self.length)
    }
}

/// What a request is told of one limit, and charged to.
struct Quota {
    key: u64,
    limit: u64,
    length: u64,
    remaining: u64,
    reset_secs: f64,
    names: [String; 3],
}

/// What is known of one request.
#[derive(Default)]
struct Progress {
    quotas: Vec<Quota>,
    refused: bool,
}

impl Plugin for AiRateLimiting {
    const NAME: &'static str = "ai-rate-limiting";
    const PRIORITY: i32 = 1030;
    const PHASES: Phases<Self> = Phases {
        access: Some(Hook::Now(Self::judge)),
        header_filter: Some(Self::show),
        log: Some(Self::charge),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        config.check()?;
        let counters = env.process().permanent("ai-rate-limiting", Keyed::<Window>::default);
        let space = env.keep(&env.own_key(), || counters.new_space());
        Ok(Self {
            limits: config.limits()?,
            strategy: config.limit_strategy,
            rejection: match &config.rejected_msg {
                Some(message) => Reply::error_msg(config.rejected_code, message),
                None => Reply::new(config.rejected_code),
            }
            .fixed(),
            shows: config.show_limit_quota_header,
            counters,
            space,
        })
    }
}

impl AiRateLimiting {
    fn judge(&self, exchange: &mut Exchange) -> Flow {
        // Only requests to models are counted, which the plugins before this one have told.
        let Some(instance) = asked(exchange).instance.clone() else { return Flow::Continue };
        let mut progress = Progress::default();
        for (at, limit) in self.limits.iter().enumerate() {
            if !self.is_meant(limit, &instance) {
                continue;
            }
            match self.look(exchange, at, limit, &instance) {
                Ok(Some(quota)) => {
                    progress.refused |= quota.remaining == 0;
                    progress.quotas.push(quota);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "failed to limit tokens");
                    return Reply::error_msg(500, "failed to limit count").into();
                }
            }
        }
        let refused = progress.refused;
        *exchange.slot::<_, Progress>(self) = progress;
        if refused { self.rejection.reply().into() } else { Flow::Continue }
    }

    fn is_meant(&self, limit: &Limit, instance: &str) -> bool {
        let has_own = |limit: &Limit| matches!(&limit.whose, Whose::Instance(name) if name == instance);
        match &limit.whose {
            Whose::Instance(_) => has_own(limit),
            Whose::Others => !self.limits.iter().any(has_own),
            Whose::Key(_) => true,
        }
    }

    /// What is left of a limit; `None` where its key says nothing of this request.
    fn look(
        &self,
        exchange: &Exchange,
        at: usize,
        limit: &Limit,
        instance: &str,
    ) -> Result<Option<Quota>, String> {
        let key = match &limit.whose {
            Whose::Instance(_) | Whose::Others => self.counters.key(*self.space, at),
            Whose::Key(text) => match text.render_resolved(&ByNetwork(exchange)) {
                Some(key) => self.counters.key(*self.space, (at, &*key)),
                None => return Ok(None),
            },
        };
        let count = limit.count.resolve(exchange)?;
        let length = limit.window.resolve(exchange)?.saturating_mul(SECOND);
        let (remaining, reset) = self.counters.with(
            key,
            exchange.worker().now(),
            |now| Window { start: now, length, used: 0 },
            |window, now| {
                if window.is_over(now) {
                    *window = Window { start: now, length, used: 0 };
                }
                let end = window.start.saturating_add(window.length);
                (count.saturating_sub(window.used), end.saturating_sub(now))
            },
        );
        let name = |what: &str| match &limit.prefix {
            Some(prefix) => format!("X-AI-{prefix}-RateLimit-{what}"),
            None => format!("X-AI-RateLimit-{what}-{instance}"),
        };
        Ok(Some(Quota {
            key,
            limit: count,
            length,
            remaining,
            reset_secs: (reset / 10_000_000) as f64 / 100.0,
            names: [name("Limit"), name("Remaining"), name("Reset")],
        }))
    }

    fn show(&self, exchange: &mut Exchange) -> Flow {
        if !self.shows {
            return Flow::Continue;
        }
        let Some(progress) = exchange.existing_slot::<_, Progress>(self) else { return Flow::Continue };
        let mut fields = Head::empty();
        for Quota { names: [limit, remaining, reset], limit: count, remaining: left, reset_secs, .. } in
            &progress.quotas
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
        let usage = asked(exchange).usage.get();
        let Some(progress) = exchange.existing_slot::<_, Progress>(self) else { return };
        let quotas = std::mem::take(&mut progress.quotas);
        if progress.refused {
            return;
        }
        let cost = match self.strategy {
            Strategy::TotalTokens => usage.total,
            Strategy::PromptTokens => usage.prompt,
            Strategy::CompletionTokens => usage.completion,
            // Refused when it is built.
            Strategy::Expression => 0,
        };
        let now = exchange.worker().now();
        for Quota { key, length, .. } in quotas {
            self.counters.with(
                key,
                now,
                |now| Window { start: now, length, used: 0 },
                |window, now| {
                    if window.is_over(now) {
                        *window = Window { start: now, length, used: 0 };
                    }
                    window.used = window.used.saturating_add(cost);
                },
            );
        }
    }
}

#[cfg(test)]
mod tests;
