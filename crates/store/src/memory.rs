//! A store that lives as long as the process: for tests, trials, and gateways whose configuration comes from elsewhere.

mod expiry;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::feed::Feed;
use crate::sorted::{Sorted, page};
use crate::{
    Batch, Committed, Description, Entry, Event, Lease, Listing, Revision, Store, StoreError, Transaction,
    Watch, Write,
};
use expiry::Expiry;

/// The store.
#[derive(Debug)]
pub struct Memory {
    held: Arc<Held>,
    /// Deletes what has outlived its time; begun with the first key that may.
    sweeper: Mutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Debug)]
struct Held {
    content: Mutex<Content>,
    feed: Feed,
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Content {
    entries: Sorted,
    expiry: Expiry,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        let held = Held { content: Mutex::default(), feed: Feed::new(0), sooner: Notify::new() };
        Self { held: Arc::new(held), sweeper: Mutex::new(None) }
    }

    fn page(&self, prefix: &str, after: Option<&str>, limit: usize, reverse: bool) -> Listing {
        let content = self.held.lock();
        Listing {
            revision: self.held.feed.newest(),
            entries: page(&content.entries, prefix, after, limit, reverse),
        }
    }

    fn commit_now(&self, transaction: Transaction) -> Result<Committed, StoreError> {
        transaction.check_size()?;
        let expires =
            transaction.writes.iter().any(|write| matches!(write, Write::Put { ttl_secs: Some(_), .. }));
        let committed = self.held.commit(transaction)?;
        if expires {
            // A commit is always polled by a runtime; outside of one, what is over goes with the next read.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                lock(&self.sweeper).get_or_insert_with(|| {
                    AbortOnDropHandle::new(runtime.spawn(sweep(Arc::clone(&self.held))))
                });
            }
            self.held.sooner.notify_one();
        }
        Ok(committed)
    }
}

/// Deletes what is over, each time when the next key is.
async fn sweep(held: Arc<Held>) {
    loop {
        let next = held.lock().expiry.next();
        let over = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => {}
            () = held.sooner.notified() => {}
        }
    }
}

impl Held {
    /// The content, without what is over.
    fn lock(&self) -> MutexGuard<'_, Content> {
        let mut content = lock(&self.content);
        let over = content.expiry.over(Instant::now());
        if !over.is_empty() {
            let revision = self.feed.newest() + 1;
            let gone = over.iter().filter_map(|key| content.entries.remove_entry(key));
            let events = gone.map(|(key, before)| Event { key, before: Some(before), after: None }).collect();
            self.feed.publish(Batch { revision, events });
        }
        content
    }

    fn commit(&self, transaction: Transaction) -> Result<Committed, StoreError> {
        let mut content = self.lock();
        let Content { entries, expiry } = &mut *content;
        for (key, compare) in &transaction.compare {
            compare.check(key, entries.get(key.as_str()))?;
        }
        let (revision, now) = (self.feed.newest() + 1, Instant::now());
        let mut events = Vec::with_capacity(transaction.writes.len());
        for write in transaction.writes {
            match write {
                Write::Put { key, value, ttl_secs } => {
                    let key: Arc<str> = key.into();
                    let before = entries.get(&key).cloned();
                    let created = before.as_ref().map_or(revision, |before| before.created);
                    let after = Entry { key: Arc::clone(&key), value, created, modified: revision };
                    entries.insert(Arc::clone(&key), after.clone());
                    expiry.set(&key, ttl_secs, now);
                    events.push(Event { key, before, after: Some(after) });
                }
                Write::Delete { key } => {
                    if let Some((key, before)) = entries.remove_entry(key.as_str()) {
                        expiry.set(&key, None, now);
                        events.push(Event { key, before: Some(before), after: None });
                    }
                }
            }
        }
        // Published under the lock, so that revisions reach watchers in order.
        self.feed.publish(Batch { revision, events });
        Ok(Committed { revision })
    }
}

impl Store for Memory {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        ready(Ok(self.held.lock().entries.get(key).cloned())).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, StoreError>> {
        ready(Ok(self.page(prefix, None, usize::MAX, false))).boxed()
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        ready(Ok(self.page(prefix, after, limit, reverse))).boxed()
    }

    fn leases(&self) -> BoxFuture<'_, Result<Vec<Lease>, StoreError>> {
        let content = self.held.lock();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ends = content.expiry.left(Instant::now());
        let leases = ends.filter_map(|(key, left)| {
            let modified = content.entries.get(key)?.modified;
            let until_unix_ms = u64::try_from((unix + left).as_millis()).unwrap_or(u64::MAX);
            Some(Lease { key: Arc::clone(key), modified, until_unix_ms })
        });
        ready(Ok(leases.collect())).boxed()
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        ready(self.commit_now(transaction)).boxed()
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.held.feed.watch(prefix, from)
    }

    fn revision(&self) -> Revision {
        self.held.feed.newest()
    }

    fn describe(&self) -> Description {
        Description { kind: "memory", ..Description::default() }
    }

    fn release(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        let reason = "it is in memory, which ends with this process".to_owned();
        ready(Err(StoreError::ReadOnly(reason))).boxed()
    }
}
