//! The head: one key that every commit of an Usher compares and moves on, so that whatever was checked still holds when it is written.
//!
//! A store need not be able to compare its own revision for that. The head counts what is in the history, and holds the newest link of the
//! audit's chain. What other programs write to the same store doesn't move it: what they could spoil is compared key by key.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use usher_store::{Compare, StoreError, Transaction};

use super::audit::Link;
use super::{Service, ServiceError, encoded, journal};

/// Where the head is kept.
pub(super) const KEY: &str = "/usher/head";

/// How long is waited for what somebody else has just written to become visible here.
const VISIBLE_WITHIN: Duration = Duration::from_secs(1);

/// How far the history and the audit have come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The number of the newest entry of the history.
    pub(super) sequence: u64,
    /// The newest record of the audit.
    #[serde(default)]
    pub(super) audit: Link,
    /// The revision that last moved it; `None` where nobody has yet.
    #[serde(skip)]
    pub(super) seen: Option<u64>,
}

impl Head {
    /// A transaction that commits only where the head is still where it was seen.
    pub(super) fn begin(&self) -> Transaction {
        Transaction::default().expect(KEY, self.seen.map_or(Compare::Absent, Compare::Modified))
    }

    /// The same transaction with the head moved on.
    pub(super) fn put(&self, transaction: Transaction) -> Result<Transaction, ServiceError> {
        Ok(transaction.put(KEY, encoded(self)?))
    }
}

impl Service {
    /// The head as it is now. In a store of an older version, which had none, the history goes on behind its last entry.
    pub(super) async fn head(&self) -> Result<Head, ServiceError> {
        if let Some(entry) = self.store().get(KEY).await? {
            let head: Head = serde_json::from_slice(&entry.value).map_err(|_| {
                ServiceError::Damaged(format!(
                    "what is stored under {KEY} can't be read: put a backup in its place"
                ))
            })?;
            return Ok(Head { seen: Some(entry.modified), ..head });
        }
        let last = self.store().list_page(journal::PREFIX, None, 1, true).await?.entries;
        let sequence = last.first().and_then(|entry| journal::sequence_of(&entry.key)).unwrap_or_default();
        Ok(Head { sequence, ..Head::default() })
    }

    /// Waits until everything that was written before the head was moved is visible here: an index that lags behind knows of too little.
    pub(super) async fn up_to(&self, head: &Head) -> Result<(), ServiceError> {
        match head.seen {
            Some(seen) if seen > self.revision() && !self.shows(KEY, seen).await => {
                Err(StoreError::Unavailable("it lags behind its own newest change".to_owned()).into())
            }
            _ => Ok(()),
        }
    }

    /// Waits a moment for what came in between, so that the next try sees it. `base` is the revision that the failed one was checked at.
    pub(super) async fn let_others_in(&self, conflict: &str, base: u64) {
        self.shows(conflict, base + 1).await;
    }

    /// Whether a write of `key` at revision `from` or a later one becomes visible in time.
    async fn shows(&self, key: &str, from: u64) -> bool {
        let mut watch = self.store().watch(key, from);
        !matches!(
            tokio::time::timeout(VISIBLE_WITHIN, watch.next()).await,
            Err(_) | Ok(Err(usher_store::WatchError::Closed))
        )
    }
}
