//! A disk in memory for tests: fails when told, has as much room as told, and shows what a loss of power could leave behind.
//!
//! It records every change of a file or a name. A [`Replay`] goes through that record and makes images of any moment: as a killed process
//! leaves the disk, or as a loss of power may leave it, with any subset of what wasn't synced, pages torn within, and names not yet there.

mod model;

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::embedded::disk::{Disk, DiskFile};
pub use model::{Loss, PAGE_BYTES};
use model::{Model, Step};

/// How a change fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// As a broken disk fails: `EIO`. What a failed sync left on the disk isn't known.
    Broken,
    /// As a full disk fails: `ENOSPC`.
    Full,
    /// A write does its first half, then fails as on a full disk; other changes fail as on a full disk.
    Short,
}

/// Which changes fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// The first one, counted from 1 from where this was told.
    pub nth: u64,
    /// How it fails.
    pub failure: Failure,
    /// Whether all after it fail too.
    pub lasting: bool,
}

/// The disk. A clone is the same disk.
#[derive(Clone, Default)]
pub struct Simulated {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    model: Model,
    record: Option<Record>,
    changes: u64,
    syncs: u64,
    failing: Option<(u64, Failing)>,
    most_pages: Option<usize>,
    lies: bool,
    failing_reads: usize,
    locks: BTreeSet<PathBuf>,
}

/// What a disk was, and every change since.
#[derive(Clone, Default)]
pub struct Record {
    start: Model,
    steps: Vec<Step>,
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulated").field("changes", &self.lock().changes).finish_non_exhaustive()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

impl Simulated {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk with these files, all of them synced.
    #[must_use]
    pub fn with_files(files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> Self {
        let disk = Self::new();
        for (path, bytes) in files {
            disk.lock().model.put(&path, &bytes);
        }
        disk
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to record.
    pub fn record(&self) {
        let mut shared = self.lock();
        shared.record = Some(Record { start: shared.model.clone(), steps: Vec::new() });
    }

    /// What was recorded until now.
    #[must_use]
    pub fn recorded(&self) -> Record {
        self.lock().record.clone().unwrap_or_default()
    }

    /// Notes in the record that something is so from now on, such as that a revision was acknowledged.
    pub fn mark(&self, mark: u64) {
        if let Some(record) = &mut self.lock().record {
            record.steps.push(Step::Mark(mark));
        }
    }

    /// How many changes there were, also those that failed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// How many syncs of files there were among them.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Lets changes fail; `None` lets all of them go well again.
    pub fn fail(&self, failing: Option<Failing>) {
        let mut shared = self.lock();
        shared.failing = failing.map(|failing| (shared.changes, failing));
    }

    /// How many pages its files may have together; `None` sets no bound. Pages that are there can always be written again.
    pub fn set_room(&self, pages: Option<usize>) {
        self.lock().most_pages = pages;
    }

    /// Lets the next reads of files fail, so many of them.
    pub fn fail_reads(&self, count: usize) {
        self.lock().failing_reads = count;
    }

    /// Whether syncs say that all is well and do nothing, as some disks do: nothing can be promised on them.
    pub fn lie(&self, lies: bool) {
        self.lock().lies = lies;
    }

    /// How many pages its files have.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.lock().model.pages()
    }

    /// The files there are, with their content.
    #[must_use]
    pub fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.lock().model.content()
    }
}

impl Shared {
    /// How the next change fails, if it does.
    fn next(&mut self) -> Option<Failure> {
        self.changes += 1;
        let (since, failing) = self.failing?;
        let nth = self.changes - since;
        (nth == failing.nth || failing.lasting && nth > failing.nth).then_some(failing.failure)
    }

    fn change(&mut self, step: Step) -> io::Result<()> {
        match self.next() {
            Some(failure) => Err(failure.error()),
            None => self.apply(step),
        }
    }

    fn apply(&mut self, step: Step) -> io::Result<()> {
        if self.lies && matches!(step, Step::Sync { .. } | Step::SyncNames) {
            return Ok(());
        }
        self.model.apply(&step)?;
        if let Some(record) = &mut self.record {
            record.steps.push(step);
        }
        Ok(())
    }
}

impl Failure {
    fn error(self) -> io::Error {
        match self {
            Self::Broken => io::Error::other("the simulated disk is broken"),
            Self::Full | Self::Short => io::ErrorKind::StorageFull.into(),
        }
    }
}

/// Goes through a record and makes images.
#[derive(Debug)]
pub struct Replay<'a> {
    record: &'a Record,
    model: Model,
    at: usize,
    mark: u64,
}

impl<'a> Replay<'a> {
    /// At the record's beginning.
    #[must_use]
    pub fn new(record: &'a Record) -> Self {
        Self { record, model: record.start.clone(), at: 0, mark: 0 }
    }

    /// How many steps the record has.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.record.steps.len()
    }

    /// Goes on to behind this many steps; there is no way back.
    pub fn go_to(&mut self, steps: usize) {
        for step in self.record.steps.iter().take(steps).skip(self.at) {
            if let Step::Mark(mark) = step {
                self.mark = self.mark.max(*mark);
            }
            // It went well when it was recorded.
            let _ = self.model.apply(step);
        }
        self.at = self.at.max(steps);
    }

    /// The largest mark until here.
    #[must_use]
    pub const fn mark(&self) -> u64 {
        self.mark
    }

    /// A disk as it may be found after the process, or the power, ended here. `choose(n)` gives a number below `n`.
    #[must_use]
    pub fn image(&self, loss: Loss, choose: &mut dyn FnMut(usize) -> usize) -> Simulated {
        let shared = Shared { model: self.model.image(loss, choose), ..Shared::default() };
        Simulated { shared: Arc::new(Mutex::new(shared)) }
    }
}

struct Lock {
    disk: Simulated,
    file: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.lock().locks.remove(&self.file);
    }
}

impl Disk for Simulated {
    fn make_folder(&self, _folder: &Path) -> io::Result<()> {
        // Folders are there as soon as they are spoken of.
        Ok(())
    }

    fn lock(&self, file: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        if !self.lock().locks.insert(file.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Lock { disk: self.clone(), file: file.to_owned() })))
    }

    fn files(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.lock().model.names().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.lock().change(Step::Create(file.to_owned()))?;
        self.open(file)
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.lock().model.inode(file)?;
        Ok(Box::new(OpenFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.lock().change(Step::Rename { from: from.to_owned(), to: to.to_owned() })
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.lock().change(Step::Remove(file.to_owned()))
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        self.lock().change(Step::SyncNames)
    }
}

#[derive(Debug)]
struct OpenFile {
    disk: Simulated,
    inode: u64,
}

impl DiskFile for OpenFile {
    fn length(&self) -> io::Result<u64> {
        self.disk.lock().model.length(self.inode)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut shared = self.disk.lock();
        if let Some(left) = shared.failing_reads.checked_sub(1) {
            shared.failing_reads = left;
            return Err(Failure::Broken.error());
        }
        shared.model.read(self.inode, offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut shared = self.disk.lock();
        let failure = shared.next();
        let fitting = shared
            .most_pages
            .map_or(bytes.len(), |most| shared.model.fitting(self.inode, offset, bytes.len(), most));
        let done = match failure {
            None => fitting,
            Some(Failure::Short) => fitting.min(bytes.len() / 2),
            Some(_) => 0,
        };
        if let Some(part) = bytes.get(..done).filter(|part| !part.is_empty()) {
            shared.apply(Step::Write { inode: self.inode, offset, bytes: part.into() })?;
        }
        match failure {
            Some(failure) => Err(failure.error()),
            None if done < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
            None => Ok(()),
        }
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.disk.lock().change(Step::SetLength { inode: self.inode, length })
    }

    fn sync(&self) -> io::Result<()> {
        let mut shared = self.disk.lock();
        let failure = shared.next();
        shared.syncs += 1;
        shared.apply(Step::Sync { inode: self.inode, failed: failure.is_some() })?;
        failure.map_or(Ok(()), |failure| Err(failure.error()))
    }
}
