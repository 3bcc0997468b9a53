//! `limit-count` admits a number of requests per key and time.
//!
//! Counters are shared by all workers, or through Redis by all gateways, and follow the plugin's body: an edit elsewhere in the route leaves them
//! alone, an edit of the body starts them anew.
//!
//! Example: `{"count": 100, "time_window": 60, "key": "consumer_name", "rejected_code": 429, "rejected_msg": "come back later"}`

mod config;
mod delayed;
mod remote;
mod windows;

use std::fmt::Arguments;
use std::io::Write as _;
use std::sync::Arc;

use futures_util::FutureExt as _;
use smallvec::SmallVec;
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Called, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::keyed::Keyed;
use crate::limit_key::{Amount, ByNetwork, Key, KeyType as Kind, Number};
use crate::text::Text;
use config::{Config, KeyType, Metadata, Policy, WindowType};
use remote::{Asked, Remote};
use windows::{Limit, Verdict, Window};

/// `limit-count`.
pub(crate) static PLUGIN: Spec = Spec::of::<LimitCount>().metadata::<Metadata>();

struct LimitCount {
    limits: Limits,
    place: Place,
    /// Held where counters are in Redis too, so that the members of a group are compared.
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

/// Where the counters are.
enum Place {
    Local(Arc<Keyed<Window>>),
    Remote(Box<Remote>),
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
        Phases { access: Some(Hook::Either(Self::count)), header_filter: Some(Self::tell), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        check(&config)?;
        let counters = env.process().permanent("limit-count", Keyed::<Window>::default);
        let metadata = env.metadata::<Metadata>()?.unwrap_or_default();
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
        let place = match Remote::of(&config, env)? {
            Some(remote) => Place::Remote(Box::new(remote)),
            None => Place::Local(counters),
        };
        Ok(Self {
            limits: limits_of(&config, &metadata)?,
            place,
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
    if config.policy != Policy::Local && config.sync_interval > 0.0 {
        if config.sync_interval < 0.1 {
            return Err(BuildError::new("sync_interval should be at least 0.1 seconds"));
        }
        if config.window_type == WindowType::Sliding {
            return Err(BuildError::new(
                "sync_interval works with window_type fixed; set it to -1 for sliding windows",
            ));
        }
    }
    // A counter that is brought together more seldom than it begins anew would count for one gateway alone.
    if let Some(Amount::Fixed(window)) = config.time_window
        && config.policy != Policy::Local
        && config.sync_interval >= window as f64
    {
        return Err(BuildError::new(format!(
            "sync_interval should be smaller than time_window, but {} is not smaller than {window}; set it to -1 to ask Redis with every request",
            config.sync_interval
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

fn limits_of(config: &Config, metadata: &Metadata) -> Result<Limits, BuildError> {
    if let Some(rules) = &config.rules {
        let run = |(at, rule): (usize, &config::Rule)| {
            let prefix = rule.header_prefix.clone().unwrap_or_else(|| (at + 1).to_string());
            Ok(RunningRule {
                count: Number::new(&format!("rules[{at}].count"), &rule.count)?,
                window: Number::new(&format!("rules[{at}].time_window"), &rule.time_window)?,
                key: Text::parse(&rule.key),
                headers: Headers::prefixed(&prefix)?,
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
        key: match config.key_type {
            KeyType::Var => Key::new(Kind::Var, &config.key),
            KeyType::VarCombination => Key::new(Kind::VarCombination, &config.key),
            KeyType::Constant => Key::Constant(config.key.clone()),
        },
        headers: Headers::new(metadata)?,
    })
}

impl Headers {
    /// The names that the plugin's metadata says.
    fn new(metadata: &Metadata) -> Result<Self, BuildError> {
        Ok(Self {
            limit: checked("limit_header", metadata.limit_header.clone())?,
            remaining: checked("remaining_header", metadata.remaining_header.clone())?,
            reset: checked("reset_header", metadata.reset_header.clone())?,
        })
    }

    fn prefixed(prefix: &str) -> Result<Self, BuildError> {
        let named = |what: &str| checked("header_prefix", format!("X-{prefix}-RateLimit-{what}"));
        Ok(Self { limit: named("Limit")?, remaining: named("Remaining")?, reset: named("Reset")? })
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

fn checked(member: &str, name: String) -> Result<String, BuildError> {
    match Head::empty().set(&name, "0") {
        Ok(()) => Ok(name),
        Err(_) => Err(BuildError::new(format!(
            "property \"{member}\" validation failed: {name:?} is not a header name"
        ))),
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

impl Space {
    fn number(&self) -> u64 {
        match self {
            Self::Own(space) => **space,
            Self::Group(group) => group.space,
        }
    }
}

impl LimitCount {
    fn count<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        let mut quotas = Quotas::new();
        match &self.place {
            Place::Local(counters) => {
                let outcome = self.take_here(exchange, counters, self.space.number(), &mut quotas);
                Called::Now(self.judge(exchange, outcome, quotas))
            }
            Place::Remote(remote) => Called::Later(
                async move {
                    let outcome = self.take_there(exchange, remote, &mut quotas).await;
                    self.judge(exchange, outcome, quotas)
                }
                .boxed_local(),
            ),
        }
    }

    fn judge(&self, exchange: &mut Exchange, outcome: Result<bool, String>, quotas: Quotas) -> Flow {
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

    /// Counts in this process.
    fn take_here(
        &self,
        exchange: &Exchange,
        counters: &Keyed<Window>,
        space: u64,
        quotas: &mut Quotas,
    ) -> Result<bool, String> {
        let now = exchange.worker().now();
        let take = |limit: Limit, key: u64| {
            counters.with(
                key,
                now,
                |now| Window::starting(now, &limit),
                |window, now| window.take(now, &limit),
            )
        };
        match &self.limits {
            Limits::One { count, window, key, .. } => {
                let limit = self.limit(exchange, count, window)?;
                Ok(note(quotas, 0, limit, take(limit, key.counter(exchange, counters, space))))
            }
            Limits::Rules(rules) => {
                let mut applied = false;
                for (at, rule) in rules.iter().enumerate() {
                    let Some(key) = rule.key.render_resolved(&ByNetwork::of(exchange)) else { continue };
                    applied = true;
                    let limit = self.limit(exchange, &rule.count, &rule.window)?;
                    if !note(quotas, at, limit, take(limit, counters.key(space, (at, &*key)))) {
                        return Ok(false);
                    }
                }
                if applied { Ok(true) } else { Err(NO_RULE.to_owned()) }
            }
        }
    }

    /// Counts in Redis.
    async fn take_there(
        &self,
        exchange: &Exchange,
        remote: &Remote,
        quotas: &mut Quotas,
    ) -> Result<bool, String> {
        let mut asked: SmallVec<[(usize, Limit, Asked); 1]> = SmallVec::new();
        match &self.limits {
            Limits::One { count, window, key, .. } => {
                let limit = self.limit(exchange, count, window)?;
                asked.push((0, limit, remote.key(None, &key.bytes(exchange))));
            }
            Limits::Rules(rules) => {
                for (at, rule) in rules.iter().enumerate() {
                    if let Some(key) = rule.key.render_resolved(&ByNetwork::of(exchange)) {
                        let limit = self.limit(exchange, &rule.count, &rule.window)?;
                        asked.push((at, limit, remote.key(Some(at), &key)));
                    }
                }
                if asked.is_empty() {
                    return Err(NO_RULE.to_owned());
                }
            }
        }
        let worker = exchange.worker();
        for (at, limit, key) in asked {
            let verdict = remote.take(worker, key, limit).await?;
            if !note(quotas, at, limit, verdict) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn limit(&self, exchange: &Exchange, count: &Number, window: &Number) -> Result<Limit, String> {
        Ok(Limit::new(count.resolve(exchange)?, window.resolve(exchange)?, self.sliding))
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

/// Why a request with several limits can't be counted.
const NO_RULE: &str = "no rule applies to the request";

/// Remembers what the client is told, and says whether the request passes.
fn note(quotas: &mut Quotas, rule: usize, limit: Limit, verdict: Verdict) -> bool {
    quotas.push(Quota { rule, limit: limit.count, remaining: verdict.remaining, reset_ns: verdict.reset });
    verdict.admitted
}

#[cfg(test)]
mod redis_tests;
#[cfg(test)]
mod tests;
