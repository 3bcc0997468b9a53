//! The embedded store: a redb database, with a change log and snapshots beside it from which a damaged file is brought back.
//!
//! One writer thread owns every commit. A commit is durable (two-phase, synced) before it is acknowledged; its record is written to the
//! change log behind that, and synced within a second: the log matters only where the database file is damaged. Keys that were given a time
//! to live are deleted by the writer, in a transaction of its own.
//!
//! A disk that is full or fails never ends the store: the file is closed, read again and gone on with; reads go on, and so do writes once the
//! disk takes them.

mod database;
pub mod disk;
mod folder;
mod group;
mod history;
mod hold;
mod leases;
mod pages;
mod recover;
pub(crate) mod snapshots;
mod trouble;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use tokio::sync::oneshot;

use crate::feed::Feed;
use crate::{
    Committed, Cut, Description, Entry, Health, Lease, Listing, Recovered, Revision, Store, StoreError,
    Transaction, Watch,
};
use database::Database;
use disk::{Disk, Real};
use folder::Folder;
use hold::{Hold, Parts};
use trouble::Trouble;
use writer::Job;

/// Transactions that may wait for the writer.
const QUEUE: usize = 1024;

/// Tells the time in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a store stands on.
#[derive(Clone)]
pub struct Options {
    /// Where its files are; the operating system's disk.
    pub disk: Arc<dyn Disk>,
    /// What keys with a time to live end by; the clock of the operating system.
    pub clock: Clock,
    /// Bytes from which on a change log may be folded into a snapshot; 1 MiB.
    pub least_fold_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        let clock = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        };
        Self { disk: Arc::new(Real), clock: Arc::new(clock), least_fold_bytes: 1 << 20 }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("disk", &self.disk)
            .field("least_fold_bytes", &self.least_fold_bytes)
            .finish_non_exhaustive()
    }
}

/// The store.
pub struct Embedded {
    parts: Parts,
    recovered: Option<Recovered>,
    hold: Hold,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded")
            .field("folder", &self.parts.folder.path)
            .field("revision", &self.parts.feed.newest())
            .finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store of a folder, and makes it where there is none. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Damaged`] where nothing is left to bring the data back from, [`StoreError::Full`] where a new
    /// one has no room, or [`StoreError::Folder`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_on(folder, Options::default())
    }

    /// The same on another disk, or by another clock.
    ///
    /// # Errors
    /// Those of [`Embedded::open`].
    pub fn open_on(folder: &Path, options: Options) -> Result<Self, StoreError> {
        let folder = Folder::make(options.disk, folder)?;
        let lock = folder.lock()?;
        folder.remove_unfinished();
        let opened = recover::open(&folder, options.least_fold_bytes)?;
        if let Some(recovered) = &opened.recovered {
            tracing::error!(
                damaged = %recovered.damaged.display(),
                reason = %recovered.reason,
                snapshot = %recovered.snapshot.as_ref().map_or_else(|| "the change log alone".to_owned(), |path| path.display().to_string()),
                revision = recovered.revision,
                "the data file was damaged; the last good state was taken instead"
            );
        }
        let parts = Parts {
            folder,
            database: Arc::new(opened.database),
            feed: Arc::new(Feed::new(opened.found.revision)),
            trouble: Arc::new(Trouble::default()),
            clock: options.clock,
            least_fold_bytes: options.least_fold_bytes,
        };
        let hold = Hold::default();
        parts.begin(&hold, lock, opened.history, opened.found.leases)?;
        Ok(Self { parts, recovered: opened.recovered, hold })
    }

    /// Makes the store of a folder that has none, with these entries as of one revision; false where it has one. Blocks.
    pub(crate) fn make(
        folder: &Path,
        options: Options,
        revision: Revision,
        entries: &[Entry],
        leases: &[(Arc<str>, u64)],
    ) -> Result<bool, StoreError> {
        let folder = Folder::make(options.disk, folder)?;
        let _lock = folder.lock()?;
        if recover::is_taken(&folder)? {
            return Ok(false);
        }
        Database::create(&folder, revision, entries, leases)
            .map_err(|fault| recover::file_fault(&folder, fault))?;
        Ok(true)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.hold.end();
    }
}

impl Store for Embedded {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        ready(self.parts.database.get(key)).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, StoreError>> {
        ready(self.parts.database.page(prefix, None, usize::MAX, false)).boxed()
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        ready(self.parts.database.page(prefix, after, limit, reverse)).boxed()
    }

    fn leases(&self) -> BoxFuture<'_, Result<Vec<Lease>, StoreError>> {
        ready(self.parts.database.leases()).boxed()
    }

    fn cut(&self, below: &'static [&'static str]) -> BoxFuture<'_, Result<Cut, StoreError>> {
        let cut = move || -> Result<Cut, StoreError> {
            let cut = self.parts.database.cut()?;
            let (revision, _) = cut.numbers()?;
            Ok(Cut { revision, one_revision: true, pages: pages::pages(cut, below) })
        };
        async move { cut() }.boxed()
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        if let Err(error) = transaction.check_size() {
            return ready(Err(error)).boxed();
        }
        let gone = || StoreError::Unavailable("its writer has stopped; restart Usher".to_owned());
        let Some(queue) = self.hold.queue() else { return ready(Err(hold::released())).boxed() };
        let (answer, answered) = oneshot::channel();
        match queue.try_send(Job { transaction, answer }) {
            Ok(()) => async move { answered.await.unwrap_or_else(|_| Err(gone())) }.boxed(),
            Err(TrySendError::Full(_)) => ready(Err(StoreError::Busy)).boxed(),
            Err(TrySendError::Disconnected(_)) => ready(Err(gone())).boxed(),
        }
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.parts.feed.watch(prefix, from)
    }

    fn revision(&self) -> Revision {
        self.parts.feed.newest()
    }

    fn describe(&self) -> Description {
        Description {
            kind: "embedded",
            place: Some(self.parts.folder.path.clone()),
            recovered: self.recovered.clone(),
        }
    }

    fn health(&self) -> Health {
        self.parts.trouble.health()
    }

    fn release(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        let (parts, hold) = (self.parts.clone(), self.hold.clone());
        hold::aside(move || {
            parts.release(&hold);
            Ok(())
        })
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        let (parts, hold) = (self.parts.clone(), self.hold.clone());
        hold::aside(move || parts.resume(&hold))
    }
}
