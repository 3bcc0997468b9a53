//! The windows of all keys: shared by all workers, bounded, and independent of what keys look like.
//!
//! A key is kept as a 64-bit hash under a seed of this process, so that a client can neither aim for somebody else's counter nor make the table
//! grow by long keys. The chance that two of a million keys meet is below one in a hundred millions. When the table is full, an expired key or
//! the least recently used of a few makes room.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::windows::{Limit, Verdict, Window};

/// In how many parts the table is cut, each with a lock of its own.
const SHARDS: usize = 64;
/// Keys that one part holds: together 1.28 million.
const KEYS_PER_SHARD: usize = 20_000;
/// How many keys are looked at to find one that makes room.
const CANDIDATES: usize = 16;

/// The windows of all keys of a process.
pub(super) struct Counters {
    seed: RandomState,
    epoch: OnceLock<Instant>,
    next_space: AtomicU64,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    places: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    entries: Vec<Entry>,
}

struct Entry {
    key: u64,
    touched: u64,
    window: Window,
}

/// Keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            seed: RandomState::new(),
            epoch: OnceLock::new(),
            next_space: AtomicU64::new(0),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Counters {
    /// A number that keeps the keys of one limit apart from all others'.
    pub(super) fn new_space(&self) -> u64 {
        self.next_space.fetch_add(1, Ordering::Relaxed)
    }

    /// The key of `parts` within a space.
    pub(super) fn key(&self, space: u64, parts: impl Hash) -> u64 {
        self.seed.hash_one((space, parts))
    }

    /// Counts one request of a key.
    pub(super) fn take(&self, key: u64, now: Instant, limit: &Limit) -> Verdict {
        let epoch = *self.epoch.get_or_init(|| now);
        let now = u64::try_from(now.saturating_duration_since(epoch).as_nanos()).unwrap_or(u64::MAX);
        let shard = usize::try_from(key >> 58).ok().and_then(|shard| self.shards.get(shard));
        // There are as many shards as six bits can name.
        let Some(shard) = shard else { return Window::starting(now, limit).take(now, limit) };
        shard.lock().unwrap_or_else(PoisonError::into_inner).take(key, now, limit)
    }
}

impl Shard {
    fn take(&mut self, key: u64, now: u64, limit: &Limit) -> Verdict {
        let place = self.places.get(&key).and_then(|place| self.entries.get_mut(*place as usize));
        if let Some(entry) = place {
            entry.touched = now;
            return entry.window.take(now, limit);
        }
        let mut window = Window::starting(now, limit);
        let verdict = window.take(now, limit);
        self.insert(Entry { key, touched: now, window }, now);
        verdict
    }

    fn insert(&mut self, entry: Entry, now: u64) {
        let place = if self.entries.len() < KEYS_PER_SHARD { self.entries.len() } else { self.victim(now) };
        let Ok(number) = u32::try_from(place) else { return };
        if let Some(old) = self.entries.get(place) {
            self.places.remove(&old.key);
        }
        self.places.insert(entry.key, number);
        match self.entries.get_mut(place) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }

    /// The place of an expired key among a few, or of the least recently used of them.
    fn victim(&self, now: u64) -> usize {
        let mut oldest = (u64::MAX, 0);
        for _ in 0..CANDIDATES {
            let place = fastrand::usize(..self.entries.len().max(1));
            let Some(entry) = self.entries.get(place) else { continue };
            if entry.window.is_over(now) {
                return place;
            }
            oldest = oldest.min((entry.touched, place));
        }
        oldest.1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::{Counters, KEYS_PER_SHARD, Limit, SHARDS};

    #[test]
    fn many_threads_together_admit_exactly_the_limit() {
        let counters = Arc::new(Counters::default());
        let admitted = Arc::new(AtomicUsize::new(0));
        let limit = Limit::new(1000, 3600, false);
        let key = counters.key(counters.new_space(), "k");
        let now = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if counters.take(key, now, &limit).admitted {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(admitted.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_who_comes_often() {
        let counters = Counters::default();
        let limit = Limit::new(100_000, 3600, false);
        let space = counters.new_space();
        let (start, regular) = (Instant::now(), counters.key(space, "regular"));
        let strangers = SHARDS * KEYS_PER_SHARD * 2;
        let mut expected = limit.count;
        for stranger in 0..strangers {
            let now = start + Duration::from_micros(stranger as u64);
            if stranger % 1000 == 0 {
                expected -= 1;
                assert_eq!(counters.take(regular, now, &limit).remaining, expected);
            }
            counters.take(counters.key(space, stranger), now, &limit);
        }
        for shard in &counters.shards {
            let shard = shard.lock().unwrap();
            assert_eq!((shard.entries.len(), shard.places.len()), (KEYS_PER_SHARD, KEYS_PER_SHARD));
        }
    }

    #[test]
    fn a_million_keys_are_kept_apart() {
        let counters = Counters::default();
        let limit = Limit::new(1, 3600, false);
        let (space, now) = (counters.new_space(), Instant::now());
        for expected in [true, false] {
            for number in 0..1_000_000_u32 {
                assert_eq!(
                    counters.take(counters.key(space, number), now, &limit).admitted,
                    expected,
                    "{number}"
                );
            }
        }
    }

    #[test]
    fn spaces_do_not_meet() {
        let counters = Counters::default();
        assert_ne!(counters.key(counters.new_space(), "k"), counters.key(counters.new_space(), "k"));
    }
}
