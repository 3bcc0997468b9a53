//! Counters in Redis, shared by all gateways that use it: one script, and so one round trip, a request and limit.

use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use usher_pipeline::env::Env;
use usher_pipeline::plugin::BuildError;
use usher_pipeline::worker::Worker;

use super::config::{Config, Policy};
use super::delayed::Delayed;
use super::windows::{Limit, Verdict};
use crate::redis_link::{Redis, Script, shared_name};

/// Admits or rejects by a window that begins with the first request. A key without an end, which only somebody else can have made, begins anew.
static FIXED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local used = tonumber(redis.call('GET', KEYS[1]) or 0)
local left = redis.call('PTTL', KEYS[1])
if left < 0 then used, left = 0, window end
if used >= limit then return {0, 0, left} end
if used == 0 then redis.call('SET', KEYS[1], 1, 'PX', left) else redis.call('INCR', KEYS[1]) end
return {1, limit - used - 1, left}",
    )
});

/// The arithmetic of a sliding window, by Redis' own clock.
static SLIDING: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local limit, length = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = redis.call('HMGET', KEYS[1], 'start', 'used', 'before')
local start, used, before = tonumber(kept[1] or now), tonumber(kept[2] or 0), tonumber(kept[3] or 0)
if now >= start + 2 * length then
  start, used, before = now, 0, 0
elseif now >= start + length then
  start, used, before = start + length, 0, used
end
local left = math.min(start + length - now, length)
before = math.min(before, limit)
local carried = before * left
local admitted, room, reset = 0, 0, left
if used < limit then
  if used * length + carried >= limit * length then
    reset = math.max(left - math.floor((limit - used) * length / before), 0)
  else
    admitted, used = 1, used + 1
    room = math.max(math.floor(((limit - used) * length - carried) / length), 0)
  end
end
redis.call('HSET', KEYS[1], 'start', string.format('%.0f', start), 'used', used, 'before', before)
redis.call('PEXPIRE', KEYS[1], start + 2 * length - now)
return {admitted, room, reset}",
    )
});

/// One use's counters in Redis.
pub(super) struct Remote {
    redis: Arc<Redis>,
    prefix: String,
    delayed: Option<Arc<Delayed>>,
    /// Windows that are no longer than this are counted in Redis at once.
    interval: Duration,
}

/// The name of one counter.
pub(super) struct Asked(pub(super) Vec<u8>);

impl Remote {
    /// `None` where counters are local.
    ///
    /// # Errors
    /// A member that is missing or can't be used.
    pub(super) fn of(config: &Config, env: &Env<'_>) -> Result<Option<Self>, BuildError> {
        let redis = match config.policy {
            Policy::Local => return Ok(None),
            Policy::Redis => config.redis.redis()?,
            Policy::RedisCluster => config.redis.cluster(&config.cluster)?,
            Policy::RedisSentinel => config.redis.sentinel(&config.sentinel)?,
        };
        let (prefix, own) = match &config.group {
            Some(group) => (format!("usher-limit-count:group:{group}"), format!("group {group}")),
            None => (format!("usher-limit-count:{}", env.shared_key()), env.own_key()),
        };
        let redis = Arc::new(redis);
        let interval = Duration::from_secs_f64(config.sync_interval.clamp(0.0, 86_400.0));
        let delayed = (config.sync_interval > 0.0)
            .then(|| env.keep(&own, || Delayed::new(Arc::clone(&redis), interval)));
        Ok(Some(Self { redis, prefix, delayed, interval }))
    }

    /// The counter of a key, of a rule where there are several.
    pub(super) fn key(&self, rule: Option<usize>, key: &[u8]) -> Asked {
        let prefix = match rule {
            Some(rule) => format!("{}:{rule}", self.prefix),
            None => self.prefix.clone(),
        };
        Asked(shared_name(&prefix, key))
    }

    /// Counts one request.
    ///
    /// # Errors
    /// Redis can't be asked.
    pub(super) async fn take(
        &self,
        worker: &Rc<dyn Worker>,
        key: Asked,
        limit: Limit,
    ) -> Result<Verdict, String> {
        if let Some(delayed) = &self.delayed
            && Duration::from_nanos(limit.window) > self.interval
            && let Some(verdict) = Delayed::take(delayed, worker, &key, &limit)
        {
            return Ok(verdict);
        }
        let script = if limit.sliding { &*SLIDING } else { &*FIXED };
        let arguments = [limit.count.to_string(), (limit.window / MILLISECOND).max(1).to_string()];
        let answer: Result<(i64, i64, i64), _> = self.redis.run(worker, script, &key.0, &arguments).await;
        let (admitted, remaining, reset_ms) = answer.map_err(|trouble| trouble.to_string())?;
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(Verdict {
            admitted: admitted == 1,
            remaining: number(remaining),
            reset: number(reset_ms).saturating_mul(MILLISECOND),
        })
    }
}

/// Nanoseconds in a millisecond.
pub(super) const MILLISECOND: u64 = 1_000_000;
