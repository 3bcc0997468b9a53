//! Where resources are kept: one trait, and the kinds that implement it.
//!
//! A store is a sorted map of keys and values with one revision for the whole of it. A transaction compares and writes several keys at once;
//! a watch sees every committed transaction from a revision on. One conformance suite runs against every kind.

pub mod embedded;
mod feed;
pub mod memory;
mod transaction;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

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

/// What a store says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// `embedded` or `memory`.
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
    /// The transaction is larger than [`MAX_TRANSACTION_BYTES`].
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

    /// Everything whose key begins with `prefix`, as of one revision.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, StoreError>>;

    /// At most `limit` of what [`Store::list`] gives, newest key first where `reverse`, beginning behind `after`.
    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>>;

    /// Compares and writes, all or nothing. When it returns well, the change is durable and every later read sees it.
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>>;

    /// Every transaction from revision `from` on that touches a key beginning with `prefix`.
    fn watch(&self, prefix: &str, from: Revision) -> Watch;

    /// The newest revision.
    fn revision(&self) -> Revision;

    /// What it says of itself.
    fn describe(&self) -> Description;
}
