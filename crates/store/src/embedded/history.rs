//! The change log and the snapshots: a second, plain form of the data, from which a damaged data file is brought back.
//!
//! `changes-<revision>.log` holds the transactions behind that revision; `snapshot-<revision>.bin` everything as of it. Once a log outgrows
//! its snapshot, a new snapshot is written behind the writer's back and a new log begun; a commit never rewrites what others wrote. Nothing
//! here can make a commit fail: what the disk refuses is kept and tried again, or a snapshot takes its place.

mod form;

use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::database::{Cut, Fault};
use super::disk::DiskFile;
use super::folder::Folder;
use crate::{Entry, Revision};
pub(super) use form::{Change, Log, Snapshot};
use form::{HEAD_BYTES, log_head, snapshot_head, write_record, write_row};

/// Snapshots kept, with the logs behind them.
const KEPT: usize = 5;
/// How soon what was added is synced.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Bytes that wait at most for a disk that takes none.
const MOST_WAITING_BYTES: usize = 4 << 20;
/// How long after a snapshot that failed the next is tried: this at first, then twice as long each time.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
const MOST_PAUSE: Duration = Duration::from_secs(64);
/// What a snapshot is written in.
const PIECE_BYTES: usize = 1 << 20;

fn named(kind: &str, revision: Revision, ending: &str) -> String {
    format!("{kind}-{revision:020}.{ending}")
}

pub(super) fn revision_of(path: &Path) -> Revision {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    stem.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// The snapshots of a folder, oldest first.
pub(super) fn snapshots(folder: &Folder) -> io::Result<Vec<PathBuf>> {
    folder.files(|name| name.starts_with("snapshot-") && name.ends_with(".bin"))
}

/// The change logs of a folder, oldest first.
pub(super) fn logs(folder: &Folder) -> io::Result<Vec<PathBuf>> {
    folder.files(|name| name.starts_with("changes-") && name.ends_with(".log"))
}

/// A snapshot; `None` where it can't be read or is damaged.
pub(super) fn read_snapshot(folder: &Folder, path: &Path) -> Option<Snapshot> {
    form::read_snapshot(&folder.read(path).ok()?)
}

/// The good part of a log; `None` where it can't be read, or not even its head is right.
pub(super) fn read_log(folder: &Folder, path: &Path) -> Option<Log> {
    form::read_log(&folder.read(path).ok()?)
}

/// What is written to.
#[derive(Debug)]
pub(super) struct History {
    folder: Folder,
    /// `None` where none could be begun; a snapshot is due then.
    log: Option<Box<dyn DiskFile>>,
    log_bytes: u64,
    /// Records that the disk didn't take yet.
    waiting: Vec<u8>,
    /// A smaller log is never folded.
    least_fold_bytes: u64,
    fold_at: u64,
    unsynced: bool,
    synced: Instant,
    /// The log lacks a record: only a snapshot and a new log close that.
    gap: bool,
    /// A snapshot failed, and is tried again.
    owed: bool,
    pause: Duration,
    not_before: Option<Instant>,
    folding: Option<JoinHandle<Result<u64, Fault>>>,
}

impl History {
    fn new(folder: &Folder, least_fold_bytes: u64) -> Self {
        Self {
            folder: folder.clone(),
            log: None,
            log_bytes: 0,
            waiting: Vec::new(),
            least_fold_bytes,
            fold_at: least_fold_bytes,
            unsynced: false,
            synced: Instant::now(),
            gap: true,
            owed: false,
            pause: LEAST_PAUSE,
            not_before: None,
            folding: None,
        }
    }

    /// Begins a new log behind `cut`, with a snapshot of it before. Where the disk has no room for that, it is done later.
    pub(super) fn begin(folder: &Folder, least_fold_bytes: u64, revision: Revision, cut: &Cut) -> Self {
        let mut history = Self::new(folder, least_fold_bytes);
        let snapshot = if revision > 0 { write_snapshot(folder, cut) } else { Ok(0) };
        match snapshot {
            Ok(bytes) => history.fold_at = bytes.max(least_fold_bytes),
            Err(fault) => {
                tracing::warn!(?fault, "could not write a snapshot; it will be tried again");
                history.owed = true;
            }
        }
        history.begin_log(revision);
        history
    }

    /// Goes on with a log whose good part is `length` bytes long.
    pub(super) fn resume(
        folder: &Folder,
        least_fold_bytes: u64,
        path: &Path,
        length: u64,
    ) -> io::Result<Self> {
        let mut history = Self::new(folder, least_fold_bytes);
        let log = folder.disk.open(path)?;
        if log.length()? != length {
            log.set_length(length)?;
        }
        let newest = snapshots(folder)?.pop().and_then(|path| folder.disk.open(&path).ok()?.length().ok());
        history.log = Some(log);
        history.log_bytes = length;
        history.fold_at = newest.unwrap_or_default().max(least_fold_bytes);
        history.gap = false;
        Ok(history)
    }

    /// Adds committed transactions. They are safe in the database already.
    pub(super) fn append(&mut self, changes: &[Change]) {
        if self.gap {
            return;
        }
        for change in changes {
            write_record(&mut self.waiting, change);
        }
        self.write_waiting();
        if self.waiting.len() > MOST_WAITING_BYTES {
            tracing::warn!("the change log waits too long for the disk; a snapshot will take its place");
            self.leave_gap();
        }
    }

    /// Whether the log lacks something.
    pub(super) const fn has_gap(&self) -> bool {
        self.gap
    }

    /// Notes that the log lacks something.
    pub(super) fn leave_gap(&mut self) {
        self.gap = true;
        self.waiting = Vec::new();
    }

    fn write_waiting(&mut self) {
        let Some(log) = self.log.as_ref().filter(|_| !self.waiting.is_empty()) else { return };
        // Always at the end of the good part: what a failed write left there is written over.
        match log.write_at(self.log_bytes, &self.waiting) {
            Ok(()) => {
                self.log_bytes += self.waiting.len() as u64;
                self.waiting.clear();
                self.unsynced = true;
            }
            Err(error) => tracing::warn!(%error, "could not add to the change log; it will be tried again"),
        }
    }

    /// Brings what was added to the disk, if that is due.
    pub(super) fn sync_if_due(&mut self) {
        if self.synced.elapsed() >= SYNC_EVERY {
            self.sync();
        }
    }

    /// Brings what was added to the disk.
    pub(super) fn sync(&mut self) {
        self.synced = Instant::now();
        self.write_waiting();
        if std::mem::take(&mut self.unsynced)
            && let Some(Err(error)) = self.log.as_ref().map(|log| log.sync())
        {
            // What a failed sync left on the disk isn't known, and a second one would not bring it there.
            tracing::warn!(%error, "could not sync the change log; a snapshot will take its place");
            self.leave_gap();
        }
    }

    /// Whether a snapshot is due.
    pub(super) fn wants_fold(&mut self) -> bool {
        if self.folding.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish_fold();
        }
        let may =
            self.folding.is_none() && self.not_before.is_none_or(|not_before| Instant::now() >= not_before);
        may && (self.gap || self.owed || self.log_bytes > self.fold_at)
    }

    /// Writes a snapshot of `cut` on a thread of its own, and begins a new log behind it where the old one is too long or lacks something.
    pub(super) fn fold(&mut self, cut: Cut) {
        self.owed = true;
        if self.gap || self.log_bytes > self.fold_at {
            self.sync();
            let begun = cut.numbers().is_ok_and(|(revision, _)| self.begin_log(revision));
            if !begun {
                self.wait();
                return;
            }
        }
        let folder = self.folder.clone();
        let thread = std::thread::Builder::new().name("store-fold".to_owned()).spawn(move || {
            let bytes = write_snapshot(&folder, &cut)?;
            // The cut keeps pages of the data file from being used again.
            drop(cut);
            forget_old(&folder);
            Ok(bytes)
        });
        match thread {
            Ok(thread) => self.folding = Some(thread),
            Err(error) => {
                tracing::warn!(%error, "could not start writing a snapshot");
                self.wait();
            }
        }
    }

    fn begin_log(&mut self, revision: Revision) -> bool {
        match new_log(&self.folder, revision) {
            Ok(log) => {
                self.log = Some(log);
                self.log_bytes = HEAD_BYTES;
                // What the old one didn't take is before this one.
                self.waiting.clear();
                self.unsynced = false;
                self.gap = false;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "could not begin a new change log; it will be tried again");
                false
            }
        }
    }

    fn wait(&mut self) {
        self.not_before = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(MOST_PAUSE);
    }

    /// Waits for a snapshot that is being written.
    pub(super) fn finish_fold(&mut self) {
        let Some(thread) = self.folding.take() else { return };
        match thread.join() {
            Ok(Ok(bytes)) => {
                self.fold_at = bytes.max(self.least_fold_bytes);
                self.owed = false;
                self.pause = LEAST_PAUSE;
                self.not_before = None;
            }
            Ok(Err(fault)) => {
                tracing::warn!(?fault, "could not write a snapshot; it will be tried again");
                self.wait();
            }
            Err(_) => {
                tracing::error!("writing a snapshot panicked");
                self.wait();
            }
        }
    }
}

fn new_log(folder: &Folder, revision: Revision) -> io::Result<Box<dyn DiskFile>> {
    let path = folder.path.join(named("changes", revision, "log"));
    folder.write_whole(&path, |file| file.write_at(0, &log_head(revision)))?;
    folder.disk.open(&path)
}

/// Writes a snapshot; gives its size in bytes.
fn write_snapshot(folder: &Folder, cut: &Cut) -> Result<u64, Fault> {
    let (revision, count) = cut.numbers()?;
    write_rows(folder, revision, count, |row| cut.each(row))
}

/// Writes a snapshot of `count` entries, which `each` hands over one after another; gives its size in bytes.
pub(super) fn write_rows<E: From<io::Error>>(
    folder: &Folder,
    revision: Revision,
    count: u64,
    each: impl FnOnce(&mut dyn FnMut(&Entry, Option<u64>) -> io::Result<()>) -> Result<(), E>,
) -> Result<u64, E> {
    let path = folder.path.join(named("snapshot", revision, "bin"));
    folder.write_whole(&path, |file| {
        let mut output = Output { file, bytes: 0, checksum: crc32fast::Hasher::new() };
        let mut piece = snapshot_head(revision, count);
        each(&mut |entry: &Entry, until| {
            write_row(&mut piece, entry, until);
            if piece.len() < PIECE_BYTES {
                return Ok(());
            }
            output.write(&std::mem::take(&mut piece))
        })?;
        output.write(&piece)?;
        let checksum = output.checksum.clone().finalize();
        output.write(&checksum.to_be_bytes())?;
        Ok(output.bytes)
    })
}

/// A file that is written from its beginning to its end.
struct Output {
    file: Box<dyn DiskFile>,
    bytes: u64,
    checksum: crc32fast::Hasher,
}

impl Output {
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_at(self.bytes, piece)?;
        self.checksum.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }
}

/// Removes all but the newest snapshots, and the logs that end before the oldest of those.
pub(super) fn forget_old(folder: &Folder) {
    let (Ok(snapshots), Ok(logs)) = (snapshots(folder), logs(folder)) else { return };
    let Some(oldest_kept) = snapshots.len().checked_sub(KEPT).and_then(|at| snapshots.get(at)) else {
        return;
    };
    let floor = revision_of(oldest_kept);
    for path in snapshots.iter().filter(|path| revision_of(path) < floor) {
        folder.remove(path);
    }
    for (log, next) in logs.iter().zip(logs.iter().skip(1)) {
        if revision_of(next) <= floor {
            folder.remove(log);
        }
    }
}

/// Sets logs and snapshots aside that know of later revisions than the data file: they belong to another course of things, and a
/// later repair must not take them for what was before this file.
pub(super) fn set_aside_beyond(folder: &Folder, revision: Revision) -> io::Result<()> {
    let beyond = |path: &PathBuf| revision_of(path) > revision;
    let mut strange: Vec<PathBuf> =
        snapshots(folder)?.into_iter().chain(logs(folder)?).filter(beyond).collect();
    for path in logs(folder)? {
        let ahead = read_log(folder, &path)
            .is_some_and(|log| log.changes.last().is_some_and(|change| change.batch.revision > revision));
        if ahead && !strange.contains(&path) {
            strange.push(path);
        }
    }
    for path in strange {
        let mut aside = path.clone().into_os_string();
        aside.push(".aside");
        folder.disk.rename(&path, Path::new(&aside))?;
        tracing::warn!(file = %path.display(), "this file knows of later changes than the data file; it was set aside as .aside");
    }
    Ok(())
}
