//! The state of each key of a limit: shared by all workers, bounded, and independent of what keys look like.
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

/// In how many parts the table is cut, each with a lock of its own.
const SHARDS: usize = 64;
/// Keys that one part holds: together 1.28 million.
const KEYS_PER_SHARD: usize = 20_000;
/// How many keys are looked at to find one that makes room.
const CANDIDATES: usize = 16;

/// What is kept of one key.
pub(crate) trait State {
    /// Whether nothing in it matters any more, at a time in nanoseconds.
    fn is_over(&self, now: u64) -> bool;
}

/// The states of all keys of a process.
pub(crate) struct Keyed<S> {
    seed: RandomState,
    epoch: OnceLock<Instant>,
    next_space: AtomicU64,
    shards: Box<[Mutex<Shard<S>>]>,
}

struct Shard<S> {
    places: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    entries: Vec<Entry<S>>,
}

struct Entry<S> {
    key: u64,
    touched: u64,
    state: S,
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

impl<S> Default for Keyed<S> {
    fn default() -> Self {
        let shard = || Mutex::new(Shard { places: HashMap::default(), entries: Vec::new() });
        Self {
            seed: RandomState::new(),
            epoch: OnceLock::new(),
            next_space: AtomicU64::new(0),
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }
}

impl<S: State> Keyed<S> {
    /// A number that keeps the keys of one limit apart from all others'.
    pub(crate) fn new_space(&self) -> u64 {
        self.next_space.fetch_add(1, Ordering::Relaxed)
    }

    /// The key of `parts` within a space.
    pub(crate) fn key(&self, space: u64, parts: impl Hash) -> u64 {
        self.seed.hash_one((space, parts))
    }

    /// Looks at a key's state, which `start` makes where there is none. Times are nanoseconds since the first call.
    pub(crate) fn with<R>(
        &self,
        key: u64,
        now: Instant,
        start: impl FnOnce(u64) -> S,
        act: impl FnOnce(&mut S, u64) -> R,
    ) -> R {
        let epoch = *self.epoch.get_or_init(|| now);
        let now = u64::try_from(now.saturating_duration_since(epoch).as_nanos()).unwrap_or(u64::MAX);
        let shard = usize::try_from(key >> 58).ok().and_then(|shard| self.shards.get(shard));
        // There are as many shards as six bits can name.
        let Some(shard) = shard else { return act(&mut start(now), now) };
        shard.lock().unwrap_or_else(PoisonError::into_inner).with(key, now, start, act)
    }
}

impl<S: State> Shard<S> {
    fn with<R>(
        &mut self,
        key: u64,
        now: u64,
        start: impl FnOnce(u64) -> S,
        act: impl FnOnce(&mut S, u64) -> R,
    ) -> R {
        let place = self.places.get(&key).and_then(|place| self.entries.get_mut(*place as usize));
        if let Some(entry) = place {
            entry.touched = now;
            return act(&mut entry.state, now);
        }
        let mut state = start(now);
        let outcome = act(&mut state, now);
        self.insert(Entry { key, touched: now, state }, now);
        outcome
    }

    fn insert(&mut self, entry: Entry<S>, now: u64) {
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
            if entry.state.is_over(now) {
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

    use super::{KEYS_PER_SHARD, Keyed, SHARDS, State};

    /// A number that never stops to matter.
    struct Number(usize);

    impl State for Number {
        fn is_over(&self, _: u64) -> bool {
            false
        }
    }

    fn count(numbers: &Keyed<Number>, key: u64, now: Instant) -> usize {
        numbers.with(
            key,
            now,
            |_| Number(0),
            |number, _| {
                number.0 += 1;
                number.0
            },
        )
    }

    #[test]
    fn many_threads_together_count_each_once() {
        let numbers = Arc::new(Keyed::<Number>::default());
        let within = Arc::new(AtomicUsize::new(0));
        let key = numbers.key(numbers.new_space(), "k");
        let now = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if count(&numbers, key, now) <= 1000 {
                            within.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(within.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_who_comes_often() {
        let numbers = Keyed::<Number>::default();
        let space = numbers.new_space();
        let (start, regular) = (Instant::now(), numbers.key(space, "regular"));
        let strangers = SHARDS * KEYS_PER_SHARD * 2;
        let mut expected = 0;
        for stranger in 0..strangers {
            let now = start + Duration::from_micros(stranger as u64);
            if stranger % 1000 == 0 {
                expected += 1;
                assert_eq!(count(&numbers, regular, now), expected);
            }
            count(&numbers, numbers.key(space, stranger), now);
        }
        for shard in &numbers.shards {
            let shard = shard.lock().unwrap();
            assert_eq!((shard.entries.len(), shard.places.len()), (KEYS_PER_SHARD, KEYS_PER_SHARD));
        }
    }

    #[test]
    fn a_million_keys_are_kept_apart() {
        let numbers = Keyed::<Number>::default();
        let (space, now) = (numbers.new_space(), Instant::now());
        for expected in [1, 2] {
            for number in 0..1_000_000_u32 {
                assert_eq!(count(&numbers, numbers.key(space, number), now), expected, "{number}");
            }
        }
    }

    #[test]
    fn spaces_do_not_meet() {
        let numbers = Keyed::<Number>::default();
        assert_ne!(numbers.key(numbers.new_space(), "k"), numbers.key(numbers.new_space(), "k"));
    }
}
