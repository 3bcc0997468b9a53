//! When keys are over that were given a time to live.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// A time so far away that it never comes, and that an [`Instant`] still holds.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The keys that end by themselves.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    until: HashMap<Arc<str>, Instant>,
    order: BTreeSet<(Instant, Arc<str>)>,
}

impl Expiry {
    /// Gives a key so many seconds from now, or all the time there is. Keys of one transaction are given the same `now`, so that they end together.
    pub(super) fn set(&mut self, key: &Arc<str>, ttl_secs: Option<u64>, now: Instant) {
        if let Some(before) = self.until.remove(key) {
            self.order.remove(&(before, Arc::clone(key)));
        }
        if let Some(secs) = ttl_secs {
            let until = now + Duration::from_secs(secs).min(LONGEST);
            self.until.insert(Arc::clone(key), until);
            self.order.insert((until, Arc::clone(key)));
        }
    }

    /// Every key that ends by itself, with the time that it has left.
    pub(super) fn left(&self, now: Instant) -> impl Iterator<Item = (&Arc<str>, Duration)> {
        self.until.iter().map(move |(key, until)| (key, until.saturating_duration_since(now)))
    }

    /// When the next key is over.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(until, _)| *until)
    }

    /// Takes out the keys that are over.
    pub(super) fn over(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut over = Vec::new();
        while let Some((_, key)) = self.order.first().filter(|(until, _)| *until <= now).cloned() {
            self.order.pop_first();
            self.until.remove(&key);
            over.push(key);
        }
        over
    }
}
