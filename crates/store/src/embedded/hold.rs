//! What only one process may have of a folder: its lock, the open file and the writer. It can be let go of and taken back, so that another process opens
//! the same folder while this one still answers from what it knows.

use std::any::Any;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use futures_util::future::{BoxFuture, FutureExt as _};

use super::database::{Database, Until};
use super::folder::{self, Folder};
use super::history::History;
use super::leases::Leases;
use super::trouble::Trouble;
use super::writer::{Job, Writer};
use super::{Clock, QUEUE, recover};
use crate::StoreError;
use crate::feed::Feed;

/// What stays while the folder is another process's.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) folder: Folder,
    pub(super) database: Arc<Database>,
    pub(super) feed: Arc<Feed>,
    pub(super) trouble: Arc<Trouble>,
    pub(super) clock: Clock,
    pub(super) least_fold_bytes: u64,
}

/// What doesn't.
#[derive(Clone, Default)]
pub(super) struct Hold(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    queue: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
    lock: Option<Box<dyn Any + Send + Sync>>,
}

/// What writes hear while another process has the folder.
pub(super) fn released() -> StoreError {
    StoreError::Unavailable("another process takes it over; try again in a moment".to_owned())
}

/// Runs what blocks away from the runtime's threads.
pub(super) fn aside(
    work: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
) -> BoxFuture<'static, Result<(), StoreError>> {
    async move {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
    }
    .boxed()
}

impl Hold {
    fn get(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where transactions wait for the writer; `None` while there is none.
    pub(super) fn queue(&self) -> Option<SyncSender<Job>> {
        self.get().queue.clone()
    }

    /// Ends the writer, behind everything that waits for it.
    pub(super) fn end(&self) {
        let writer = {
            let mut held = self.get();
            held.queue = None;
            held.writer.take()
        };
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

impl Parts {
    /// Starts the writer.
    pub(super) fn begin(
        &self,
        hold: &Hold,
        lock: Box<dyn Any + Send + Sync>,
        history: History,
        leases: Vec<Until>,
    ) -> Result<(), StoreError> {
        if !self.database.is_writable() {
            let reason = "the disk took no writes when it was opened".to_owned();
            self.trouble.begin(&StoreError::Unavailable(reason));
        }
        let (queue, jobs) = sync_channel(QUEUE);
        let mut writer = Writer {
            jobs,
            database: Arc::clone(&self.database),
            feed: Arc::clone(&self.feed),
            history,
            leases: Leases::new(leases),
            clock: Arc::clone(&self.clock),
            trouble: Arc::clone(&self.trouble),
        };
        // What ended while nobody looked is never seen.
        writer.end_leases();
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| folder::failed(&self.folder.path, &error))?;
        *hold.get() = Held { queue: Some(queue), writer: Some(writer), lock: Some(lock) };
        Ok(())
    }

    /// Commits what waits, then closes the file and gives the lock back.
    pub(super) fn release(&self, hold: &Hold) {
        hold.end();
        self.database.close();
        hold.get().lock = None;
    }

    /// Takes the folder back. What another process has written meanwhile is found in it, and whoever watches is told to list anew.
    pub(super) fn resume(&self, hold: &Hold) -> Result<(), StoreError> {
        if hold.queue().is_some() {
            return Ok(());
        }
        let lock = self.folder.lock()?;
        let opened = recover::open(&self.folder, self.least_fold_bytes)?;
        self.database.replace(opened.database);
        if opened.found.revision != self.feed.newest() {
            self.feed.restart(opened.found.revision);
        }
        self.begin(hold, lock, opened.history, opened.found.leases)
    }
}
