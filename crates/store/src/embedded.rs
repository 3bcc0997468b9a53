//! The embedded store: a redb database, with a change log and snapshots beside it from which a damaged file is brought back.
//!
//! One writer thread owns every commit. A commit is durable (two-phase, synced) before it is acknowledged; its record is written to the
//! change log before that too, and synced within a second: the log matters only where the database file is damaged.

mod database;
mod folder;
mod history;
mod recover;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use tokio::sync::oneshot;

use crate::feed::Feed;
use crate::{
    Committed, Description, Entry, Listing, Recovered, Revision, Store, StoreError, Transaction, Watch,
};
use database::Database;
use writer::Job;

/// Transactions that may wait for the writer.
const QUEUE: usize = 1024;

/// The store.
pub struct Embedded {
    folder: PathBuf,
    database: Arc<Database>,
    feed: Arc<Feed>,
    recovered: Option<Recovered>,
    queue: Option<SyncSender<Job>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held as long as the store is open.
    _lock: std::fs::File,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded")
            .field("folder", &self.folder)
            .field("revision", &self.feed.newest())
            .finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store of a folder, and makes it where there is none. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Damaged`] where nothing is left to bring the data back from, or [`StoreError::Folder`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        folder::make(folder)?;
        let lock = folder::lock(folder)?;
        folder::remove_unfinished(folder);
        let opened = recover::open(folder)?;
        if let Some(recovered) = &opened.recovered {
            tracing::error!(
                damaged = %recovered.damaged.display(),
                reason = %recovered.reason,
                snapshot = %recovered.snapshot.as_ref().map_or_else(|| "the change log alone".to_owned(), |path| path.display().to_string()),
                revision = recovered.revision,
                "the data file was damaged; the last good state was taken instead"
            );
        }
        let database = Arc::new(opened.database);
        let feed = Arc::new(Feed::new(opened.revision));
        let (queue, jobs) = sync_channel(QUEUE);
        let writer = writer::Writer {
            jobs,
            database: Arc::clone(&database),
            feed: Arc::clone(&feed),
            history: opened.history,
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| folder::failed(folder, &error))?;
        Ok(Self {
            folder: folder.to_owned(),
            database,
            feed,
            recovered: opened.recovered,
            queue: Some(queue),
            writer: Mutex::new(Some(writer)),
            _lock: lock,
        })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // The writer ends once its queue is closed and empty.
        self.queue = None;
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

impl Store for Embedded {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        ready(self.database.get(key)).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, StoreError>> {
        ready(self.database.page(prefix, None, usize::MAX, false)).boxed()
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        ready(self.database.page(prefix, after, limit, reverse)).boxed()
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        if let Err(error) = transaction.check_size() {
            return ready(Err(error)).boxed();
        }
        let gone = || StoreError::Unavailable("its writer has stopped; restart Usher".to_owned());
        let Some(queue) = &self.queue else { return ready(Err(gone())).boxed() };
        let (answer, answered) = oneshot::channel();
        match queue.try_send(Job { transaction, answer }) {
            Ok(()) => async move { answered.await.unwrap_or_else(|_| Err(gone())) }.boxed(),
            Err(TrySendError::Full(_)) => ready(Err(StoreError::Busy)).boxed(),
            Err(TrySendError::Disconnected(_)) => ready(Err(gone())).boxed(),
        }
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.feed.watch(prefix, from)
    }

    fn revision(&self) -> Revision {
        self.feed.newest()
    }

    fn describe(&self) -> Description {
        Description { kind: "embedded", place: Some(self.folder.clone()), recovered: self.recovered.clone() }
    }
}
