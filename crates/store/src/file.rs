//! A file that somebody else writes: APISIX's standalone mode, and any other document that [`usher_model::document`] reads.
//!
//! It is looked at once a second. What it holds comes into force as one change, with nothing in between; a file that can't be used leaves the
//! last good one in force and says why. Usher's own keys live in memory beside it.

mod kept;
mod look;

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use usher_model::document::{self, Format};
use usher_model::kind::PREFIX;

use crate::memory::Memory;
use crate::{
    Capabilities, Committed, Description, Entry, Health, Listing, Revision, Store, StoreError, Transaction,
    Watch, Write,
};
use look::{Look, Seen};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Which file, and how it is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file.
    pub path: PathBuf,
    /// Its syntax.
    pub format: Format,
    /// Only APISIX's own form is taken, whose YAML ends with `#END`. Else our own and ADC's are read too.
    pub apisix_only: bool,
    /// The folder that a copy of the last good file is kept in, for a start with a bad one; `None` keeps none.
    pub keep: Option<PathBuf>,
}

impl Options {
    /// A file in any form that is read, its syntax by its name, without a copy.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { format: Format::of(&path), path, apisix_only: false, keep: None }
    }
}

/// The store.
#[derive(Debug)]
pub struct File {
    held: Arc<Held>,
    stop: Option<Sender<()>>,
    watcher: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Held {
    options: Options,
    /// The file's objects and Usher's own keys.
    memory: Memory,
    trouble: Mutex<Option<Trouble>>,
}

/// What is wrong with the file.
#[derive(Clone, Debug)]
struct Trouble {
    reason: String,
    since_unix_ms: u64,
}

impl File {
    /// Reads the file and goes on looking at it. Blocks. Where it can't be used, the copy of the last good one is served, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Folder`] with the file, the line and what is wrong there, where no good copy lies in the folder for it.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let held = Held { options, memory: Memory::new(), trouble: Mutex::new(None) };
        let mut look = Look::default();
        if let Err(reason) = held.look(&mut look) {
            let place = held.options.path.clone();
            let Some(text) = kept::read(&held.options) else {
                return Err(StoreError::Folder { place, reason });
            };
            held.take(&text).map_err(|kept| StoreError::Folder {
                reason: format!("{reason}; the copy of the last good one can't be used either: {kept}"),
                place,
            })?;
            held.say(Some(reason));
        }
        let held = Arc::new(held);
        let (stop, stopped) = channel();
        let watched = Arc::clone(&held);
        let watcher = std::thread::Builder::new()
            .name("store-file".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    let outcome = watched.look(&mut look);
                    watched.say(outcome.err());
                }
            })
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { held, stop: Some(stop), watcher: Mutex::new(Some(watcher)) })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.stop = None;
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watcher) = watcher
            && watcher.join().is_err()
        {
            tracing::error!("the thread that looks at the file had panicked");
        }
    }
}

impl Held {
    /// Looks at the file, and takes it over where it is new and good.
    ///
    /// # Errors
    /// Why it can't be used, as long as that is so.
    fn look(&self, look: &mut Look) -> Result<(), String> {
        match look.at(&self.options)? {
            Seen::Same => Ok(()),
            Seen::New(text) => {
                let taken = self.take(&text);
                look.judged(taken.as_ref().err());
                taken?;
                if let Err(error) = kept::write(&self.options, &text) {
                    tracing::warn!(%error, "could not keep a copy of the file");
                }
                Ok(())
            }
        }
    }

    /// Brings a text into force, as one change.
    fn take(&self, text: &str) -> Result<(), String> {
        let lookup = |name: &str| std::env::var(name).ok();
        let read =
            document::read_with(text, self.options.format, &lookup).map_err(|error| error.to_string())?;
        for warning in &read.warnings {
            tracing::warn!(file = %self.options.path.display(), "{warning}");
        }
        let transaction = look::difference(&self.memory, read.objects)?;
        if transaction.writes.is_empty() {
            return Ok(());
        }
        let changes = transaction.writes.len();
        let committed = self.memory.commit(transaction).now_or_never();
        let committed = committed.unwrap_or(Err(StoreError::Busy)).map_err(|error| error.to_string())?;
        tracing::info!(
            file = %self.options.path.display(),
            revision = committed.revision,
            changes,
            "the file was taken over"
        );
        Ok(())
    }

    /// Keeps what is wrong, and says it once.
    fn say(&self, reason: Option<String>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*trouble, reason) {
            (None, None) => {}
            (Some(_), None) => {
                tracing::info!(file = %self.options.path.display(), "the file is good again");
                *trouble = None;
            }
            (Some(known), Some(reason)) if known.reason == reason => {}
            (known, Some(reason)) => {
                tracing::error!(file = %self.options.path.display(), %reason, "the file can't be used, its last good version serves");
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
                let since_unix_ms = known.as_ref().map_or(now, |known| known.since_unix_ms);
                *trouble = Some(Trouble { reason, since_unix_ms });
            }
        }
    }
}

impl Store for File {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.held.memory.get(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.held.memory.list(prefix)
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.held.memory.list_page(prefix, after, limit, reverse)
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        let resource = transaction.writes.iter().find_map(|write| {
            let (Write::Put { key, .. } | Write::Delete { key }) = write;
            key.starts_with(PREFIX).then_some(key)
        });
        match resource {
            Some(key) => {
                let file = self.held.options.path.display();
                ready(Err(StoreError::ReadOnly(format!("{key} comes from {file}; change that file")))).boxed()
            }
            None => self.held.memory.commit(transaction),
        }
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.held.memory.watch(prefix, from)
    }

    fn revision(&self) -> Revision {
        self.held.memory.revision()
    }

    fn describe(&self) -> Description {
        Description { kind: "file", place: Some(self.held.options.path.clone()), ..Description::default() }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { writable: false, ..Capabilities::OWN }
    }

    fn health(&self) -> Health {
        let trouble = self.held.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match trouble {
            Some(Trouble { reason, since_unix_ms }) => Health {
                away: Some(format!("{}: {reason}", self.held.options.path.display())),
                away_since_unix_ms: Some(since_unix_ms),
                ..Health::default()
            },
            None => Health::default(),
        }
    }
}
