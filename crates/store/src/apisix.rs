//! A running APISIX, through its Admin API.
//!
//! What it holds is copied into an embedded store beside Usher's own keys, with every secret sealed, so that reads, watches and revisions are
//! those of that store, and a start works without the far side. A change is written there first and then taken into the copy together with its
//! history. There is neither transaction nor watch on the other side: writes happen one after another, and changes of others are found by
//! looking again.

mod client;
mod list;
mod object;
mod options;
mod order;
mod sync;
mod write;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use usher_model::kind::Key;

use crate::embedded::Embedded;
use crate::{
    Capabilities, Committed, Cut, Description, Entry, Health, Listing, MAX_TRANSACTION_BYTES, Revision,
    Store, StoreError, Transaction, Watch,
};
use client::{Far, Trouble};
use list::Rounds;
use object::Mark;

pub use options::Options;

/// The longest pause between two looks while the far side is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Seals and opens the secrets of an object.
type Turn = Box<dyn Fn(&Key, &mut Value) -> bool + Send + Sync>;

/// Keys of Usher's own with what is about to be written there; `None` deletes.
pub type Own = Vec<(String, Option<Vec<u8>>)>;

/// Makes Usher's own keys tell of a part of a change.
type Amend = Box<dyn Fn(Own, &[String], &str) -> Own + Send + Sync>;

/// What the store is told by those who know more of what it keeps. Secrets are sealed in the copy, while they go over the wire in clear: the far
/// side encrypts them by itself.
pub struct Sealing {
    /// Seals every secret of an object; `false` where one could not be sealed.
    pub seal: Turn,
    /// Opens every sealed text; `false` where one could not be opened.
    pub open: Turn,
    /// What is written of Usher's own where only these resources of a change were written, and why it stopped there.
    pub amend: Amend,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealing")
    }
}

/// The store.
#[derive(Debug)]
pub struct Apisix {
    held: Arc<Held>,
    /// `None` while another process looks.
    looking: SyncMutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Debug)]
struct Held {
    options: Options,
    far: Far,
    sealing: Sealing,
    copy: Embedded,
    /// Whoever changes the copy holds it.
    turn: Mutex<Known>,
    /// Counts what was written by us, so that a look that began before is not taken for news.
    written: AtomicU64,
    health: SyncMutex<Health>,
    /// Set once somebody confirmed that most objects are gone.
    accepted: AtomicBool,
}

/// What is known of the far side beside the copy.
#[derive(Debug, Default)]
struct Known {
    marks: HashMap<Key, Mark>,
    rounds: Rounds,
    /// Whether a change was begun whose outcome isn't known yet.
    unsettled: bool,
}

impl Apisix {
    /// Opens the copy and reads the far side. While that is away, the copy of an earlier run is served.
    ///
    /// # Errors
    /// The folder can't be used; or there is no earlier copy, and the far side is away or refuses the key.
    pub async fn open(options: Options, sealing: Sealing) -> Result<Self, StoreError> {
        if options.is_open_to_the_network() {
            tracing::warn!(
                address = %options.address,
                "the admin key and all secrets go over the network in clear; use apisix+https://"
            );
        }
        if !options.verify {
            tracing::warn!(address = %options.address, "the APISIX doesn't have to prove who it is: tls.verify is off");
        }
        let far = Far::new(&options)?;
        let folder = options.folder.clone();
        let copy = tokio::task::spawn_blocking(move || Embedded::open(&folder))
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))??;
        let held = Held {
            far,
            sealing,
            copy,
            turn: Mutex::default(),
            written: AtomicU64::new(0),
            health: SyncMutex::default(),
            accepted: AtomicBool::new(false),
            options,
        };
        held.turn.lock().await.unsettled = held.copy.get(write::PENDING).await?.is_some();
        let known = held.is_copy_of_it().await?;
        if let Err(trouble) = held.look().await {
            if !known {
                return Err(trouble.into());
            }
            held.is_away(&trouble);
        } else if !known {
            held.remember_address().await?;
        }
        let held = Arc::new(held);
        let opened = Self { held, looking: SyncMutex::default() };
        opened.look_on();
        Ok(opened)
    }

    fn look_on(&self) {
        let looking = AbortOnDropHandle::new(tokio::spawn(go_on_looking(Arc::clone(&self.held))));
        *self.looking.lock().unwrap_or_else(PoisonError::into_inner) = Some(looking);
    }
}

/// Looks again and again; the pauses grow while the far side is away.
async fn go_on_looking(held: Arc<Held>) {
    let mut pause = held.options.every;
    loop {
        tokio::time::sleep(pause).await;
        pause = match held.look().await {
            Ok(()) => held.options.every,
            Err(trouble) => {
                held.is_away(&trouble);
                (pause * 2).min(LONGEST_PAUSE)
            }
        };
    }
}

/// Where the copy says whose it is.
const OWNER: &str = "/usher/far/address";

impl Held {
    async fn is_copy_of_it(&self) -> Result<bool, StoreError> {
        let owner = self.copy.get(OWNER).await?;
        match owner {
            Some(entry) if *entry.value == *self.options.address.as_bytes() => Ok(true),
            Some(entry) => Err(StoreError::Folder {
                place: self.options.folder.clone(),
                reason: format!(
                    "this is the copy of the APISIX at {}, not of {}; name another folder with --data",
                    String::from_utf8_lossy(&entry.value),
                    self.options.address
                ),
            }),
            None => Ok(false),
        }
    }

    async fn remember_address(&self) -> Result<(), StoreError> {
        let address = self.options.address.clone();
        self.copy.commit(Transaction::default().put(OWNER, address)).await.map(drop)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_away(&self, trouble: &Trouble) {
        let sentence = StoreError::from(trouble.clone()).to_string();
        let mut health = self.health();
        if health.away.as_ref() != Some(&sentence) {
            tracing::warn!(reason = %sentence, "the APISIX can't be used, its copy is served");
        }
        if health.away_since_unix_ms.is_none() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            health.away_since_unix_ms = u64::try_from(now.as_millis()).ok();
        }
        health.away = Some(sentence);
    }

    fn is_back(&self) {
        let mut health = self.health();
        if health.away.take().is_some() {
            health.away_since_unix_ms = None;
            tracing::info!(address = %self.options.address, "the APISIX is back");
        }
    }

    fn wrote(&self) {
        self.written.fetch_add(1, Ordering::SeqCst);
    }
}

impl Store for Apisix {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.held.copy.get(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.held.copy.list(prefix)
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.held.copy.list_page(prefix, after, limit, reverse)
    }

    fn cut(&self, below: &'static [&'static str]) -> BoxFuture<'_, Result<Cut, StoreError>> {
        self.held.copy.cut(below)
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        if let Err(error) = transaction.check_size() {
            return ready(Err(error)).boxed();
        }
        let held = Arc::clone(&self.held);
        // Whoever asked may go away in the middle; what was begun is ended all the same.
        let done = tokio::spawn(async move { held.commit(transaction).await });
        async move { done.await.unwrap_or_else(|error| Err(StoreError::Unknown(error.to_string()))) }.boxed()
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.held.copy.watch(prefix, from)
    }

    fn revision(&self) -> Revision {
        self.held.copy.revision()
    }

    fn describe(&self) -> Description {
        let recovered = self.held.copy.describe().recovered;
        Description { kind: "apisix", place: Some(PathBuf::from(&self.held.options.address)), recovered }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            atomic: false,
            writable: true,
            watches: false,
            alone: false,
            leases: false,
            most_writes: usize::MAX,
            most_bytes: MAX_TRANSACTION_BYTES,
            shared: true,
        }
    }

    fn health(&self) -> Health {
        self.held.health().clone()
    }

    fn release(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async {
            // A change that was begun is ended first.
            let _turn = self.held.turn.lock().await;
            drop(self.looking.lock().unwrap_or_else(PoisonError::into_inner).take());
            self.held.copy.release().await
        }
        .boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async {
            self.held.copy.resume().await?;
            self.look_on();
            Ok(())
        }
        .boxed()
    }

    fn accept(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        // Only what is held now is confirmed, and no later loss.
        let is_held = self.held.health().held.is_some();
        self.held.accepted.store(is_held, Ordering::SeqCst);
        async move { self.held.look().await.map_err(StoreError::from) }.boxed()
    }
}
