//! Counters that are brought together with Redis now and then, so that no request waits for it.
//!
//! A request is judged by what Redis last said and what was admitted here since. What was admitted in vain, because other gateways used the limit
//! up, is at most what they admit in one interval. One task of one worker does the bringing together; it ends when nothing has been counted for
//! a while, and the next request starts it anew.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{Either, join_all, select};
use usher_pipeline::worker::Worker;

use super::remote::{Asked, MILLISECOND};
use super::windows::{Limit, Verdict};
use crate::redis_link::{Redis, Script};

/// Adds what was admitted here, and tells what was admitted everywhere.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local used = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  left = tonumber(ARGV[2])
end
return {used, left}",
    )
});

/// Keys that are counted here; requests of further ones ask Redis.
const MOST_KEYS: usize = 16_384;
/// Keys that are brought together at once.
const AT_ONCE: usize = 64;
/// Rounds without a request after which the task ends.
const QUIET_ROUNDS: u32 = 10;

/// One use's counters.
pub(super) struct Delayed {
    redis: Arc<Redis>,
    interval: Duration,
    counters: Mutex<HashMap<Vec<u8>, Counter>>,
    running: AtomicBool,
}

struct Counter {
    /// What Redis knew at the last round.
    known: u64,
    /// What was admitted since.
    since: u64,
    window: u64,
    ends: Instant,
    /// Whether a request has asked since the last round.
    touched: bool,
}

impl Delayed {
    pub(super) fn new(redis: Arc<Redis>, interval: Duration) -> Self {
        Self { redis, interval, counters: Mutex::default(), running: AtomicBool::new(false) }
    }

    /// Counts one request; `None` where there are too many keys already.
    pub(super) fn take(
        this: &Arc<Self>,
        worker: &Rc<dyn Worker>,
        key: &Asked,
        limit: &Limit,
    ) -> Option<Verdict> {
        let now = worker.now();
        let window = Duration::from_nanos(limit.window.min(YEARS));
        let mut counters = this.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if !counters.contains_key(&key.0) {
            if counters.len() >= MOST_KEYS {
                counters.retain(|_, counter| counter.ends > now);
            }
            if counters.len() >= MOST_KEYS {
                return None;
            }
        }
        let fresh =
            || Counter { known: 0, since: 0, window: limit.window, ends: now + window, touched: true };
        let counter = counters.entry(key.0.clone()).or_insert_with(fresh);
        if now >= counter.ends {
            *counter = fresh();
        }
        counter.touched = true;
        let used = counter.known.saturating_add(counter.since);
        let left = counter.ends.saturating_duration_since(now);
        let reset = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        let admitted = used < limit.count;
        counter.since += u64::from(admitted);
        drop(counters);
        if !this.running.swap(true, Ordering::AcqRel) {
            let guard = Running(Arc::clone(this));
            // A task that can't be started takes the mark off again as it is dropped.
            worker.attend(keep_together(Rc::clone(worker), guard).boxed_local());
        }
        let remaining = if admitted { limit.count - used - 1 } else { 0 };
        Some(Verdict { admitted, remaining, reset })
    }

    /// Tells Redis what was admitted, and learns what was admitted elsewhere. `false` where there was nothing to ask.
    async fn round(&self, worker: &Rc<dyn Worker>) -> bool {
        let now = worker.now();
        let due: Vec<(Vec<u8>, u64, u64)> = {
            let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
            counters.retain(|_, counter| counter.ends > now);
            let touched = counters.iter_mut().filter(|(_, counter)| counter.touched);
            touched
                .map(|(key, counter)| {
                    counter.touched = false;
                    (key.clone(), counter.since, counter.window)
                })
                .collect()
        };
        for some in due.chunks(AT_ONCE) {
            join_all(some.iter().map(|(key, since, window)| self.bring(worker, key, *since, *window))).await;
        }
        !due.is_empty()
    }

    async fn bring(&self, worker: &Rc<dyn Worker>, key: &[u8], since: u64, window: u64) {
        let arguments = [since.to_string(), (window / MILLISECOND).max(1).to_string()];
        let answer: Result<(i64, i64), _> = self.redis.run(worker, &ADD, key, &arguments).await;
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counter) = counters.get_mut(key) else { return };
        match answer {
            Ok((used, left_ms)) => {
                counter.known = u64::try_from(used).unwrap_or(0);
                counter.since = counter.since.saturating_sub(since);
                counter.ends = worker.now() + Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
            }
            Err(error) => {
                counter.touched = true;
                tracing::warn!(%error, "counters of limit-count could not be brought together with redis; they count on alone");
            }
        }
    }
}

/// Windows are at most this long here, in nanoseconds, so that a time can be made of them.
const YEARS: u64 = 10 * 365 * 86_400 * 1_000_000_000;

/// The mark that a task is running; taken off however the task ends.
struct Running(Arc<Delayed>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

async fn keep_together(worker: Rc<dyn Worker>, running: Running) {
    let delayed = &running.0;
    let mut quiet = 0;
    while quiet < QUIET_ROUNDS {
        let stopped = match select(worker.sleep(delayed.interval), worker.stopping()).await {
            Either::Left(_) => false,
            Either::Right(_) => true,
        };
        quiet = if delayed.round(&worker).await { 0 } else { quiet + 1 };
        if stopped {
            return;
        }
    }
}
