//! Who may come in with a token or a password, in memory: kept up to date by the store's own watch, so that a request costs one look-up.
//!
//! Whoever asks takes up what was committed since, so that a token that was revoked anywhere is dead with the next request. Only where the watch
//! has lost the thread everything is read anew, by a task of its own; until it has, what was known goes on to hold.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt as _;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use usher_store::{Entry, Store, StoreError, Watch, WatchError};

/// A row of a table: what is kept under one key of the store.
pub(super) trait Row: DeserializeOwned + Clone + Send + 'static {
    /// What the keys of the table begin with.
    const PREFIX: &'static str;
    /// What a row is found by.
    type Id: Clone + Eq + Hash + Send + 'static;

    /// What this row is found by; `None` for one that can't be used.
    fn id(&self) -> Option<Self::Id>;

    /// Tells the row which revision it was written at, where that matters to it.
    fn written_at(&mut self, _revision: u64) {}
}

/// One table, and the place up to which it is true.
struct Table<R: Row> {
    rows: HashMap<R::Id, R>,
    /// Which row stands under which key.
    ids: HashMap<Arc<str>, R::Id>,
    watch: Watch,
    lost: bool,
}

impl<R: Row> Table<R> {
    async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let listing = store.list(R::PREFIX).await?;
        let watch = store.watch(R::PREFIX, listing.revision + 1);
        let mut table = Self { rows: HashMap::new(), ids: HashMap::new(), watch, lost: false };
        for entry in listing.entries {
            table.take(&entry);
        }
        Ok(table)
    }

    fn take(&mut self, entry: &Entry) {
        self.forget(&entry.key);
        let row = serde_json::from_slice::<R>(&entry.value).ok();
        let Some((id, mut row)) = row.and_then(|row| Some((row.id()?, row))) else {
            tracing::warn!(key = %entry.key, "a record can't be read, and so is passed over: nobody is let in by it");
            return;
        };
        row.written_at(entry.modified);
        self.ids.insert(Arc::clone(&entry.key), id.clone());
        self.rows.insert(id, row);
    }

    fn forget(&mut self, key: &str) {
        if let Some(id) = self.ids.remove(key) {
            self.rows.remove(&id);
        }
    }

    /// Takes up what was committed since. `false` where that isn't known any more.
    fn follow(&mut self) -> bool {
        while !self.lost
            && let Some(batch) = self.watch.next().now_or_never()
        {
            match batch {
                Ok(batch) => {
                    for event in batch.events {
                        match &event.after {
                            Some(entry) => self.take(entry),
                            None => self.forget(&event.key),
                        }
                    }
                }
                Err(WatchError::Closed) => break,
                Err(WatchError::Compacted { .. }) => self.lost = true,
            }
        }
        !self.lost
    }
}

/// A table that anybody may look into.
pub(super) struct Kept<R: Row> {
    table: Arc<Mutex<Table<R>>>,
    lost: Arc<Notify>,
    reader: JoinHandle<()>,
}

impl<R: Row> Kept<R> {
    /// Reads the table, and keeps it.
    pub(super) async fn load(store: &Arc<dyn Store>) -> Result<Self, StoreError> {
        let table = Arc::new(Mutex::new(Table::load(&**store).await?));
        let lost = Arc::new(Notify::new());
        let reader = tokio::spawn(read_again(Arc::downgrade(store), Arc::clone(&table), Arc::clone(&lost)));
        Ok(Self { table, lost, reader })
    }

    /// The row with this id.
    pub(super) fn find(&self, id: &R::Id) -> Option<R> {
        self.with(|table| table.rows.get(id).cloned())
    }

    /// All rows, in no order.
    pub(super) fn all(&self) -> Vec<R> {
        self.with(|table| table.rows.values().cloned().collect())
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.with(|table| table.rows.is_empty())
    }

    fn with<T>(&self, look: impl FnOnce(&Table<R>) -> T) -> T {
        let mut table = lock(&self.table);
        if !table.follow() {
            self.lost.notify_one();
        }
        look(&table)
    }
}

impl<R: Row> Drop for Kept<R> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Holds no store open: it ends with the service, but not at the same moment.
async fn read_again<R: Row>(store: Weak<dyn Store>, table: Arc<Mutex<Table<R>>>, lost: Arc<Notify>) {
    loop {
        lost.notified().await;
        let Some(store) = store.upgrade() else { return };
        match Table::load(&*store).await {
            Ok(fresh) => *lock(&table) = fresh,
            Err(error) => {
                tracing::warn!(%error, "tokens and users could not be read; those that were known hold on")
            }
        }
    }
}

fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
