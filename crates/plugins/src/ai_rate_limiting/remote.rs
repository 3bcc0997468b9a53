//! Tokens that are counted in Redis, by all gateways that use it together: one look before a request, one charge behind it.

use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use usher_pipeline::worker::Worker;

use crate::redis_link::{Redis, Script, shared_name};

/// What was used, and what is left of the window, which begins with the first look. A key without an end, which only somebody else can have made,
/// begins anew.
static LOOK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local used = tonumber(redis.call('GET', KEYS[1]) or 0)
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  used, left = 0, tonumber(ARGV[1])
  redis.call('SET', KEYS[1], 0, 'PX', ARGV[1])
end
return {used, left}",
    )
});

/// Adds what a request cost, to the next window where its own is over.
static CHARGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"if redis.call('PTTL', KEYS[1]) < 0 then redis.call('SET', KEYS[1], 0, 'PX', ARGV[1]) end
return redis.call('INCRBY', KEYS[1], ARGV[2])",
    )
});

/// The largest window, in milliseconds: ten years. Redis adds it to its clock.
const LONGEST: u64 = 10 * 365 * 86_400_000;

/// The largest cost of one request; so many fit into what Redis counts to.
const DEAREST: u64 = 1 << 53;

/// One use's counters.
pub(super) struct Remote {
    redis: Arc<Redis>,
    prefix: String,
}

impl Remote {
    /// The counters of the use that is known by `shared` on every gateway.
    pub(super) fn new(redis: Redis, shared: &str) -> Self {
        Self { redis: Arc::new(redis), prefix: format!("usher-ai-rate-limiting:{shared}") }
    }

    /// The name of a limit's counter, of one key where it has several.
    pub(super) fn key(&self, limit: usize, key: Option<&[u8]>) -> Vec<u8> {
        shared_name(&format!("{}:{limit}", self.prefix), key.unwrap_or_default())
    }

    /// Tokens that were used, and nanoseconds to the end of the window, which has these seconds.
    ///
    /// # Errors
    /// Redis can't be asked.
    pub(super) async fn look(
        &self,
        worker: &Rc<dyn Worker>,
        key: &[u8],
        window: u64,
    ) -> Result<(u64, u64), String> {
        let answer: Result<(i64, i64), _> = self.redis.run(worker, &LOOK, key, &[millis(window)]).await;
        let (used, left) = answer.map_err(|trouble| trouble.to_string())?;
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok((number(used), number(left).saturating_mul(1_000_000)))
    }

    /// Adds what a request cost.
    ///
    /// # Errors
    /// Redis can't be asked.
    pub(super) async fn charge(
        &self,
        worker: &Rc<dyn Worker>,
        key: &[u8],
        window: u64,
        cost: u64,
    ) -> Result<(), String> {
        let arguments = [millis(window), cost.min(DEAREST).to_string()];
        let answer: Result<i64, _> = self.redis.run(worker, &CHARGE, key, &arguments).await;
        answer.map(drop).map_err(|trouble| trouble.to_string())
    }
}

fn millis(seconds: u64) -> String {
    seconds.saturating_mul(1_000).clamp(1, LONGEST).to_string()
}
