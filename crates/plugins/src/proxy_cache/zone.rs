//! One zone: what is kept in it, in memory or on disk, who waits, and how much room is left.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use moka::ops::compute::Op;
use moka::sync::Cache;

use super::disk::{Folder, Stay, Writing};
use super::entry::{Resource, Stored};
use super::flights::Flights;
use super::record::Record;

/// How long requests don't wait for each other after an answer that could not be kept.
const UNKEPT: Duration = Duration::from_secs(5);

type Key = Box<[u8]>;

/// One zone, shared by all workers.
pub(super) struct Zone {
    /// Who is on the way to the upstream.
    pub(super) flights: Arc<Flights>,
    capacity: u64,
    kept: Cache<Key, Arc<Resource>>,
    filling: AtomicU64,
    purges: Arc<AtomicU64>,
    disk: Option<Disk>,
}

/// What a zone on disk has besides.
struct Disk {
    /// `None` where nothing may be written.
    folder: Option<Arc<Folder>>,
    /// Set once what earlier processes left is being read.
    woken: OnceLock<()>,
    complained: AtomicBool,
}

impl Zone {
    /// A zone of so many bytes.
    pub(super) fn in_memory(capacity: u64) -> Self {
        Self::new(capacity, 1, None)
    }

    /// A zone of so many bytes on disk, and of so many in memory for what is known of them.
    pub(super) fn on_disk(capacity: u64, memory: u64, folder: Option<Folder>) -> Self {
        let factor = (capacity / memory.max(1)).max(1);
        let disk =
            Disk { folder: folder.map(Arc::new), woken: OnceLock::new(), complained: AtomicBool::new(false) };
        Self::new(capacity, factor, Some(disk))
    }

    /// `factor`: how much more weighs what lies in memory, so that one capacity bounds both.
    fn new(capacity: u64, factor: u64, disk: Option<Disk>) -> Self {
        let on_disk = disk.is_some();
        let kept = Cache::builder()
            .max_capacity(capacity)
            .weigher(move |key: &Key, resource: &Arc<Resource>| {
                let whole = (key.len().saturating_add(resource.weight())) as u64;
                let in_memory = (key.len().saturating_add(resource.weight_in_memory())) as u64;
                let weight = if on_disk { whole.max(in_memory.saturating_mul(factor)) } else { whole };
                u32::try_from(weight).unwrap_or(u32::MAX)
            })
            .build();
        Self {
            flights: Arc::default(),
            capacity,
            kept,
            filling: AtomicU64::new(0),
            purges: Arc::default(),
            disk,
        }
    }

    /// Whether bodies lie on disk.
    pub(super) const fn is_on_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// What is kept under this key.
    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<Resource>> {
        self.wake();
        self.kept.get(key)
    }

    /// Keeps an answer. Not where something was purged since `purges` was asked for: the answer may be older than that.
    pub(super) fn keep(&self, key: &[u8], stored: Stored, purges: u64) {
        if stored.weight() as u64 > self.largest() {
            return;
        }
        let stored = Arc::new(stored);
        self.kept.entry(key.into()).and_compute_with(|known| {
            if self.purges() != purges {
                return Op::Nop;
            }
            let known = known.map(moka::Entry::into_value).unwrap_or_default();
            Op::Put(Arc::new(known.with(stored)))
        });
    }

    /// Notes that answers to this key can't be kept, so that requests don't wait for each other for a while.
    pub(super) fn note_unkept(&self, key: &[u8], now: Instant) {
        self.kept.entry(key.into()).and_upsert_with(|known| {
            let known = known.map(moka::Entry::into_value).unwrap_or_default();
            Arc::new(known.unkept(now + UNKEPT))
        });
    }

    /// Takes away what is kept under this key; `false` when there was nothing.
    pub(super) fn purge(&self, key: &[u8]) -> bool {
        self.purges.fetch_add(1, Ordering::AcqRel);
        if let Some(folder) = self.disk.as_ref().and_then(|disk| disk.folder.as_ref()) {
            // Also what isn't known yet, and what somebody still reads: it must not come back.
            folder.remove(key);
        }
        self.kept.remove(key).is_some_and(|resource| !resource.is_empty())
    }

    /// How often something was purged.
    pub(super) fn purges(&self) -> u64 {
        self.purges.load(Ordering::Acquire)
    }

    /// The largest answer that has room, in bytes.
    pub(super) fn largest(&self) -> u64 {
        self.capacity.min(u64::from(u32::MAX))
    }

    /// The room for all answers, in bytes.
    pub(super) const fn largest_sum(&self) -> u64 {
        self.capacity
    }

    /// The room that is used, in bytes.
    pub(super) fn used(&self) -> u64 {
        self.kept.weighted_size()
    }

    /// Reserves room for bodies on their way in: together they never take more than the zone may. `false` when there is none left.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        let grow = |now: u64| now.checked_add(bytes).filter(|sum| *sum <= self.capacity);
        self.filling.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).is_ok()
    }

    /// Gives reserved room back.
    pub(super) fn release(&self, bytes: u64) {
        self.filling.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How many keys there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.wake();
        self.kept.run_pending_tasks();
        self.kept.entry_count()
    }

    /// Begins the file of a body; `None` for a zone in memory.
    pub(super) fn begin_file(&self) -> Option<io::Result<Writing>> {
        let disk = self.disk.as_ref()?;
        self.wake();
        Some(match &disk.folder {
            Some(folder) => folder.begin(),
            None => Err(io::Error::other("it is not known where files are kept")),
        })
    }

    /// The file of a body that is there as a whole.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn finish_file(&self, writing: Writing, key: &[u8], stored: &Stored) -> io::Result<Stay> {
        let folder = self.disk.as_ref().and_then(|disk| disk.folder.as_ref());
        let folder = folder.ok_or_else(|| io::Error::other("it is not known where files are kept"))?;
        folder.finish(writing, key, &Record::of(stored, unix_ms()))
    }

    /// Says once that the disk makes trouble; requests are served without it.
    pub(super) fn complain(&self, error: &io::Error) {
        let Some(disk) = &self.disk else { return };
        if !disk.complained.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "an answer can't be kept on disk; this is said once");
        }
    }

    /// Begins to read what earlier processes left, once.
    fn wake(&self) {
        let Some(Disk { folder: Some(folder), woken, .. }) = &self.disk else { return };
        woken.get_or_init(|| {
            folder.tidy();
            let (folder, kept, purges) = (Arc::clone(folder), self.kept.clone(), Arc::clone(&self.purges));
            let reader = thread::Builder::new().name("cache-reader".to_owned());
            if let Err(error) = reader.spawn(move || read(&folder, &kept, &purges)) {
                tracing::warn!(%error, "what lies in a cache's folder is not read");
            }
        });
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        if let Some(folder) = self.disk.as_ref().and_then(|disk| disk.folder.as_ref()) {
            folder.leave();
        }
    }
}

/// Takes up what earlier processes left. Ends by itself when the zone is gone.
fn read(folder: &Folder, kept: &Cache<Key, Arc<Resource>>, purges: &AtomicU64) {
    let mut before = purges.load(Ordering::Acquire);
    folder.read(|key, record, stay| {
        let Some(stored) = record.restore(stay, Instant::now(), unix_ms()) else { return };
        let stored = Arc::new(stored);
        kept.entry(key.into()).and_compute_with(|known| {
            // It may be what was purged just now.
            if purges.load(Ordering::Acquire) != before {
                return Op::Nop;
            }
            let known = known.map(moka::Entry::into_value).unwrap_or_default();
            known.with_restored(stored).map_or(Op::Nop, |with| Op::Put(Arc::new(with)))
        });
        before = purges.load(Ordering::Acquire);
    });
}

/// Milliseconds since 1970, by the system's clock: files outlive this process and its own.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use usher_http1::head::Head;

    use super::Zone;
    use crate::proxy_cache::disk::Folder;
    use crate::proxy_cache::entry::{Kept, Kind, Stored};

    fn stored(size: usize, now: Instant) -> Stored {
        Stored {
            head: Head::response(200),
            body: Kept::Memory(Bytes::from(vec![0; size])),
            kind: Kind { route: "1".into(), body: None },
            vary: Vec::new(),
            for_everybody: false,
            stored: now,
            ttl: Duration::from_secs(10),
            age: Duration::ZERO,
        }
    }

    #[test]
    fn what_is_kept_is_bounded_by_weight() {
        let zone = Zone::in_memory(100_000);
        let now = Instant::now();
        for number in 0..1000_u32 {
            zone.keep(&number.to_be_bytes(), stored(1000, now), 0);
        }
        zone.kept.run_pending_tasks();
        assert!(zone.kept.weighted_size() <= 100_000, "{}", zone.kept.weighted_size());
        assert!(zone.kept.entry_count() > 20, "{}", zone.kept.entry_count());
        zone.keep(b"huge", stored(100_001, now), 0);
        assert!(zone.get(b"huge").is_none());
    }

    #[test]
    fn an_answer_that_may_be_older_than_a_purge_is_not_kept() {
        let zone = Zone::in_memory(100_000);
        let (now, before) = (Instant::now(), zone.purges());
        assert!(!zone.purge(b"k"), "nothing was there");
        zone.keep(b"k", stored(1, now), before);
        assert!(zone.get(b"k").is_none());
        zone.keep(b"k", stored(1, now), zone.purges());
        assert!(zone.purge(b"k"));
        zone.note_unkept(b"k", now);
        assert!(zone.get(b"k").is_some_and(|resource| resource.is_unkept(now)));
        assert!(!zone.purge(b"k"), "a note is no answer");
    }

    #[test]
    fn the_reader_of_what_earlier_processes_left_takes_nothing_of_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let zone = || Zone::on_disk(1 << 20, 1 << 20, Some(Folder::new(folder.path().into(), vec![1, 2])));
        let found = |zone: &Zone| {
            let mut found = 0;
            zone.disk.as_ref().unwrap().folder.as_ref().unwrap().read(|_, _, _| found += 1);
            found
        };
        let first = zone();
        let writing = first.begin_file().unwrap().unwrap();
        let stay = first.finish_file(writing, b"k", &stored(0, Instant::now())).unwrap();
        assert_eq!(found(&first), 0);
        assert!(stay.body().is_ok(), "it was taken away");
        drop(first);
        assert_eq!(found(&zone()), 1, "the next process takes it up");
    }

    #[test]
    fn bodies_on_their_way_in_share_a_bound() {
        let zone = Arc::new(Zone::in_memory(100));
        assert!(zone.reserve(60) && zone.reserve(40) && !zone.reserve(1));
        zone.release(40);
        assert!(!zone.reserve(41) && zone.reserve(40));
        assert!(!zone.reserve(u64::MAX), "an absurd wish changes nothing");
        zone.release(100);
        assert!(zone.reserve(100));
    }
}
