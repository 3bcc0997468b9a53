//! What the gateway knows in front of every request: connections, handshakes, until when its certificates are good, and whether its store answers. The
//! proxy writes, metrics read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use usher_model::kind::Kind;

use crate::env::Process;

/// How a TLS handshake with a client went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// A full one was done.
    Full,
    /// A short one was done, by an earlier session.
    Resumed,
    /// It took too long.
    TimedOut,
    /// The client asked for no name, or for one without a certificate.
    UnknownName,
    /// It broke off, or one side refused the other.
    Broken,
}

impl Handshake {
    /// Each with the name that metrics give it.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Full, "full"),
        (Self::Resumed, "resumed"),
        (Self::TimedOut, "timed_out"),
        (Self::UnknownName, "unknown_name"),
        (Self::Broken, "broken"),
    ];
}

/// Connections of clients, by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Accepted since the start.
    pub accepted: u64,
    /// Of those, the ones that were given a place.
    pub handled: u64,
    /// Requests that came by them, since the start.
    pub requests: u64,
    /// Open.
    pub active: u64,
    /// Of the open ones, those that send the head of a request.
    pub reading: u64,
    /// Of the open ones, those whose request is being answered.
    pub writing: u64,
}

/// The connections of one worker, as it last told of them.
#[derive(Debug, Default)]
pub struct Tellers([AtomicU64; 6]);

impl Tellers {
    /// Tells how it stands.
    pub fn tell(&self, now: Connections) {
        let Connections { accepted, handled, requests, active, reading, writing } = now;
        for (place, number) in self.0.iter().zip([accepted, handled, requests, active, reading, writing]) {
            place.store(number, Ordering::Relaxed);
        }
    }

    fn told(&self) -> [u64; 6] {
        self.0.each_ref().map(|number| number.load(Ordering::Relaxed))
    }
}

/// A store that others reach too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreFacts {
    /// Whether it answers.
    pub reachable: bool,
    /// Its newest revision that is known.
    pub revision: u64,
}

type LookAtStore = Box<dyn Fn() -> Option<StoreFacts> + Send + Sync>;

/// The counters.
#[derive(Default)]
pub struct Front {
    workers: Mutex<Vec<Arc<Tellers>>>,
    store: OnceLock<LookAtStore>,
    handshakes: [AtomicU64; Handshake::ALL.len()],
    certificates: Mutex<BTreeMap<Arc<str>, i64>>,
    streams: Mutex<BTreeMap<Arc<str>, u64>>,
    changed: Mutex<BTreeMap<Kind, u64>>,
}

/// Stream routes that are counted on their own; further ones are counted together.
const MOST_STREAM_ROUTES: usize = 10_000;

impl Front {
    /// Those of the process.
    #[must_use]
    pub fn of(process: &Process) -> Arc<Self> {
        process.permanent("front", Self::default)
    }

    /// The place where one more worker tells of its connections.
    #[must_use]
    pub fn worker(&self) -> Arc<Tellers> {
        let teller = Arc::default();
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&teller));
        teller
    }

    /// The connections of all workers, as of a tenth of a second ago.
    #[must_use]
    pub fn connections(&self) -> Connections {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let sums = workers.iter().fold([0; 6], |mut sums, worker| {
            sums.iter_mut().zip(worker.told()).for_each(|(sum, number): (&mut u64, u64)| *sum += number);
            sums
        });
        let [accepted, handled, requests, active, reading, writing] = sums;
        Connections { accepted, handled, requests, active, reading, writing }
    }

    /// How the store is looked at, where others reach it too. What is said first holds.
    pub fn watch_store(&self, look: impl Fn() -> Option<StoreFacts> + Send + Sync + 'static) {
        let _ = self.store.set(Box::new(look));
    }

    /// How the store is; `None` where it is this gateway's own.
    #[must_use]
    pub fn store(&self) -> Option<StoreFacts> {
        self.store.get().and_then(|look| look())
    }

    /// Notes the revision at which an object of a kind was last changed.
    pub fn note_change(&self, kind: Kind, revision: u64) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = changed.entry(kind).or_default();
        *newest = revision.max(*newest);
    }

    /// The newest revision at which an object of this kind was changed; 0 where there was none.
    #[must_use]
    pub fn changed(&self, kind: Kind) -> u64 {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.get(&kind).copied().unwrap_or_default()
    }

    /// Counts one handshake.
    pub fn count(&self, how: Handshake) {
        if let Some(counter) = self.handshakes.get(how as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Handshakes so far.
    #[must_use]
    pub fn handshakes(&self, how: Handshake) -> u64 {
        self.handshakes.get(how as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// When the first certificate of an `ssl` object ends, in seconds since 1970; `None` where the object is no longer served.
    pub fn set_certificate(&self, id: &Arc<str>, ends: Option<i64>) {
        let mut all = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        match ends {
            Some(ends) => drop(all.insert(Arc::clone(id), ends)),
            None => drop(all.remove(id)),
        }
    }

    /// Counts one finished connection of a stream route.
    pub fn count_stream(&self, route: &Arc<str>) {
        let mut all = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST_STREAM_ROUTES || all.contains_key(route) {
            *all.entry(Arc::clone(route)).or_default() += 1;
        } else {
            *all.entry(Arc::from("other")).or_default() += 1;
        }
    }

    /// Finished connections by stream route.
    #[must_use]
    pub fn streams(&self) -> Vec<(Arc<str>, u64)> {
        let all = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(route, count)| (Arc::clone(route), *count)).collect()
    }

    /// When the certificates of the `ssl` objects end, the first to end first; at most so many.
    #[must_use]
    pub fn certificates(&self, most: usize) -> Vec<(Arc<str>, i64)> {
        let all = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = all.iter().map(|(id, ends)| (Arc::clone(id), *ends)).collect();
        all.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Connections, Front, Handshake};

    #[test]
    fn the_connections_of_all_workers_are_summed_up() {
        let front = Front::default();
        let now = Connections { accepted: 5, handled: 4, requests: 9, active: 3, reading: 1, writing: 2 };
        for _ in 0..2 {
            front.worker().tell(now);
        }
        let wanted =
            Connections { accepted: 10, handled: 8, requests: 18, active: 6, reading: 2, writing: 4 };
        assert_eq!((front.connections(), front.store()), (wanted, None));
    }

    #[test]
    fn the_first_to_end_is_told_first() {
        let front = Front::default();
        for (id, ends) in [("a", 30), ("b", 10), ("c", 20), ("d", 5)] {
            front.set_certificate(&Arc::from(id), Some(ends));
        }
        front.set_certificate(&Arc::from("d"), None);
        let told: Vec<_> =
            front.certificates(2).into_iter().map(|(id, ends)| (id.to_string(), ends)).collect();
        assert_eq!(told, [("b".to_owned(), 10), ("c".to_owned(), 20)]);
    }

    #[test]
    fn handshakes_are_counted_by_how_they_went() {
        let front = Front::default();
        for (how, _) in Handshake::ALL {
            front.count(how);
        }
        front.count(Handshake::Broken);
        assert_eq!((front.handshakes(Handshake::Full), front.handshakes(Handshake::Broken)), (1, 2));
    }
}
