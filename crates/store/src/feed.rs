//! The newest transactions, kept for whoever watches.
//!
//! A watcher reads at its own pace from a bounded ring: it never holds up a writer, and one that falls too far behind is told to list anew. A
//! transaction that is larger than the whole ring stays only until those have seen it who watched when it came.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use crate::{Batch, Entry, Event, Revision};

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

#[derive(Debug)]
struct Kept {
    batch: Arc<Batch>,
    bytes: usize,
    /// The store went back to it.
    back: bool,
    /// Of one that is larger than the ring: whom it is kept for.
    waited_for: Vec<Reader>,
}

/// How far a watch has come: the place of its next batch. Written under the ring's lock.
type Reader = Weak<AtomicU64>;

#[derive(Debug)]
struct Ring {
    batches: VecDeque<Kept>,
    /// Everybody who watches, and what for.
    readers: Vec<(Reader, Arc<str>)>,
    bytes: usize,
    /// The place of the oldest batch that is kept, or of the next one; places count up even where revisions don't.
    first: u64,
    /// The place behind the last batch whose revision went back: from there on, revisions only grow.
    grows_from: u64,
    /// From which revision on everything is certainly kept.
    floor: Revision,
    newest: Revision,
}

impl Ring {
    fn place(&self, at: u64) -> usize {
        usize::try_from(at.saturating_sub(self.first)).unwrap_or(usize::MAX)
    }

    fn end(&self) -> u64 {
        self.first + self.batches.len() as u64
    }

    /// Where a watch begins that wants everything from a revision on; `None` where that isn't kept, or was never reached since the store
    /// went back.
    fn begin(&self, from: Revision) -> Option<u64> {
        let ahead = self.grows_from > 1 && from > self.newest + 1;
        if from < self.floor || ahead {
            return None;
        }
        let skipped = self.place(self.grows_from.max(self.first));
        let (mut low, mut high) = (skipped.min(self.batches.len()), self.batches.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.batches.get(middle).is_some_and(|kept| kept.batch.revision < from) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(self.first + low as u64)
    }

    fn push(&mut self, batch: Batch) {
        let size = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.value.len());
        let of_event = |event: &Event| 64 + event.key.len() + size(&event.before) + size(&event.after);
        let bytes = batch.events.iter().map(of_event).sum();
        self.bytes += bytes;
        let back = batch.revision <= self.newest;
        if back {
            self.grows_from = self.end() + 1;
            self.floor = batch.revision + 1;
        }
        self.newest = batch.revision;
        let waited_for = if bytes > MOST_BYTES { self.concerned(&batch) } else { Vec::new() };
        self.batches.push_back(Kept { batch: Arc::new(batch), bytes, back, waited_for });
        while self.batches.len() > 1 && (self.batches.len() > MOST_BATCHES || self.bytes > MOST_BYTES) {
            self.drop_oldest();
        }
        self.let_go();
    }

    fn drop_oldest(&mut self) {
        if let Some(dropped) = self.batches.pop_front() {
            self.bytes -= dropped.bytes;
            if self.first >= self.grows_from {
                self.floor = self.floor.max(dropped.batch.revision + 1);
            }
            self.first += 1;
        }
    }

    /// Those who see something of a batch.
    fn concerned(&mut self, batch: &Batch) -> Vec<Reader> {
        self.readers.retain(|(reader, _)| reader.strong_count() > 0);
        let sees = |prefix: &str| batch.events.iter().any(|event| event.key.starts_with(prefix));
        let concerned = self.readers.iter().filter(|(_, prefix)| sees(prefix));
        concerned.map(|(reader, _)| Weak::clone(reader)).collect()
    }

    /// Drops a batch that is larger than the ring, once nobody is left whom it is kept for.
    fn let_go(&mut self) {
        let Some(last) =
            self.batches.back().filter(|last| self.batches.len() == 1 && last.bytes > MOST_BYTES)
        else {
            return;
        };
        let place = self.first;
        let at = |reader: &Reader| reader.upgrade().map(|reader| reader.load(Ordering::Relaxed));
        if last.waited_for.iter().any(|reader| at(reader).is_some_and(|next| next <= place)) {
            return;
        }
        // Whoever sees nothing of it has missed nothing.
        for (reader, _) in &self.readers {
            if let Some(reader) = reader.upgrade()
                && reader.load(Ordering::Relaxed) == place
            {
                reader.store(place + 1, Ordering::Relaxed);
            }
        }
        self.drop_oldest();
    }
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// A feed of a store that is at `revision`.
    pub(crate) fn new(revision: Revision) -> Self {
        let ring = Ring {
            batches: VecDeque::new(),
            readers: Vec::new(),
            bytes: 0,
            first: 1,
            grows_from: 1,
            floor: revision + 1,
            newest: revision,
        };
        Self { ring: Arc::new(Mutex::new(ring)), newest: watch::Sender::new(revision) }
    }

    pub(crate) fn newest(&self) -> Revision {
        *self.newest.borrow()
    }

    /// Tells watchers of a transaction. One whose revision isn't behind the newest says that the store was taken back.
    pub(crate) fn publish(&self, batch: Batch) {
        let revision = batch.revision;
        lock(&self.ring).push(batch);
        self.newest.send_replace(revision);
    }

    /// Says that nothing of interest happened up to a later revision.
    pub(crate) fn advance(&self, revision: Revision) {
        let mut ring = lock(&self.ring);
        if revision > ring.newest {
            ring.newest = revision;
            self.newest.send_replace(revision);
        }
    }

    /// Forgets everything: what happened up to `revision` isn't known transaction by transaction.
    pub(crate) fn restart(&self, revision: Revision) {
        let mut ring = lock(&self.ring);
        // The place of the batch that nobody saw is left out.
        let first = ring.end() + 1;
        *ring = Ring {
            batches: VecDeque::new(),
            readers: std::mem::take(&mut ring.readers),
            bytes: 0,
            first,
            grows_from: ring.grows_from,
            floor: revision + 1,
            newest: revision,
        };
        self.newest.send_replace(revision);
    }

    /// Says when the newest revision changes.
    pub(crate) fn changes(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }

    /// Waits until `revision` was published or passed.
    pub(crate) async fn reached(&self, revision: Revision) {
        // The sender is ours, so the channel stays open.
        let _ = self.newest.subscribe().wait_for(|newest| *newest >= revision).await;
    }

    pub(crate) fn watch(&self, prefix: &str, from: Revision) -> Watch {
        let from = from.max(1);
        let prefix: Arc<str> = prefix.into();
        let mut ring = lock(&self.ring);
        // Places begin with 1, so that 0 is one that isn't kept.
        let place = ring.begin(from).unwrap_or(0);
        let next = Arc::new(AtomicU64::new(place));
        ring.readers.retain(|(reader, _)| reader.strong_count() > 0);
        ring.readers.push((Arc::downgrade(&next), Arc::clone(&prefix)));
        let at = ring.place(place);
        if let Some(kept) = ring.batches.get_mut(at).filter(|kept| kept.bytes > MOST_BYTES) {
            kept.waited_for.push(Arc::downgrade(&next));
        }
        drop(ring);
        Watch { next, from, ring: Arc::clone(&self.ring), newest: self.newest.subscribe(), prefix }
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
    prefix: Arc<str>,
    /// The place of the next batch.
    next: Arc<AtomicU64>,
    /// Earlier revisions are passed over, up to one that went back.
    from: Revision,
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
                let mut ring = lock(&self.ring);
                let next = self.next.load(Ordering::Relaxed);
                if next < ring.first {
                    return Err(WatchError::Compacted { oldest: ring.floor });
                }
                let Some(kept) = ring.batches.get(ring.place(next)) else { return Ok(None) };
                if kept.back {
                    self.from = 0;
                }
                let batch = Arc::clone(&kept.batch);
                self.next.store(next + 1, Ordering::Relaxed);
                ring.let_go();
                batch
            };
            if batch.revision < self.from {
                continue;
            }
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

#[cfg(test)]
mod tests {
    use super::{Feed, WatchError};
    use crate::{Batch, Entry, Event, Revision};
    use futures_util::FutureExt as _;
    use std::sync::Arc;

    fn batch(revision: Revision, key: &str) -> Batch {
        let key: Arc<str> = key.into();
        let after =
            Some(Entry { key: Arc::clone(&key), value: "x".into(), created: revision, modified: revision });
        Batch { revision, events: vec![Event { key, before: None, after }] }
    }

    fn seen(feed: &Feed, prefix: &str, from: Revision) -> Result<Vec<Revision>, WatchError> {
        let mut watch = feed.watch(prefix, from);
        let mut seen = Vec::new();
        while let Some(batch) = watch.next().now_or_never() {
            seen.push(batch?.revision);
        }
        Ok(seen)
    }

    #[test]
    fn revisions_may_have_gaps() {
        let feed = Feed::new(3);
        for revision in [5, 9, 12] {
            feed.publish(batch(revision, "/a/1"));
        }
        feed.advance(20);
        for (from, wanted) in
            [(4, &[5, 9, 12][..]), (5, &[5, 9, 12]), (6, &[9, 12]), (12, &[12]), (13, &[]), (21, &[])]
        {
            assert_eq!(seen(&feed, "/a/", from).unwrap(), wanted, "from {from}");
        }
        assert_eq!(seen(&feed, "/a/", 3), Err(WatchError::Compacted { oldest: 4 }));
        assert_eq!(seen(&feed, "/b/", 4).unwrap(), Vec::<Revision>::new());
        assert_eq!(feed.newest(), 20);
        // A watch may begin with a revision that is yet to come.
        let mut ahead = feed.watch("/a/", 30);
        feed.publish(batch(25, "/a/1"));
        feed.publish(batch(30, "/a/1"));
        assert_eq!(ahead.next().now_or_never().unwrap().unwrap().revision, 30);
    }

    #[test]
    fn a_store_that_went_back_is_followed_there() {
        let feed = Feed::new(0);
        let (mut idle, mut late, mut ahead) = (feed.watch("", 1), feed.watch("", 502), feed.watch("", 501));
        feed.publish(batch(500, "/a/1"));
        assert_eq!(idle.next().now_or_never().unwrap().unwrap().revision, 500);
        feed.publish(batch(3, "/a/2"));
        feed.publish(batch(4, "/a/3"));
        for watch in [&mut idle, &mut late, &mut ahead] {
            assert_eq!(watch.next().now_or_never().unwrap().unwrap().revision, 3);
            assert_eq!(watch.next().now_or_never().unwrap().unwrap().revision, 4);
            assert!(watch.next().now_or_never().is_none());
        }
        assert_eq!(feed.newest(), 4);
        assert_eq!(seen(&feed, "", 4).unwrap(), [4]);
        // Listed before it went back, or up to where nothing is known: list anew.
        for from in [3, 2, 501] {
            assert_eq!(seen(&feed, "", from), Err(WatchError::Compacted { oldest: 4 }), "from {from}");
        }
    }

    #[test]
    fn after_a_restart_everybody_lists_anew() {
        let feed = Feed::new(0);
        feed.publish(batch(1, "/a/1"));
        let mut watch = feed.watch("", 2);
        feed.restart(2);
        assert_eq!(watch.next().now_or_never().unwrap(), Err(WatchError::Compacted { oldest: 3 }));
        feed.publish(batch(3, "/a/1"));
        assert_eq!(seen(&feed, "", 3).unwrap(), [3]);
    }

    fn is_kept(feed: &Feed) -> bool {
        !super::lock(&feed.ring).batches.is_empty()
    }

    #[test]
    fn what_is_larger_than_the_ring_stays_until_those_who_watched_have_seen_it() {
        let large = |revision: Revision| {
            let mut batch = batch(revision, "/a/1");
            if let Some(after) = &mut batch.events[0].after {
                after.value = vec![0; super::MOST_BYTES].into();
            }
            batch
        };
        let feed = Feed::new(0);
        let (mut one, mut other, mut elsewhere) =
            (feed.watch("/a/", 1), feed.watch("", 1), feed.watch("/b/", 1));
        let gone = feed.watch("/a/", 1);
        feed.publish(batch(1, "/b/1"));
        feed.publish(large(2));
        // What came before it was crowded out, as ever; whoever begins to watch while it is there sees it too.
        assert_eq!(one.next().now_or_never().unwrap(), Err(WatchError::Compacted { oldest: 2 }));
        drop((one, other, elsewhere, gone));
        (one, other, elsewhere) = (feed.watch("/a/", 2), feed.watch("", 3), feed.watch("/b/", 3));
        assert!(is_kept(&feed));
        assert_eq!(one.next().now_or_never().unwrap().unwrap().revision, 2);
        assert!(!is_kept(&feed));
        assert_eq!(seen(&feed, "/a/", 2), Err(WatchError::Compacted { oldest: 3 }));
        // Kept for those who see something of it, and passed by the others without a word.
        feed.publish(large(3));
        assert!(elsewhere.next().now_or_never().is_none());
        assert_eq!(one.next().now_or_never().unwrap().unwrap().revision, 3);
        assert!(is_kept(&feed));
        assert_eq!(other.next().now_or_never().unwrap().unwrap().revision, 3);
        assert!(!is_kept(&feed));
        feed.publish(large(4));
        drop(other);
        assert_eq!(one.next().now_or_never().unwrap().unwrap().revision, 4);
        assert!(!is_kept(&feed));
        feed.publish(batch(5, "/b/1"));
        assert_eq!(elsewhere.next().now_or_never().unwrap().unwrap().revision, 5);
        assert!(one.next().now_or_never().is_none());
    }

    #[test]
    fn what_outgrows_the_ring_is_forgotten_from_its_beginning() {
        let feed = Feed::new(0);
        for revision in 1..=5000 {
            feed.publish(batch(revision * 2, "/a/1"));
        }
        let oldest = (5000 - 4096) * 2 + 1;
        assert_eq!(seen(&feed, "", oldest - 1), Err(WatchError::Compacted { oldest }));
        assert_eq!(seen(&feed, "", oldest).unwrap().len(), 4096);
    }
}
