//! `limit-count` admits a number of requests per key and time.
//!
//! Counters are shared by all workers and follow the plugin's body: an edit elsewhere in the route leaves them alone, an edit of the body starts
//! them anew.
//!
//! Example: `{"count": 100, "time_window": 60, "key": "consumer_name", "rejected_code": 429, "rejected_msg": "come back later"}`

mod config;
mod counters;
mod key;
mod windows;

use std::fmt::Arguments;
use std::io::Write as _;
use std::sync::Arc;

use smallvec::SmallVec;
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::text::Text;
use config::{Config, Metadata, Policy, WindowType};
use counters::Counters;
use key::{ByNetwork, Key, Number};
use windows::Limit;

/// `limit-count`.
pub(crate) static PLUGIN: Spec = Spec::of::<LimitCount>().metadata::<Metadata>();

struct LimitCount {
    limits: Limits,
    counters: Arc<Counters>,
    space: Space,
    sliding: bool,
    rejection: FixedReply,
    allow_degradation: bool,
    show_headers: bool,
}

enum Limits {
    One { count: Number, window: Number, key: Key, headers: Headers },
    Rules(Vec<RunningRule>),
}

struct RunningRule {
    count: Number,
    window: Number,
    key: Text,
    headers: Headers,
}

/// Whose counters these are.
enum Space {
    Own(Arc<u64>),
    Group(Arc<Group>),
}

/// A group's counters, and the body that all its members share.
struct Group {
    space: u64,
    config: Config,
}

/// The names of the three headers.
struct Headers {
    limit: String,
    remaining: String,
    reset: String,
}

/// What the client is told of one limit.
#[derive(Clone, Copy)]
struct Quota {
    rule: usize,
    limit: u64,
    remaining: u64,
    reset_ns: u64,
}

type Quotas = SmallVec<[Quota; 1]>;

impl Plugin for LimitCount {
    const NAME: &'static str = "limit-count";
    const PRIORITY: i32 = 1002;
    // The headers are set when there is an answer to set them on; a rejection's too.
    const PHASES: Phases<Self> =
        Phases { access: Some(Hook::Now(Self::count)), header_filter: Some(Self::tell), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        check(&config)?;
        let counters = env.process().permanent("limit-count", Counters::default);
        let space = match &config.group {
            Some(name) => {
                let group = env.keep(name, || Group { space: counters.new_space(), config: config.clone() });
                if group.config != config {
                    return Err(BuildError::new("group conf mismatched"));
                }
                Space::Group(group)
            }
            None => Space::Own(env.keep(&env.own_key(), || counters.new_space())),
        };
        Ok(Self {
            limits: limits_of(&config)?,
            counters,
            space,
            sliding: config.window_type == WindowType::Sliding,
            rejection: match &config.rejected_msg {
                Some(message) => Reply::error_msg(config.rejected_code, message),
                None => Reply::new(config.rejected_code),
            }
            .fixed(),
            allow_degradation: config.allow_degradation,
            show_headers: config.show_limit_quota_header,
        })
    }
}

fn check(config: &Config) -> Result<(), BuildError> {
    if config.policy != Policy::Local {
        return Err(BuildError::new(format!(
            "policy {} is not supported: this version of Usher counts in its own process; set policy to local or leave it out",
            config.policy.name()
        )));
    }
    let Some(rules) = &config.rules else { return Ok(()) };
    if config.count.is_some() || config.time_window.is_some() {
        return Err(BuildError::new("count/time_window and rules cannot be specified at the same time"));
    }
    if config.group.is_some() {
        return Err(BuildError::new("group and rules cannot be specified at the same time"));
    }
    for (at, rule) in rules.iter().enumerate() {
        if rules.iter().take(at).any(|earlier| earlier.key == rule.key) {
            return Err(BuildError::new(format!("duplicate key '{}' in rules", rule.key)));
        }
    }
    Ok(())
}

fn limits_of(config: &Config) -> Result<Limits, BuildError> {
    if let Some(rules) = &config.rules {
        let run = |(at, rule): (usize, &config::Rule)| {
            let prefix = rule.header_prefix.clone().unwrap_or_else(|| (at + 1).to_string());
            Ok(RunningRule {
                count: Number::new(&format!("rules[{at}].count"), &rule.count)?,
                window: Number::new(&format!("rules[{at}].time_window"), &rule.time_window)?,
                key: Text::parse(&rule.key),
                headers: Headers::new(Some(&prefix))?,
            })
        };
        return Ok(Limits::Rules(rules.iter().enumerate().map(run).collect::<Result<_, BuildError>>()?));
    }
    let (Some(count), Some(window)) = (&config.count, &config.time_window) else {
        return Err(BuildError::new("count and time_window are required where there are no rules"));
    };
    Ok(Limits::One {
        count: Number::new("count", count)?,
        window: Number::new("time_window", window)?,
        key: Key::new(config.key_type, &config.key),
        headers: Headers::new(None)?,
    })
}

impl Headers {
    fn new(prefix: Option<&str>) -> Result<Self, BuildError> {
        let named = |base: String| {
            let name = match prefix {
                Some(prefix) => base.replacen("RateLimit-", &format!("{prefix}-RateLimit-"), 1),
                None => base,
            };
            Head::empty().set(&name, "0").map_err(|_| {
                BuildError::new(format!(
                    "property \"header_prefix\" validation failed: {name:?} is not a header name"
                ))
            })?;
            Ok(name)
        };
        Ok(Self {
            limit: named(config::limit_header())?,
            remaining: named(config::remaining_header())?,
            reset: named(config::reset_header())?,
        })
    }

    fn write(&self, answer: &mut Head, quota: Quota) {
        put(answer, &self.limit, format_args!("{}", quota.limit));
        put(answer, &self.remaining, format_args!("{}", quota.remaining));
        // Seconds with at most two decimals, as Lua prints them: 60, 59.9, 0.05.
        let hundredths = quota.reset_ns / 10_000_000;
        let (seconds, rest) = (hundredths / 100, hundredths % 100);
        match (rest, rest % 10) {
            (0, _) => put(answer, &self.reset, format_args!("{seconds}")),
            (_, 0) => put(answer, &self.reset, format_args!("{seconds}.{}", rest / 10)),
            _ => put(answer, &self.reset, format_args!("{seconds}.{rest:02}")),
        }
    }
}

/// Sets a field without a detour over the heap.
fn put(answer: &mut Head, name: &str, value: Arguments<'_>) {
    let mut buffer = [0_u8; 32];
    let mut cursor = std::io::Cursor::new(buffer.as_mut_slice());
    let written = cursor.write_fmt(value).map(|()| cursor.position());
    let length = written.ok().and_then(|length| usize::try_from(length).ok());
    let Some(text) = length.and_then(|length| buffer.get(..length)) else { return };
    if let Err(error) = answer.set(name, text) {
        tracing::error!(%error, "a quota header can't be sent");
    }
}

impl LimitCount {
    fn space(&self) -> u64 {
        match &self.space {
            Space::Own(space) => **space,
            Space::Group(group) => group.space,
        }
    }

    fn count(&self, exchange: &mut Exchange) -> Flow {
        let mut quotas = Quotas::new();
        let outcome = match &self.limits {
            Limits::One { count, window, key, .. } => {
                let counter = |exchange: &Exchange| key.counter(exchange, &self.counters, self.space());
                self.take(exchange, 0, count, window, counter, &mut quotas)
            }
            Limits::Rules(rules) => self.take_rules(exchange, rules, &mut quotas),
        };
        if self.show_headers && !quotas.is_empty() {
            *exchange.slot::<_, Quotas>(self) = quotas;
        }
        match outcome {
            Ok(true) => Flow::Continue,
            Ok(false) => self.rejection.reply().into(),
            Err(error) => {
                tracing::error!(%error, "failed to limit count");
                if self.allow_degradation {
                    Flow::Continue
                } else {
                    Reply::error_msg(500, "failed to limit count").into()
                }
            }
        }
    }

    fn take_rules(
        &self,
        exchange: &Exchange,
        rules: &[RunningRule],
        quotas: &mut Quotas,
    ) -> Result<bool, String> {
        let mut applied = false;
        for (at, rule) in rules.iter().enumerate() {
            let Some(key) = rule.key.render_resolved(&ByNetwork(exchange)) else { continue };
            applied = true;
            let counter = |_: &Exchange| self.counters.key(self.space(), (at, &*key));
            if !self.take(exchange, at, &rule.count, &rule.window, counter, quotas)? {
                return Ok(false);
            }
        }
        if applied { Ok(true) } else { Err("no rule applies to the request".to_owned()) }
    }

    fn take(
        &self,
        exchange: &Exchange,
        rule: usize,
        count: &Number,
        window: &Number,
        counter: impl FnOnce(&Exchange) -> u64,
        quotas: &mut Quotas,
    ) -> Result<bool, String> {
        let limit = Limit::new(count.resolve(exchange)?, window.resolve(exchange)?, self.sliding);
        let verdict = self.counters.take(counter(exchange), exchange.worker().now(), &limit);
        let (remaining, reset_ns) = (verdict.remaining, verdict.reset);
        quotas.push(Quota { rule, limit: limit.count, remaining, reset_ns });
        Ok(verdict.admitted)
    }

    fn tell(&self, exchange: &mut Exchange) -> Flow {
        let Some(quotas) = exchange.existing_slot::<_, Quotas>(self) else { return Flow::Continue };
        for quota in std::mem::take(quotas) {
            let headers = match &self.limits {
                Limits::One { headers, .. } => Some(headers),
                Limits::Rules(rules) => rules.get(quota.rule).map(|rule| &rule.headers),
            };
            if let Some(headers) = headers {
                headers.write(&mut exchange.answer, quota);
            }
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests;
