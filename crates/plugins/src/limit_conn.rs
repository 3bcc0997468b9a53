//! `limit-conn` holds down how many requests of a key are on their way at the same time.
//!
//! A request that was counted is released exactly once: when it has been logged, which happens to every request, also to one whose client went
//! away. In Redis every request is an entry of its own that ends by itself after `key_ttl`, so that a gateway that died holds nobody up for long.
//!
//! Example: `{"conn": 10, "burst": 5, "default_conn_delay": 0.1, "key": "remote_addr", "rejected_code": 429}`

mod config;
mod connections;

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Called, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::keyed::{Keyed, State};
use crate::limit_key::{ByNetwork, Key, Number};
use crate::redis_link::{Redis, Script, shared_name};
use crate::text::Text;
use config::{Config, Policy};

/// `limit-conn`.
pub(crate) static PLUGIN: Spec = Spec::of::<LimitConn>().on_connections::<LimitConn>();

/// How many requests of a key are on their way.
struct OnTheWay(u64);

impl State for OnTheWay {
    fn is_over(&self, _: u64) -> bool {
        self.0 == 0
    }
}

/// Counts a request where there is room: an entry with its own end, in a set ordered by ends. Answers whether, and how many there are with it.
static ENTER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local time = redis.call('TIME')
local now = tonumber(time[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local count = redis.call('ZCARD', KEYS[1])
if count >= tonumber(ARGV[1]) then return {0, count} end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return {1, count + 1}",
    )
});

/// Releases a request.
static LEAVE: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('ZREM', KEYS[1], ARGV[1])"));

struct LimitConn {
    limits: Vec<Limit>,
    place: Place,
    /// Seconds, as the bits of a double: what a request beyond `conn` waits for each full load before it.
    unit_delay: AtomicU64,
    only_use_default_delay: bool,
    rejection: FixedReply,
    allow_degradation: bool,
}

struct Limit {
    conn: Number,
    burst: Number,
    key: LimitKey,
}

enum LimitKey {
    /// Always has a value.
    Key(Key),
    /// The limit is left out for requests where none of its variables has a value.
    Rule(usize, Text),
}

enum Place {
    Local(Arc<Keyed<OnTheWay>>, Arc<u64>),
    Remote(Arc<Redis>, String, u64),
}

/// What one request holds.
#[derive(Default)]
struct Held {
    local: smallvec::SmallVec<[u64; 1]>,
    remote: Vec<(Vec<u8>, String)>,
    waited: Duration,
}

/// A limit for one request.
struct Room {
    conn: u64,
    most: u64,
}

impl Plugin for LimitConn {
    const NAME: &'static str = "limit-conn";
    const PRIORITY: i32 = 1003;
    const PHASES: Phases<Self> =
        Phases { access: Some(Hook::Either(Self::enter)), log: Some(Self::leave), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let remote = match config.policy {
            Policy::Local => None,
            Policy::Redis => Some(config.redis.redis()?),
            Policy::RedisCluster => Some(config.redis.cluster(&config.cluster)?),
        };
        let place = match remote {
            Some(redis) => {
                let prefix = format!("usher-limit-conn:{}", env.shared_key());
                Place::Remote(Arc::new(redis), prefix, config.key_ttl)
            }
            None => {
                let counters = env.process().permanent("limit-conn", Keyed::<OnTheWay>::default);
                let space = env.keep(&env.own_key(), || counters.new_space());
                Place::Local(counters, space)
            }
        };
        Ok(Self {
            limits: config.limits()?,
            place,
            unit_delay: AtomicU64::new(config.default_conn_delay.to_bits()),
            only_use_default_delay: config.only_use_default_delay,
            rejection: match &config.rejected_msg {
                Some(message) => Reply::error_msg(config.rejected_code, message),
                None => Reply::new(config.rejected_code),
            }
            .fixed(),
            allow_degradation: config.allow_degradation,
        })
    }
}

impl Limit {
    fn room(&self, exchange: &Exchange) -> Result<Room, String> {
        let conn = self.conn.resolve(exchange)?;
        Ok(Room { conn, most: conn.saturating_add(self.burst.resolve_from(0, exchange)?) })
    }
}

impl LimitConn {
    fn enter<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        match &self.place {
            Place::Local(counters, space) => {
                let outcome = self.enter_here(exchange, counters, **space);
                match self.judge(outcome) {
                    Ok(wait) if wait < SHORTEST_WAIT => Called::Now(Flow::Continue),
                    Ok(wait) => {
                        exchange.slot::<_, Held>(self).waited = wait;
                        Called::Later(exchange.worker().sleep(wait).map(|()| Flow::Continue).boxed_local())
                    }
                    Err(reply) => Called::Now((*reply).into()),
                }
            }
            Place::Remote(redis, prefix, ttl) => Called::Later(
                async move {
                    let outcome = self.enter_there(exchange, redis, prefix, *ttl).await;
                    match self.judge(outcome) {
                        Ok(wait) => {
                            if wait >= SHORTEST_WAIT {
                                exchange.slot::<_, Held>(self).waited = wait;
                                exchange.worker().sleep(wait).await;
                            }
                            Flow::Continue
                        }
                        Err(reply) => (*reply).into(),
                    }
                }
                .boxed_local(),
            ),
        }
    }

    /// How long the request waits, or what it is answered.
    fn judge(&self, outcome: Result<Option<Duration>, String>) -> Result<Duration, Box<Reply>> {
        match outcome {
            Ok(Some(wait)) => Ok(wait),
            Ok(None) => Err(Box::new(self.rejection.reply())),
            Err(error) => {
                tracing::error!(%error, "failed to limit conn");
                if self.allow_degradation { Ok(Duration::ZERO) } else { Err(Box::new(Reply::new(500))) }
            }
        }
    }

    /// How long the request waits; `None` where it is refused.
    fn enter_here(
        &self,
        exchange: &mut Exchange,
        counters: &Keyed<OnTheWay>,
        space: u64,
    ) -> Result<Option<Duration>, String> {
        let (mut applied, mut wait) = (false, Duration::ZERO);
        for limit in &self.limits {
            let key = match &limit.key {
                LimitKey::Key(key) => key.counter(exchange, counters, space),
                LimitKey::Rule(at, text) => match text.render_resolved(&ByNetwork::of(exchange)) {
                    Some(key) => counters.key(space, (at, &*key)),
                    None => continue,
                },
            };
            applied = true;
            let room = limit.room(exchange)?;
            let count = counters.with(
                key,
                exchange.worker().now(),
                |_| OnTheWay(0),
                |on, _| {
                    let has_room = on.0 < room.most;
                    on.0 += u64::from(has_room);
                    has_room.then_some(on.0)
                },
            );
            let Some(count) = count else { return Ok(None) };
            exchange.slot::<_, Held>(self).local.push(key);
            wait = wait.max(self.wait(count, &room));
        }
        if applied { Ok(Some(wait)) } else { Err(NO_RULE.to_owned()) }
    }

    async fn enter_there(
        &self,
        exchange: &mut Exchange,
        redis: &Redis,
        prefix: &str,
        ttl: u64,
    ) -> Result<Option<Duration>, String> {
        let (mut applied, mut wait) = (false, Duration::ZERO);
        for limit in &self.limits {
            let name = match &limit.key {
                LimitKey::Key(key) => shared_name(prefix, &key.bytes(exchange)),
                LimitKey::Rule(at, text) => match text.render_resolved(&ByNetwork::of(exchange)) {
                    Some(key) => shared_name(&format!("{prefix}:{at}"), &key),
                    None => continue,
                },
            };
            applied = true;
            let room = limit.room(exchange)?;
            let id = format!("{:032x}", fastrand::u128(..));
            let arguments = [room.most.to_string(), ttl.to_string(), id.clone()];
            // Noted before it is sent: a request that goes away while it waits may have been counted all the same.
            exchange.slot::<_, Held>(self).remote.push((name.clone(), id));
            let answer = redis.run::<(i64, i64)>(exchange.worker(), &ENTER, &name, &arguments).await;
            let (admitted, count) = answer.map_err(|trouble| trouble.to_string())?;
            if admitted != 1 {
                exchange.slot::<_, Held>(self).remote.pop();
                return Ok(None);
            }
            wait = wait.max(self.wait(u64::try_from(count).unwrap_or(0), &room));
        }
        if applied { Ok(Some(wait)) } else { Err(NO_RULE.to_owned()) }
    }

    /// What a request beyond `conn` waits: the unit for each full load before it.
    fn wait(&self, count: u64, room: &Room) -> Duration {
        if count <= room.conn {
            return Duration::ZERO;
        }
        let loads = (count - 1) / room.conn.max(1);
        let unit = f64::from_bits(self.unit_delay.load(Ordering::Relaxed));
        Duration::try_from_secs_f64(unit * loads as f64).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
    }

    fn leave(&self, exchange: &mut Exchange) {
        let Some(held) = exchange.existing_slot::<_, Held>(self) else { return };
        let held = std::mem::take(held);
        if let Place::Local(counters, _) = &self.place {
            let now = exchange.worker().now();
            for key in &held.local {
                counters.with(*key, now, |_| OnTheWay(0), |on, _| on.0 = on.0.saturating_sub(1));
            }
        }
        if let Place::Remote(redis, ..) = &self.place
            && !held.remote.is_empty()
        {
            let (worker, redis) = (Rc::clone(exchange.worker()), Arc::clone(redis));
            let entries = held.remote;
            let task = async move {
                for (name, id) in entries {
                    if let Err(error) = redis.run::<i64>(&worker, &LEAVE, &name, &[id]).await {
                        tracing::warn!(%error, "a request could not be released in redis; its entry ends by itself");
                    }
                }
            };
            if !exchange.worker().spawn(task.boxed_local()) {
                tracing::warn!("a request could not be released in redis: the worker has too many tasks");
            }
        }
        if !self.only_use_default_delay {
            let taken = exchange.worker().now().saturating_duration_since(exchange.times.start);
            let unit = f64::from_bits(self.unit_delay.load(Ordering::Relaxed));
            let unit = f64::midpoint(unit, taken.saturating_sub(held.waited).as_secs_f64());
            self.unit_delay.store(unit.to_bits(), Ordering::Relaxed);
        }
    }
}

/// Why a request with several limits can't be counted.
const NO_RULE: &str = "no rule applies to the request";
/// Less than this is not waited for.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// Nobody waits longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
