//! The change log and the snapshots: a second, plain form of the data, each record and each file with its checksum.
//!
//! `changes-<revision>.log` holds the transactions behind that revision; `snapshot-<revision>.bin` everything as of it. Once a log outgrows
//! its snapshot, a new snapshot is written behind the writer's back and a new log begun; a commit never rewrites what others wrote.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::folder;
use crate::{Batch, Entry, Event, Revision};

const LOG_MAGIC: &[u8; 8] = b"USHLOG01";
const SNAPSHOT_MAGIC: &[u8; 8] = b"USHSNP01";
/// A log smaller than this is never folded.
const LEAST_FOLD_BYTES: u64 = 1 << 20;
/// Snapshots kept, with the logs behind them.
const KEPT: usize = 5;

fn named(kind: &str, revision: Revision, ending: &str) -> String {
    format!("{kind}-{revision:020}.{ending}")
}

fn revision_of(path: &Path) -> Revision {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    stem.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// The snapshots of a folder, oldest first.
pub(super) fn snapshots(folder: &Path) -> Vec<PathBuf> {
    folder::files(folder, |name| name.starts_with("snapshot-") && name.ends_with(".bin"))
}

/// The change logs of a folder, oldest first.
pub(super) fn logs(folder: &Path) -> Vec<PathBuf> {
    folder::files(folder, |name| name.starts_with("changes-") && name.ends_with(".log"))
}

/// The log that is written to.
#[derive(Debug)]
pub(super) struct History {
    folder: PathBuf,
    log: File,
    log_bytes: u64,
    fold_at: u64,
    unsynced: bool,
    /// Set after a failed write: the next chance makes a snapshot, because the log has a gap.
    gap: bool,
    folding: Option<std::thread::JoinHandle<io::Result<u64>>>,
}

impl History {
    /// Begins a new log behind `revision`.
    pub(super) fn begin(folder: &Path, revision: Revision) -> io::Result<Self> {
        let log = new_log(folder, revision)?;
        let log_bytes = 16;
        Ok(Self {
            folder: folder.to_owned(),
            log,
            log_bytes,
            fold_at: LEAST_FOLD_BYTES,
            unsynced: false,
            gap: false,
            folding: None,
        })
    }

    /// Goes on with a log whose good part is `length` bytes long.
    pub(super) fn resume(path: &Path, length: u64) -> io::Result<Self> {
        let folder = path.parent().unwrap_or_else(|| Path::new(".")).to_owned();
        let mut log = File::options().read(true).write(true).open(path)?;
        log.set_len(length)?;
        log.seek(SeekFrom::End(0))?;
        let newest =
            snapshots(&folder).last().and_then(|path| path.metadata().ok()).map_or(0, |file| file.len());
        let fold_at = newest.max(LEAST_FOLD_BYTES);
        Ok(Self { folder, log, log_bytes: length, fold_at, unsynced: false, gap: false, folding: None })
    }

    /// Adds committed transactions. They are safe in the database already, so a failure here only leaves a gap, closed by the next snapshot.
    pub(super) fn append(&mut self, batches: &[Batch]) {
        let mut out = Vec::new();
        for batch in batches {
            write_record(&mut out, batch);
        }
        match self.log.write_all(&out) {
            Ok(()) => {
                self.log_bytes += out.len() as u64;
                self.unsynced = true;
            }
            Err(error) => {
                tracing::warn!(%error, "could not add to the change log; a snapshot will take its place");
                self.gap = true;
            }
        }
    }

    /// Brings what was added to the disk.
    pub(super) fn sync(&mut self) {
        if std::mem::take(&mut self.unsynced)
            && let Err(error) = self.log.sync_data()
        {
            tracing::warn!(%error, "could not sync the change log; a snapshot will take its place");
            self.gap = true;
        }
    }

    /// Whether a snapshot is due.
    pub(super) fn wants_fold(&mut self) -> bool {
        if self.folding.as_ref().is_some_and(std::thread::JoinHandle::is_finished) {
            self.finish_fold();
        }
        self.folding.is_none() && (self.gap || self.log_bytes > self.fold_at)
    }

    /// Begins a new log behind `revision`, and writes a snapshot of `entries` on a thread of its own.
    pub(super) fn fold(&mut self, revision: Revision, entries: Vec<Entry>) {
        match new_log(&self.folder, revision) {
            Ok(log) => {
                self.log = log;
                self.log_bytes = 16;
                self.unsynced = false;
                self.gap = false;
            }
            Err(error) => {
                tracing::warn!(%error, "could not begin a new change log");
                return;
            }
        }
        let folder = self.folder.clone();
        let thread = std::thread::Builder::new().name("store-fold".to_owned()).spawn(move || {
            let size = write_snapshot(&folder, revision, &entries)?;
            forget_old(&folder);
            Ok(size)
        });
        match thread {
            Ok(thread) => self.folding = Some(thread),
            Err(error) => {
                tracing::warn!(%error, "could not start writing a snapshot");
                self.gap = true;
            }
        }
    }

    /// Waits for a snapshot that is being written.
    pub(super) fn finish_fold(&mut self) {
        let Some(thread) = self.folding.take() else { return };
        match thread.join() {
            Ok(Ok(size)) => self.fold_at = size.max(LEAST_FOLD_BYTES),
            Ok(Err(error)) => {
                tracing::warn!(%error, "could not write a snapshot; it will be tried again");
                self.gap = true;
            }
            Err(_) => tracing::error!("writing a snapshot panicked"),
        }
    }
}

fn new_log(folder: &Path, revision: Revision) -> io::Result<File> {
    let path = folder.join(named("changes", revision, "log"));
    let unfinished = path.with_extension(folder::UNFINISHED);
    let mut log = folder::create(&unfinished)?;
    log.write_all(LOG_MAGIC)?;
    log.write_all(&revision.to_be_bytes())?;
    log.sync_all()?;
    folder::put_in_place(&unfinished, &path)?;
    Ok(log)
}

/// Writes a snapshot; gives its size in bytes.
pub(super) fn write_snapshot(folder: &Path, revision: Revision, entries: &[Entry]) -> io::Result<u64> {
    let path = folder.join(named("snapshot", revision, "bin"));
    let unfinished = path.with_extension(folder::UNFINISHED);
    let mut out = Vec::new();
    out.extend_from_slice(SNAPSHOT_MAGIC);
    out.extend_from_slice(&revision.to_be_bytes());
    out.extend_from_slice(&(entries.len() as u64).to_be_bytes());
    for entry in entries {
        write_entry(&mut out, entry);
    }
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_be_bytes());
    let mut file = folder::create(&unfinished)?;
    file.write_all(&out)?;
    file.sync_all()?;
    folder::put_in_place(&unfinished, &path)?;
    Ok(out.len() as u64)
}

fn forget_old(folder: &Path) {
    let snapshots = snapshots(folder);
    let Some(oldest_kept) = snapshots.len().checked_sub(KEPT).and_then(|at| snapshots.get(at)) else {
        return;
    };
    let floor = revision_of(oldest_kept);
    let old = snapshots.iter().filter(|path| revision_of(path) < floor).cloned();
    let old_logs = logs(folder).into_iter().filter(|path| revision_of(path) < floor);
    for path in old.chain(old_logs) {
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(file = %path.display(), %error, "could not remove an old file");
        }
    }
}

/// A snapshot's revision and entries; `None` where it is damaged.
pub(super) fn read_snapshot(path: &Path) -> Option<(Revision, Vec<Entry>)> {
    let bytes = std::fs::read(path).ok()?;
    let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if crc32fast::hash(body).to_be_bytes() != *checksum {
        return None;
    }
    let mut reader = Reader(body);
    (reader.take(8)? == SNAPSHOT_MAGIC).then_some(())?;
    let (revision, count) = (reader.number()?, reader.number()?);
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(reader.entry()?);
    }
    Some((revision, entries))
}

/// The good part of a change log.
pub(super) struct Log {
    /// The revision that it goes on from.
    pub(super) base: Revision,
    /// Its good transactions.
    pub(super) batches: Vec<Batch>,
    /// The length of its good part in bytes.
    pub(super) length: u64,
}

/// Reads a log up to its first damaged or unfinished record; `None` where not even its head is right.
pub(super) fn read_log(path: &Path) -> Option<Log> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.read_to_end(&mut bytes).ok()?;
    let mut reader = Reader(&bytes);
    (reader.take(8)? == LOG_MAGIC).then_some(())?;
    let base = reader.number()?;
    let mut log = Log { base, batches: Vec::new(), length: 16 };
    let mut next = base + 1;
    while let Some(batch) = reader.record().filter(|batch| batch.revision == next) {
        next += 1;
        log.batches.push(batch);
        log.length = (bytes.len() - reader.0.len()) as u64;
    }
    Some(log)
}

fn write_record(out: &mut Vec<u8>, batch: &Batch) {
    let mut record = Vec::new();
    record.extend_from_slice(&batch.revision.to_be_bytes());
    record.extend_from_slice(&(batch.events.len() as u64).to_be_bytes());
    for event in &batch.events {
        match &event.after {
            Some(entry) => {
                record.push(1);
                write_entry(&mut record, entry);
            }
            None => {
                record.push(0);
                write_bytes(&mut record, event.key.as_bytes());
            }
        }
    }
    out.extend_from_slice(&(record.len() as u64).to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&record).to_be_bytes());
    out.extend_from_slice(&record);
}

fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    write_bytes(out, entry.key.as_bytes());
    out.extend_from_slice(&entry.created.to_be_bytes());
    out.extend_from_slice(&entry.modified.to_be_bytes());
    write_bytes(out, &entry.value);
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(self.take(8)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    fn key(&mut self) -> Option<Arc<str>> {
        std::str::from_utf8(self.bytes()?).ok().map(Arc::from)
    }

    fn entry(&mut self) -> Option<Entry> {
        let key = self.key()?;
        let (created, modified) = (self.number()?, self.number()?);
        Some(Entry { key, created, modified, value: Bytes::copy_from_slice(self.bytes()?) })
    }

    fn record(&mut self) -> Option<Batch> {
        let length = usize::try_from(self.number()?).ok()?;
        let checksum = self.take(4)?;
        let record = self.take(length)?;
        if crc32fast::hash(record).to_be_bytes() != *checksum {
            return None;
        }
        let mut inside = Self(record);
        let (revision, count) = (inside.number()?, inside.number()?);
        let mut events = Vec::new();
        for _ in 0..count {
            let event = if inside.take(1)? == [1] {
                let entry = inside.entry()?;
                Event { key: Arc::clone(&entry.key), before: None, after: Some(entry) }
            } else {
                Event { key: inside.key()?, before: None, after: None }
            };
            events.push(event);
        }
        Some(Batch { revision, events })
    }
}
