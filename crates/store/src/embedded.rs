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
mod leases;
mod recover;
pub(crate) mod snapshots;
mod trouble;
mod writer;

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use tokio::sync::oneshot;

use crate::feed::Feed;
use crate::{
    Committed, Description, Entry, Health, Lease, Listing, Recovered, Revision, Store, StoreError,
    Transaction, Watch,
};
use database::Database;
use disk::{Disk, Real};
use folder::Folder;
use leases::Leases;
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
    folder: PathBuf,
    database: Arc<Database>,
    feed: Arc<Feed>,
    recovered: Option<Recovered>,
    trouble: Arc<Trouble>,
    queue: Option<SyncSender<Job>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held as long as the store is open.
    _lock: Box<dyn Any + Send + Sync>,
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
        let path = folder.to_owned();
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
        let database = Arc::new(opened.database);
        let feed = Arc::new(Feed::new(opened.found.revision));
        let trouble = Arc::new(Trouble::default());
        if !database.is_writable() {
            trouble.begin(&StoreError::Unavailable("the disk took no writes when it was opened".to_owned()));
        }
        let (queue, jobs) = sync_channel(QUEUE);
        let mut writer = writer::Writer {
            jobs,
            database: Arc::clone(&database),
            feed: Arc::clone(&feed),
            history: opened.history,
            leases: Leases::new(opened.found.leases),
            clock: options.clock,
            trouble: Arc::clone(&trouble),
        };
        // What ended while nobody looked is never seen.
        writer.end_leases();
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| folder::failed(&path, &error))?;
        Ok(Self {
            folder: path,
            database,
            feed,
            recovered: opened.recovered,
            trouble,
            queue: Some(queue),
            writer: Mutex::new(Some(writer)),
            _lock: lock,
        })
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

    fn leases(&self) -> BoxFuture<'_, Result<Vec<Lease>, StoreError>> {
        ready(self.database.leases()).boxed()
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

    fn health(&self) -> Health {
        self.trouble.health()
    }
}
