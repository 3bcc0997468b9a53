//! Writes by chance, and what a store has to hold after each of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use usher_store::embedded::{Embedded, Options};
use usher_store::simulated::Simulated;
use usher_store::{Committed, Store as _, StoreError, Transaction, Write};

/// Where the store is on the simulated disk.
pub(crate) const FOLDER: &str = "/data";
/// What the clock shows; nothing ends while these tests run.
const NOW: u64 = 1_700_000_000_000;

/// Of each key: its value, the revisions that made and last changed it, and its end.
type State = BTreeMap<String, (Vec<u8>, u64, u64, Option<u64>)>;

/// The writes, and the state behind each revision.
pub(crate) struct Workload {
    random: fastrand::Rng,
    states: Vec<State>,
}

/// A store of a folder whose logs are folded soon.
pub(crate) fn options(disk: &Simulated) -> Options {
    Options { disk: Arc::new(disk.clone()), clock: Arc::new(|| NOW), least_fold_bytes: 24 << 10 }
}

pub(crate) fn open(disk: &Simulated) -> Result<Embedded, StoreError> {
    Embedded::open_on(Path::new(FOLDER), options(disk))
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Commits all of them before it waits for the first.
pub(crate) fn commit_together(
    store: &Embedded,
    transactions: &[Transaction],
) -> Vec<Result<Committed, StoreError>> {
    let asked: Vec<_> = transactions.iter().map(|transaction| store.commit(transaction.clone())).collect();
    asked.into_iter().map(wait).collect()
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), states: vec![State::new()] }
    }

    pub(crate) fn random(&mut self) -> &mut fastrand::Rng {
        &mut self.random
    }

    /// The next write: one to four keys of a dozen, some of them deleted, some with a time to live.
    pub(crate) fn next(&mut self) -> Transaction {
        let mut transaction = Transaction::default();
        for _ in 0..self.random.usize(1..=4) {
            let key = format!("/apisix/routes/{}", self.random.u8(0..12));
            if self.random.u8(0..4) == 0 {
                transaction = transaction.delete(key);
                continue;
            }
            let most = *self.random.choice(&[40, 700, 9_000]).unwrap();
            let value = vec![self.random.u8(..); self.random.usize(0..most)];
            let ttl_secs = (self.random.u8(0..3) == 0).then(|| self.random.u64(1_000..2_000));
            transaction = transaction.put_for(key, value, ttl_secs);
        }
        transaction
    }

    /// Notes that a write is the next revision.
    pub(crate) fn applied(&mut self, transaction: &Transaction) -> u64 {
        let revision = self.states.len() as u64;
        let mut state = self.states.last().unwrap().clone();
        for write in &transaction.writes {
            match write {
                Write::Put { key, value, ttl_secs } => {
                    let created = state.get(key).map_or(revision, |(_, created, _, _)| *created);
                    let until = ttl_secs.map(|secs| NOW + secs * 1000);
                    state.insert(key.clone(), (value.to_vec(), created, revision, until));
                }
                Write::Delete { key } => {
                    state.remove(key);
                }
            }
        }
        self.states.push(state);
        revision
    }

    /// The same up to a revision, with an empty one behind it.
    pub(crate) fn repeated_at(&self, revision: u64) -> Self {
        let kept = usize::try_from(revision).unwrap();
        let mut states = self.states[..=kept].to_vec();
        states.push(self.states[kept].clone());
        Self { random: self.random.clone(), states }
    }

    /// What the store holds.
    fn read(store: &Embedded) -> (u64, State) {
        let listing = wait(store.list("/")).unwrap();
        let mut ends: BTreeMap<String, u64> = wait(store.leases())
            .unwrap()
            .into_iter()
            .map(|lease| (lease.key.to_string(), lease.until_unix_ms))
            .collect();
        let state = listing
            .entries
            .into_iter()
            .map(|entry| {
                let end = ends.remove(&*entry.key);
                (entry.key.to_string(), (entry.value.to_vec(), entry.created, entry.modified, end))
            })
            .collect();
        assert!(ends.is_empty(), "{ends:?} end, but aren't there");
        (listing.revision, state)
    }

    /// The store is exactly at the newest revision.
    pub(crate) fn check(&self, store: &Embedded) {
        let (revision, state) = Self::read(store);
        assert_eq!(revision, self.states.len() as u64 - 1);
        assert_eq!(store.revision(), revision);
        assert!(state == *self.states.last().unwrap(), "revision {revision} holds something else");
    }

    /// Whether the store is at the newest revision with this write, or without it.
    pub(crate) fn look_for(&mut self, store: &Embedded, transaction: &Transaction) -> bool {
        let there = store.revision() == self.states.len() as u64;
        if there {
            self.applied(transaction);
        }
        self.check(store);
        there
    }

    /// The store is at a revision that isn't before `acknowledged`, and holds exactly what belongs to it.
    pub(crate) fn check_not_before(&self, store: &Embedded, acknowledged: u64) -> Result<u64, String> {
        if let Some(recovered) = store.describe().recovered {
            return Err(format!("the data file was damaged: {}", recovered.reason));
        }
        let (revision, state) = Self::read(store);
        if revision < acknowledged {
            return Err(format!("revision {acknowledged} was acknowledged, but {revision} is there"));
        }
        match self.states.get(usize::try_from(revision).unwrap()) {
            Some(expected) if *expected == state => Ok(revision),
            Some(_) => Err(format!("revision {revision} holds something else")),
            None => Err(format!("revision {revision} never was")),
        }
    }
}
