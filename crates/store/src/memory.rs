//! A store that lives as long as the process: for tests, trials, and gateways whose configuration comes from elsewhere.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _, ready};

use crate::feed::Feed;
use crate::{
    Batch, Committed, Description, Entry, Event, Listing, Revision, Store, StoreError, Transaction, Watch,
    Write,
};

/// The store.
#[derive(Debug)]
pub struct Memory {
    entries: Mutex<BTreeMap<Arc<str>, Entry>>,
    feed: Feed,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Mutex::default(), feed: Feed::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(&self, prefix: &str, after: Option<&str>, limit: usize, reverse: bool) -> Listing {
        let entries = self.lock();
        let matching = |entry: &&Entry| entry.key.starts_with(prefix);
        let found: Vec<Entry> = if reverse {
            let end = after.map_or(Bound::Unbounded, Bound::Excluded);
            let range = entries.range::<str, _>((Bound::Included(prefix), end));
            // Without a place to begin, keys behind the prefix's last one are passed over.
            range
                .rev()
                .map(|(_, entry)| entry)
                .skip_while(|entry| !matching(entry))
                .take_while(matching)
                .take(limit)
                .cloned()
                .collect()
        } else {
            let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
            let range = entries.range::<str, _>((start, Bound::Unbounded));
            range.map(|(_, entry)| entry).take_while(matching).take(limit).cloned().collect()
        };
        Listing { revision: self.feed.newest(), entries: found }
    }

    fn commit_now(&self, transaction: Transaction) -> Result<Committed, StoreError> {
        transaction.check_size()?;
        let mut entries = self.lock();
        transaction.check_revision(self.feed.newest())?;
        for (key, compare) in &transaction.compare {
            compare.check(key, entries.get(key.as_str()))?;
        }
        let revision = self.feed.newest() + 1;
        let mut events = Vec::with_capacity(transaction.writes.len());
        for write in transaction.writes {
            match write {
                Write::Put { key, value } => {
                    let key: Arc<str> = key.into();
                    let before = entries.get(&key).cloned();
                    let created = before.as_ref().map_or(revision, |before| before.created);
                    let after = Entry { key: Arc::clone(&key), value, created, modified: revision };
                    entries.insert(Arc::clone(&key), after.clone());
                    events.push(Event { key, before, after: Some(after) });
                }
                Write::Delete { key } => {
                    if let Some((key, before)) = entries.remove_entry(key.as_str()) {
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
        ready(Ok(self.lock().get(key).cloned())).boxed()
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

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        ready(self.commit_now(transaction)).boxed()
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.feed.watch(prefix, from)
    }

    fn revision(&self) -> Revision {
        self.feed.newest()
    }

    fn describe(&self) -> Description {
        Description { kind: "memory", ..Description::default() }
    }
}
