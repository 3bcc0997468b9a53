//! Where resources are kept: one trait, and the kinds that implement it.
//!
//! A store is a sorted map of keys and values with one revision for the whole of it. A transaction compares and writes several keys at once;
//! a watch sees every committed transaction from a revision on. One conformance suite runs against every kind.
//!
//! What it is not: it decides nothing about a change, such as who may or what it risks.

pub mod apisix;
pub mod archive;
mod before;
mod cut;
pub mod embedded;
pub mod etcd;
mod feed;
pub mod file;
pub mod memory;
pub mod simulated;
mod sorted;
mod transaction;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use before::Before;
pub use cut::{Cut, Dated};
pub use feed::{Watch, WatchError};
pub use transaction::{Compare, Transaction, Write};

/// Counts committed transactions of the whole store, from 1. 0 is an empty store that never changed.
pub type Revision = u64;

/// The most bytes of keys and values that one transaction may write.
pub const MAX_TRANSACTION_BYTES: usize = 64 << 20;

/// One key and what is under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The whole key, such as `/apisix/routes/1`.
    pub key: Arc<str>,
    /// What is under it.
    pub value: Bytes,
    /// The revision that made it.
    pub created: Revision,
    /// The revision that last changed it.
    pub modified: Revision,
}

/// A key that the store deletes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The key.
    pub key: Arc<str>,
    /// The revision that last changed it, so that nobody takes the end of one value for that of another.
    pub modified: Revision,
    /// When it ends, in milliseconds since 1970.
    pub until_unix_ms: u64,
}

/// A committed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its revision.
    pub revision: Revision,
}

/// Entries as they were at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The revision.
    pub revision: Revision,
    /// The entries in byte order of their keys.
    pub entries: Vec<Entry>,
}

/// What one transaction did to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: Arc<str>,
    /// What was there.
    pub before: Option<Entry>,
    /// What is there now; `None` where it was deleted.
    pub after: Option<Entry>,
}

/// Everything one transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its revision.
    pub revision: Revision,
    /// What it did, in its own order.
    pub events: Vec<Event>,
}

/// What a store can do. Whoever needs something that it can't says so to the person, and does what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Several keys are compared and written together or not at all. Where not, the writes of a transaction happen one after another, and a
    /// failure leaves those done that came before it, which [`StoreError::Partial`] tells; any other error says that nothing was written.
    pub atomic: bool,
    /// It takes writes at all; a file that somebody else writes doesn't.
    pub writable: bool,
    /// A watch sees every transaction of every writer. Where not, changes of others are found by looking again from time to time.
    pub watches: bool,
    /// Every revision is the next one, and only this process makes them. Where not, others write too, and revisions have gaps.
    pub alone: bool,
    /// Keys can be given a time to live ([`Write::Put`]).
    pub leases: bool,
    /// The most keys that one transaction writes.
    pub most_writes: usize,
    /// The most bytes of keys and values that one transaction writes.
    pub most_bytes: usize,
    /// The values are read by others, in APISIX's own form: secrets have to be written as those understand them.
    pub shared: bool,
}

impl Capabilities {
    /// Those of a store that belongs to this process: everything.
    pub const OWN: Self = Self {
        atomic: true,
        writable: true,
        watches: true,
        alone: true,
        leases: true,
        most_writes: usize::MAX,
        most_bytes: MAX_TRANSACTION_BYTES,
        shared: false,
    };
}

/// How a store is at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why it can't be reached, if so; reads are served from the last known state then, and writes are refused.
    pub away: Option<String>,
    /// Since when it is away, in milliseconds since 1970.
    pub away_since_unix_ms: Option<u64>,
    /// Why writes fail at the moment although reads are as fresh as ever, such as at a full disk; they work again once that is over.
    pub writes_fail: Option<String>,
    /// Set while a change is held back for a person to confirm, such as the loss of most objects at once.
    pub held: Option<String>,
}

/// What a store says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// `embedded`, `memory`, `etcd`, `apisix` or `file`.
    pub kind: &'static str,
    /// The folder or address.
    pub place: Option<PathBuf>,
    /// Set where the data file was damaged and the last good state was taken instead.
    pub recovered: Option<Recovered>,
}

/// How a damaged store was brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Where the damaged file is now.
    pub damaged: PathBuf,
    /// What was wrong with it.
    pub reason: String,
    /// The snapshot taken instead; `None` where the change log reached back to the beginning.
    pub snapshot: Option<PathBuf>,
    /// The last revision that was brought back.
    pub revision: Revision,
}

/// Why a store refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A key isn't as the transaction expected it; nothing was written.
    #[error("{key} was changed meanwhile: expected {expected}, found {found}")]
    Conflict {
        /// The key.
        key: String,
        /// What the transaction expected.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The store can't be used at the moment; the write may be tried again.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The disk has no room; nothing was written. Works again once there is.
    #[error("the disk of the store is full; free some space and try again")]
    Full,
    /// Too many writes wait.
    #[error("too many writes wait for the store; try again in a moment")]
    Busy,
    /// The change may have been written: the store didn't say, and couldn't be asked afterwards.
    #[error("it is not known whether the change is in force: {0}; look at what is there before trying again")]
    Unknown(String),
    /// The store can't write all at once, and stopped in between. Usher's own keys were written, amended to tell of what was done
    /// ([`apisix::Sealing::amend`]).
    #[error("{} objects were written, and the rest was not: {reason}", done.len())]
    Partial {
        /// The keys of the resources that were written.
        done: Vec<String>,
        /// Why it stopped.
        reason: String,
    },
    /// Whoever keeps the store won't take this write; the sentence is its own.
    #[error("the store refused the change: {0}")]
    Refused(String),
    /// The store takes no such writes.
    #[error("the store is not written through Usher: {0}")]
    ReadOnly(String),
    /// The transaction writes more keys than [`Capabilities::most_writes`].
    #[error("the change writes {writes} keys, but at most {limit} fit into one; split it")]
    TooManyWrites {
        /// How many it writes.
        writes: usize,
        /// How many are taken.
        limit: usize,
    },
    /// The transaction is larger than [`Capabilities::most_bytes`].
    #[error("the change has {bytes} bytes, but at most {limit} fit into one; split it")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is taken.
        limit: usize,
    },
    /// Another process uses the folder.
    #[error(
        "{file} is in use by another process; stop that one, or give this one another folder with --data"
    )]
    Locked {
        /// The lock file.
        file: PathBuf,
    },
    /// The data file is damaged and nothing is there to bring it back from.
    #[error(
        "{file} is damaged ({reason}) and no good snapshot or change log lies beside it; put a backup in its place, or move it away to start empty"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder can't be used.
    #[error("{place}: {reason}")]
    Folder {
        /// The file or folder.
        place: PathBuf,
        /// What happened.
        reason: String,
    },
}

/// A store.
pub trait Store: Send + Sync + 'static {
    /// What is under a key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// Everything whose key begins with `prefix`, as of one revision. A watch from the next revision on misses nothing.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, StoreError>>;

    /// At most `limit` of what [`Store::list`] gives, newest key first where `reverse`, beginning behind `after`.
    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>>;

    /// The keys that end by themselves, as far as the store can say so: a backup keeps their ends, and without them they would stay for ever.
    fn leases(&self) -> BoxFuture<'_, Result<Vec<Lease>, StoreError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Those of [`Store::leases`] that are of these keys.
    fn leases_of<'a>(&'a self, keys: &'a [Arc<str>]) -> BoxFuture<'a, Result<Vec<Lease>, StoreError>> {
        Box::pin(async move {
            let mut leases = self.leases().await?;
            leases.retain(|lease| keys.contains(&lease.key));
            Ok(leases)
        })
    }

    /// Everything below these prefixes, which stand in byte order, page by page: however much that is, little of it is in memory at a time where
    /// the store keeps it elsewhere. A cut that isn't read to its end within a quarter of an hour may be given up.
    fn cut(&self, below: &'static [&'static str]) -> BoxFuture<'_, Result<Cut, StoreError>> {
        Box::pin(cut::whole(self, below))
    }

    /// Compares and writes, all or nothing. When it returns well, the change is durable and every later read sees it.
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>>;

    /// Every transaction from revision `from` on that touches a key beginning with `prefix`. Revisions may have gaps; one that goes back says
    /// that the store itself was taken back, and the batch holds what differs. Where resources and Usher's own keys are watched apart
    /// ([`etcd`]), a prefix that holds both sees the resources, and batches without events at other revisions.
    fn watch(&self, prefix: &str, from: Revision) -> Watch;

    /// The newest revision that reads and watches of this process see.
    fn revision(&self) -> Revision;

    /// What it says of itself.
    fn describe(&self) -> Description;

    /// What it can do.
    fn capabilities(&self) -> Capabilities {
        Capabilities::OWN
    }

    /// How it is at the moment.
    fn health(&self) -> Health {
        Health::default()
    }

    /// Lets go of what only one process may have, so that another one can open the same place: what was asked to be written is written first. Until
    /// [`Store::resume`], writes are refused and reads may be. Nothing to do where several processes may share the place.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] where nobody else could take it over, such as a store in memory.
    fn release(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Takes back what was released, with whatever was written meanwhile. Nothing to do where nothing was.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while another process has it; those of opening it.
    fn resume(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Confirms what [`Health::held`] speaks of; it comes into force within some seconds. Nothing happens where nothing is held.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn accept(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
