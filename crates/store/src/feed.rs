//! The newest transactions, kept for whoever watches.
//!
//! A watcher reads at its own pace from a bounded ring: it never holds up a writer, and one that falls too far behind is told to list anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::{Batch, Entry, Revision};

/// Transactions kept at most.
const MOST_BATCHES: usize = 4096;
/// Bytes of keys and values kept at most.
const MOST_BYTES: usize = 16 << 20;

/// The ring that a store publishes to.
#[derive(Debug)]
pub(crate) struct Feed {
    ring: Arc<Mutex<Ring>>,
    newest: watch::Sender<Revision>,
}

#[derive(Debug, Default)]
struct Ring {
    batches: VecDeque<(Arc<Batch>, usize)>,
    bytes: usize,
    /// The oldest revision that is certainly kept, or the next one.
    floor: Revision,
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// A feed of a store that is at `revision`.
    pub(crate) fn new(revision: Revision) -> Self {
        let ring = Ring { floor: revision + 1, ..Ring::default() };
        Self { ring: Arc::new(Mutex::new(ring)), newest: watch::Sender::new(revision) }
    }

    pub(crate) fn newest(&self) -> Revision {
        *self.newest.borrow()
    }

    pub(crate) fn publish(&self, batch: Batch) {
        let revision = batch.revision;
        let size = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.value.len());
        let bytes = batch
            .events
            .iter()
            .map(|event| 64 + event.key.len() + size(&event.before) + size(&event.after))
            .sum();
        {
            let mut ring = lock(&self.ring);
            ring.bytes += bytes;
            ring.batches.push_back((Arc::new(batch), bytes));
            while ring.batches.len() > 1 && (ring.batches.len() > MOST_BATCHES || ring.bytes > MOST_BYTES) {
                if let Some((dropped, bytes)) = ring.batches.pop_front() {
                    ring.bytes -= bytes;
                    ring.floor = dropped.revision + 1;
                }
            }
        }
        self.newest.send_replace(revision);
    }

    /// Forgets everything: what happened up to `revision` isn't known transaction by transaction.
    pub(crate) fn restart(&self, revision: Revision) {
        *lock(&self.ring) = Ring { floor: revision + 1, ..Ring::default() };
        self.newest.send_replace(revision);
    }

    pub(crate) fn watch(&self, prefix: &str, from: Revision) -> Watch {
        Watch {
            ring: Arc::clone(&self.ring),
            newest: self.newest.subscribe(),
            prefix: prefix.into(),
            next: from.max(1),
        }
    }
}

/// Why a watch ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The wanted revisions aren't kept any more: list anew and watch from there.
    #[error("changes before revision {oldest} are not kept any more")]
    Compacted {
        /// The oldest revision that can be watched from.
        oldest: Revision,
    },
    /// The store is gone.
    #[error("the store was closed")]
    Closed,
}

/// Sees every transaction from a revision on.
#[derive(Debug)]
pub struct Watch {
    ring: Arc<Mutex<Ring>>,
    newest: watch::Receiver<Revision>,
    prefix: Box<str>,
    next: Revision,
}

impl Watch {
    /// The next transaction that touches the prefix; other keys are left out of it. May be dropped while it waits and called again.
    ///
    /// # Errors
    /// [`WatchError`].
    pub async fn next(&mut self) -> Result<Batch, WatchError> {
        loop {
            self.newest.borrow_and_update();
            if let Some(batch) = self.take()? {
                return Ok(batch);
            }
            self.newest.changed().await.map_err(|_| WatchError::Closed)?;
        }
    }

    fn take(&mut self) -> Result<Option<Batch>, WatchError> {
        loop {
            let batch = {
                let ring = lock(&self.ring);
                if self.next < ring.floor {
                    return Err(WatchError::Compacted { oldest: ring.floor });
                }
                // Revisions in the ring have no gaps, so the place is known.
                let at = usize::try_from(self.next - ring.floor).unwrap_or(usize::MAX);
                match ring.batches.get(at) {
                    Some((batch, _)) => Arc::clone(batch),
                    None => return Ok(None),
                }
            };
            self.next = batch.revision + 1;
            if batch.events.iter().all(|event| event.key.starts_with(&*self.prefix)) {
                return Ok(Some(Arc::unwrap_or_clone(batch)));
            }
            let events: Vec<_> =
                batch.events.iter().filter(|event| event.key.starts_with(&*self.prefix)).cloned().collect();
            if !events.is_empty() {
                return Ok(Some(Batch { revision: batch.revision, events }));
            }
        }
    }
}
