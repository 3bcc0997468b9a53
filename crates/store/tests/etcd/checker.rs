//! Writers on several gateways, and what has to be true of everything that they and the watches saw.
//!
//! Each object has a counter among Usher's own keys. A step reads it, and in one transaction writes the next number there and into the object,
//! or deletes the object at every fifth; the counter is compared, so two steps can't take the same number. Then a lost write is a number that is
//! missing at the end, one that was said not to be written is a number too many, and one that came back is a number seen after a higher one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use usher_store::etcd::Etcd;
use usher_store::{Compare, Revision, Store, StoreError, Transaction, WatchError};

use crate::server::Member;
use crate::{route, until};

/// Objects that are fought for.
const OBJECTS: usize = 8;

/// What became of the steps on each object.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: HashMap<usize, u64>,
    unknown: HashMap<usize, u64>,
    pub(crate) refused: u64,
    pub(crate) conflicts: u64,
    /// The longest that a step waited.
    pub(crate) longest: Duration,
}

/// Everything that runs.
pub(crate) struct Running {
    stores: Vec<Arc<Etcd>>,
    /// Where the counters were.
    begin: HashMap<String, u64>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Steps>>,
    watchers: Vec<JoinHandle<Seen>>,
}

/// What a watch told.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    events: u64,
    anew: u64,
}

fn counter(object: usize) -> String {
    format!("/usher/steps/{object}")
}

fn counters(member: &Member) -> HashMap<String, u64> {
    let found = member.range("/usher/steps/").into_iter();
    found.map(|(key, value, _)| (key, value.parse().unwrap())).collect()
}

/// Starts a writer and a watcher on each store of this cluster.
pub(crate) fn start(stores: Vec<Etcd>, member: &Member) -> Running {
    let begin = counters(member);
    let stores: Vec<_> = stores.into_iter().map(Arc::new).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let writers =
        stores.iter().map(|store| tokio::spawn(write(Arc::clone(store), Arc::clone(&stop)))).collect();
    let watchers =
        stores.iter().map(|store| tokio::spawn(watch(Arc::clone(store), Arc::clone(&stop)))).collect();
    Running { stores, begin, stop, writers, watchers }
}

async fn write(store: Arc<Etcd>, stop: Arc<AtomicBool>) -> Steps {
    let mut steps = Steps::default();
    while !stop.load(Ordering::Relaxed) {
        let object = fastrand::usize(..OBJECTS);
        let begin = Instant::now();
        step(&store, object, &mut steps).await;
        steps.longest = steps.longest.max(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..20))).await;
    }
    steps
}

async fn step(store: &Etcd, object: usize, steps: &mut Steps) {
    let Ok(read) = store.get(&counter(object)).await else {
        steps.refused += 1;
        return;
    };
    let number =
        |entry: &usher_store::Entry| std::str::from_utf8(&entry.value).unwrap().parse::<u64>().unwrap();
    let next = read.as_ref().map_or(0, number) + 1;
    let expected = read.map_or(Compare::Absent, |entry| Compare::Modified(entry.modified));
    let mut transaction =
        Transaction::default().put(counter(object), next.to_string()).expect(counter(object), expected);
    transaction = if next % 5 == 0 {
        transaction.delete(route(object))
    } else {
        transaction.put(route(object), next.to_string())
    };
    match store.commit(transaction).await {
        Ok(committed) => {
            *steps.done.entry(object).or_default() += 1;
            // Later reads of this gateway see it.
            assert!(store.revision() >= committed.revision);
            if let Some(entry) = store.get(&route(object)).await.unwrap() {
                assert!(number(&entry) >= next, "{entry:?} is older than {next}");
            }
        }
        Err(StoreError::Conflict { key, .. }) => {
            assert_eq!(key, counter(object));
            steps.conflicts += 1;
        }
        Err(StoreError::Unavailable(_) | StoreError::Busy) => steps.refused += 1,
        Err(StoreError::Unknown(_)) => *steps.unknown.entry(object).or_default() += 1,
        Err(other) => panic!("{other:?}"),
    }
}

async fn watch(store: Arc<Etcd>, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut highest: HashMap<String, u64> = HashMap::new();
    let mut newest: Revision = store.revision();
    let mut watch = store.watch("/apisix/routes/", newest + 1);
    loop {
        let batch = match tokio::time::timeout(Duration::from_millis(200), watch.next()).await {
            Ok(Ok(batch)) => batch,
            Ok(Err(WatchError::Compacted { .. })) => {
                seen.anew += 1;
                newest = store.revision();
                watch = store.watch("/apisix/routes/", newest + 1);
                continue;
            }
            Ok(Err(WatchError::Closed)) => panic!("the store was closed"),
            Err(_) if stop.load(Ordering::Relaxed) => return seen,
            Err(_) => continue,
        };
        assert!(batch.revision > newest, "{} comes behind {newest}", batch.revision);
        newest = batch.revision;
        for event in batch.events {
            seen.events += 1;
            let Some(after) = event.after else { continue };
            let number: u64 = std::str::from_utf8(&after.value).unwrap().parse().unwrap();
            let before = highest.insert(event.key.to_string(), number).unwrap_or_default();
            assert!(number > before, "{} has {number} behind {before}", event.key);
        }
    }
}

impl Running {
    pub(crate) fn revisions(&self) -> Vec<Revision> {
        self.stores.iter().map(|store| store.revision()).collect()
    }

    /// Stops the writers, waits until every gateway equals etcd, and checks what was seen.
    pub(crate) async fn finish(self, member: &Member) -> Steps {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Steps::default();
        for writer in self.writers {
            let steps = writer.await.unwrap();
            for (into, from) in [(&mut all.done, steps.done), (&mut all.unknown, steps.unknown)] {
                from.into_iter().for_each(|(object, count)| *into.entry(object).or_default() += count);
            }
            all.refused += steps.refused;
            all.conflicts += steps.conflicts;
            all.longest = all.longest.max(steps.longest);
        }
        for store in &self.stores {
            // The same on each: written through it, so that it has caught up with everything before.
            until("a last write", async || {
                store.commit(Transaction::default().put("/usher/head", "end")).await.is_ok()
            })
            .await;
        }
        let there = member.range("/apisix/routes/");
        let there: Vec<_> = there.into_iter().filter(|(key, ..)| !key.ends_with('/')).collect();
        for store in &self.stores {
            let known = async || {
                let entries = store.list("/apisix/routes/").await.unwrap().entries;
                let plain = |entry: &usher_store::Entry| {
                    (entry.key.to_string(), String::from_utf8(entry.value.to_vec()).unwrap(), entry.modified)
                };
                entries.iter().map(plain).collect::<Vec<_>>()
            };
            until("equalling etcd", async || known().await == there).await;
        }
        let counters = counters(member);
        for object in 0..OBJECTS {
            let of = |map: &HashMap<usize, u64>| map.get(&object).copied().unwrap_or_default();
            let (done, unknown) = (of(&all.done), of(&all.unknown));
            let number = |of: &HashMap<String, u64>| of.get(&counter(object)).copied().unwrap_or_default();
            let newest = number(&counters);
            let counted = newest - number(&self.begin);
            assert!(
                counted >= done,
                "object {object}: {done} steps were acknowledged, but {counted} are there"
            );
            assert!(
                counted <= done + unknown,
                "object {object}: {counted} steps are there, but only {done} + {unknown} can be"
            );
            let value =
                there.iter().find(|(key, ..)| *key == route(object)).map(|(_, value, _)| value.as_str());
            let wanted = (newest % 5 != 0 && newest > 0).then(|| newest.to_string());
            assert_eq!(value, wanted.as_deref(), "object {object}");
        }
        let mut seen = Seen::default();
        for watcher in self.watchers {
            let one = watcher.await.unwrap();
            (seen.events, seen.anew) = (seen.events + one.events, seen.anew + one.anew);
        }
        let (done, unknown) = (all.done.values().sum::<u64>(), all.unknown.values().sum::<u64>());
        println!(
            "{done} steps acknowledged, {unknown} unknown, {} refused, {} in conflict, the longest took {:?}; {} events seen, {} times listed anew",
            all.refused, all.conflicts, all.longest, seen.events, seen.anew
        );
        assert!(done > 0);
        all
    }
}
