//! Everything of a store as of one moment, page by page: what a backup is made of, however large the store is.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt as _, once};

use crate::{Entry, Lease, Listing, Revision, Store, StoreError};

/// How often a store that lists its parts apart is asked for all of them at the same revision.
const TRIES: usize = 5;

/// An entry, and when the store deletes it, in milliseconds since 1970; `None` where it stays.
pub type Dated = (Entry, Option<u64>);

/// Everything below some prefixes.
pub struct Cut {
    /// The revision that it shows.
    pub revision: Revision,
    /// Whether all of it is of that one revision; false where the store can't do that, or changed too fast.
    pub one_revision: bool,
    /// The entries in the byte order of their keys, some at a time. Nothing comes behind an error.
    pub pages: BoxStream<'static, Result<Vec<Dated>, StoreError>>,
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut")
            .field("revision", &self.revision)
            .field("one_revision", &self.one_revision)
            .finish_non_exhaustive()
    }
}

/// Everything in one page: for stores that have it in memory anyway, where an entry is no more than a pointer to what is there.
pub(crate) async fn whole(
    store: &(impl Store + ?Sized),
    below: &'static [&'static str],
) -> Result<Cut, StoreError> {
    // Twice, so that also those are known that were given an end shortly before the list, or lost it shortly behind.
    let mut leases = store.leases().await?;
    let (listing, one_revision) = list(store, below).await?;
    leases.extend(store.leases().await?);
    let ends: HashMap<(Arc<str>, Revision), u64> = leases
        .into_iter()
        .map(|Lease { key, modified, until_unix_ms }| ((key, modified), until_unix_ms))
        .collect();
    let dated = |entry: Entry| {
        let until_unix_ms = ends.get(&(Arc::clone(&entry.key), entry.modified)).copied();
        (entry, until_unix_ms)
    };
    let entries: Vec<Dated> = listing.entries.into_iter().map(dated).collect();
    let pages = once(std::future::ready(Ok(entries))).boxed();
    Ok(Cut { revision: listing.revision, one_revision, pages })
}

/// Everything that is wanted, and whether it is of one revision.
async fn list(
    store: &(impl Store + ?Sized),
    below: &'static [&'static str],
) -> Result<(Listing, bool), StoreError> {
    if store.capabilities().alone {
        let mut listing = store.list("/").await?;
        listing.entries.retain(|entry| below.iter().any(|prefix| entry.key.starts_with(prefix)));
        return Ok((listing, true));
    }
    let mut tries = 1;
    loop {
        let (mut whole, mut agree) = (Listing::default(), true);
        for (at, prefix) in below.iter().enumerate() {
            let part = store.list(prefix).await?;
            agree &= at == 0 || part.revision == whole.revision;
            whole.revision = whole.revision.max(part.revision);
            whole.entries.extend(part.entries);
        }
        if agree || tries == TRIES {
            return Ok((whole, agree));
        }
        tries += 1;
    }
}
