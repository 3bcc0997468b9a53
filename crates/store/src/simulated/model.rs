//! What a disk holds: of each page every version that may be what is on the disk, of which the last is what is read.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the operating system writes at once.
pub const PAGE_BYTES: usize = 4096;
/// What a disk writes at once; a page may be torn between two of them.
const SECTOR_BYTES: usize = 512;

type PageBytes = Arc<[u8; PAGE_BYTES]>;

/// What ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The process: the operating system still has all that was written.
    Process,
    /// The power: of what wasn't synced, anything may be there or not.
    Power,
}

/// A change.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Create(PathBuf),
    Write {
        inode: u64,
        offset: u64,
        bytes: Box<[u8]>,
    },
    SetLength {
        inode: u64,
        length: u64,
    },
    /// After a failed one the operating system holds what was written for clean: a later one does not bring it to the disk.
    Sync {
        inode: u64,
        failed: bool,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    SyncNames,
    Mark(u64),
}

/// Values of which any may be on the disk, and the last is read.
#[derive(Clone, Debug)]
struct Versions<T> {
    all: Vec<T>,
    dirty: bool,
}

impl<T: Clone> Versions<T> {
    fn new(first: T) -> Self {
        Self { all: vec![first], dirty: false }
    }

    fn push(&mut self, next: T) {
        self.all.push(next);
        self.dirty = true;
    }

    fn sync(&mut self, failed: bool) {
        if std::mem::take(&mut self.dirty) && !failed {
            self.all.drain(..self.all.len().saturating_sub(1));
        }
    }
}

#[derive(Clone, Debug)]
struct Inode {
    pages: BTreeMap<u64, Versions<PageBytes>>,
    length: Versions<u64>,
}

/// The files and their names.
#[derive(Clone, Default)]
pub(super) struct Model {
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    names: BTreeMap<PathBuf, u64>,
    /// The names that are on the disk.
    durable: BTreeMap<PathBuf, u64>,
    /// What was done to names since; a journal brings it to the disk in this order.
    pending: Vec<NameStep>,
}

#[derive(Clone)]
enum NameStep {
    Link(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("names", &self.names).finish_non_exhaustive()
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn number(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The pages that so many bytes touch, each with the place within it and how many of them are there.
fn touched(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + length as u64;
    let page = PAGE_BYTES as u64;
    (offset / page..end.div_ceil(page)).map(move |at| {
        let start = offset.max(at * page);
        (at, number(start - at * page), number(end.min((at + 1) * page) - start))
    })
}

fn change_names(names: &mut BTreeMap<PathBuf, u64>, step: &NameStep) {
    match step {
        NameStep::Link(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameStep::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameStep::Remove(path) => {
            names.remove(path);
        }
    }
}

impl Inode {
    fn new() -> Self {
        Self { pages: BTreeMap::new(), length: Versions::new(0) }
    }

    fn length(&self) -> u64 {
        self.length.all.last().copied().unwrap_or_default()
    }

    /// What is read from a page; `None` where it was never written.
    fn page(&self, at: u64) -> Option<&PageBytes> {
        self.pages.get(&at)?.all.last()
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.length() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (at, inside, length) in touched(offset, out.len()) {
            let Some((part, rest)) = out.split_at_mut_checked(length) else { break };
            match self.page(at).and_then(|page| page.get(inside..inside + length)) {
                Some(bytes) => part.copy_from_slice(bytes),
                None => part.fill(0),
            }
            out = rest;
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut rest = bytes;
        for (at, inside, length) in touched(offset, bytes.len()) {
            let Some((part, behind)) = rest.split_at_checked(length) else { break };
            self.write_page(at, inside, part);
            rest = behind;
        }
        let end = offset + bytes.len() as u64;
        if end > self.length() {
            self.length.push(end);
        }
    }

    fn write_page(&mut self, at: u64, inside: usize, part: &[u8]) {
        let zeroes = || Versions::new(Arc::new([0; PAGE_BYTES]));
        let versions = self.pages.entry(at).or_insert_with(zeroes);
        let mut page = versions.all.last().map_or([0; PAGE_BYTES], |page| **page);
        if let Some(place) = page.get_mut(inside..inside + part.len()) {
            place.copy_from_slice(part);
        }
        versions.push(Arc::new(page));
    }

    fn set_length(&mut self, length: u64) {
        if length < self.length() {
            let page = PAGE_BYTES as u64;
            let beyond: Vec<u64> = self.pages.range(length / page..).map(|(at, _)| *at).collect();
            for at in beyond {
                let inside = number(length.saturating_sub(at * page));
                self.write_page(at, inside, &vec![0; PAGE_BYTES - inside.min(PAGE_BYTES)]);
            }
        }
        self.length.push(length);
    }

    fn sync(&mut self, failed: bool) {
        self.length.sync(failed);
        for page in self.pages.values_mut() {
            page.sync(failed);
        }
    }

    fn settled(&self, loss: Loss, choose: &mut dyn FnMut(usize) -> usize) -> Self {
        // Some images keep all, some nothing, most of them anything of what wasn't synced.
        let style = if loss == Loss::Process { 1 } else { choose(6) };
        let mut pick = |count: usize| match style {
            0 => 0,
            1 => count - 1,
            _ => choose(count),
        };
        let length = pick(self.length.all.len());
        let length = self.length.all.get(length).copied().unwrap_or_default();
        let mut made = Self { pages: BTreeMap::new(), length: Versions::new(length) };
        for (at, versions) in &self.pages {
            let chosen = pick(versions.all.len());
            let Some(page) = versions.all.get(chosen) else { continue };
            let mut page = **page;
            // Torn: some sectors are those of the version before.
            if style == 5
                && let Some(before) = chosen.checked_sub(1).and_then(|before| versions.all.get(before))
            {
                for (sector, old) in page.chunks_mut(SECTOR_BYTES).zip(before.chunks(SECTOR_BYTES)) {
                    if pick(2) == 0 {
                        sector.copy_from_slice(old);
                    }
                }
            }
            let kept = number(length.saturating_sub(at * PAGE_BYTES as u64)).min(PAGE_BYTES);
            page.get_mut(kept..).unwrap_or_default().fill(0);
            if kept > 0 {
                made.pages.insert(*at, Versions::new(Arc::new(page)));
            }
        }
        made
    }
}

impl Model {
    /// A file that is on the disk.
    pub(super) fn put(&mut self, path: &Path, bytes: &[u8]) {
        let mut inode = Inode::new();
        inode.write(0, bytes);
        inode.sync(false);
        self.next += 1;
        self.inodes.insert(self.next, inode);
        self.names.insert(path.to_owned(), self.next);
        self.durable.insert(path.to_owned(), self.next);
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &PathBuf> {
        self.names.keys()
    }

    pub(super) fn inode(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(missing)
    }

    pub(super) fn length(&self, inode: u64) -> io::Result<u64> {
        Ok(self.inodes.get(&inode).ok_or_else(missing)?.length())
    }

    pub(super) fn read(&self, inode: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inodes.get(&inode).ok_or_else(missing)?.read(offset, out)
    }

    /// The pages of all files that have a name.
    pub(super) fn pages(&self) -> usize {
        self.names.values().filter_map(|inode| self.inodes.get(inode)).map(|inode| inode.pages.len()).sum()
    }

    /// How many of so many bytes can be written here with at most `most` pages on the disk.
    pub(super) fn fitting(&self, inode: u64, offset: u64, length: usize, most: usize) -> usize {
        let mut free = most.saturating_sub(self.pages());
        let mut fitting = 0;
        for (at, _, part) in touched(offset, length) {
            if self.inodes.get(&inode).and_then(|inode| inode.page(at)).is_none() {
                let Some(left) = free.checked_sub(1) else { break };
                free = left;
            }
            fitting += part;
        }
        fitting
    }

    pub(super) fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let read = |inode: &Inode| {
            let mut bytes = vec![0; number(inode.length())];
            inode.read(0, &mut bytes).ok().map(|()| bytes)
        };
        let each = self.names.iter();
        each.filter_map(|(path, inode)| Some((path.clone(), read(self.inodes.get(inode)?)?))).collect()
    }

    fn name(&mut self, step: NameStep) {
        change_names(&mut self.names, &step);
        self.pending.push(step);
    }

    pub(super) fn apply(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Create(path) => {
                if let Some(inode) = self.names.get(path).and_then(|inode| self.inodes.get_mut(inode)) {
                    inode.set_length(0);
                } else {
                    self.next += 1;
                    self.inodes.insert(self.next, Inode::new());
                    self.name(NameStep::Link(path.clone(), self.next));
                }
            }
            Step::Write { inode, offset, bytes } => {
                self.inodes.get_mut(inode).ok_or_else(missing)?.write(*offset, bytes);
            }
            Step::SetLength { inode, length } => {
                self.inodes.get_mut(inode).ok_or_else(missing)?.set_length(*length);
            }
            Step::Sync { inode, failed } => {
                self.inodes.get_mut(inode).ok_or_else(missing)?.sync(*failed);
            }
            Step::Rename { from, to } => {
                self.inode(from)?;
                self.name(NameStep::Rename(from.clone(), to.clone()));
            }
            Step::Remove(path) => {
                self.inode(path)?;
                self.name(NameStep::Remove(path.clone()));
            }
            Step::SyncNames => {
                self.durable.clone_from(&self.names);
                self.pending.clear();
            }
            Step::Mark(_) => {}
        }
        Ok(())
    }

    /// The disk as it may be found.
    pub(super) fn image(&self, loss: Loss, choose: &mut dyn FnMut(usize) -> usize) -> Self {
        let names = match loss {
            Loss::Process => self.names.clone(),
            Loss::Power => {
                let mut names = self.durable.clone();
                for step in self.pending.iter().take(choose(self.pending.len() + 1)) {
                    change_names(&mut names, step);
                }
                names
            }
        };
        let settle = |inode: &u64| Some((*inode, self.inodes.get(inode)?.settled(loss, choose)));
        let inodes = names.values().collect::<std::collections::BTreeSet<_>>().into_iter().filter_map(settle);
        Self { inodes: inodes.collect(), next: self.next, durable: names.clone(), names, pending: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{Loss, PAGE_BYTES};
    use crate::embedded::disk::Disk as _;
    use crate::simulated::{Replay, Simulated};

    /// A run of numbers without a pattern.
    fn numbers(mut state: u64) -> impl FnMut(usize) -> usize {
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        }
    }

    #[test]
    fn what_was_synced_stays_and_what_was_not_may() {
        let disk = Simulated::new();
        disk.record();
        let path = Path::new("/d/file");
        let file = disk.create(path).unwrap();
        file.write_at(0, &[1; 3 * PAGE_BYTES]).unwrap();
        file.sync().unwrap();
        disk.sync_folder(Path::new("/d")).unwrap();
        file.write_at(0, &[2; 2 * PAGE_BYTES]).unwrap();
        file.write_at(0, &[3; PAGE_BYTES]).unwrap();
        let record = disk.recorded();
        let mut replay = Replay::new(&record);
        replay.go_to(replay.steps());
        let mut choose = numbers(7);
        let mut seen = BTreeSet::new();
        for _ in 0..400 {
            let image = replay.image(Loss::Power, &mut choose);
            let (_, content) = image.content().pop().unwrap();
            assert_eq!(content.len(), 3 * PAGE_BYTES);
            assert!(content[2 * PAGE_BYTES..].iter().all(|byte| *byte == 1));
            let pages: Vec<BTreeSet<u8>> =
                content.chunks(PAGE_BYTES).map(|page| page.iter().copied().collect()).collect();
            assert!(pages[1].is_subset(&[1, 2].into()), "{pages:?}");
            seen.insert(pages);
        }
        // Each page in each version on its own, and torn ones.
        for wanted in [[1, 1], [1, 2], [2, 1], [2, 2], [3, 1], [3, 2]] {
            let wanted = vec![[wanted[0]].into(), [wanted[1]].into(), [1].into()];
            assert!(seen.contains(&wanted), "{wanted:?} is missing");
        }
        assert!(seen.iter().any(|pages| pages[0].len() == 2), "no page is torn");
        let killed = replay.image(Loss::Process, &mut choose);
        assert_eq!(killed.content()[0].1[..PAGE_BYTES], [3; PAGE_BYTES]);
    }

    #[test]
    fn names_are_there_in_the_order_in_which_they_were_given() {
        let disk = Simulated::new();
        disk.record();
        disk.create(Path::new("/d/new.tmp")).unwrap().sync().unwrap();
        disk.rename(Path::new("/d/new.tmp"), Path::new("/d/new")).unwrap();
        let record = disk.recorded();
        let mut replay = Replay::new(&record);
        replay.go_to(replay.steps());
        let mut choose = numbers(3);
        let seen: BTreeSet<Vec<String>> = (0..50)
            .map(|_| {
                let image = replay.image(Loss::Power, &mut choose);
                image.content().into_iter().map(|(path, _)| path.display().to_string()).collect()
            })
            .collect();
        assert_eq!(seen, [vec![], vec!["/d/new".to_owned()], vec!["/d/new.tmp".to_owned()]].into());
    }

    #[test]
    fn a_failed_sync_leaves_what_it_had_in_doubt_for_good() {
        use crate::simulated::{Failing, Failure};
        let disk = Simulated::new();
        disk.record();
        let file = disk.create(Path::new("/d/file")).unwrap();
        disk.sync_folder(Path::new("/d")).unwrap();
        file.write_at(0, &[1; PAGE_BYTES]).unwrap();
        disk.fail(Some(Failing { nth: 1, failure: Failure::Broken, lasting: false }));
        file.sync().unwrap_err();
        file.sync().unwrap();
        let record = disk.recorded();
        let mut replay = Replay::new(&record);
        replay.go_to(replay.steps());
        let mut choose = numbers(5);
        let lost = (0..50).filter(|_| {
            let content = replay.image(Loss::Power, &mut choose).content();
            content.iter().all(|(_, bytes)| bytes.iter().all(|byte| *byte == 0))
        });
        assert!(lost.count() > 0);
    }
}
