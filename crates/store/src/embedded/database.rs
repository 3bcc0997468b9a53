//! The redb file: entries with their revisions and checksums, what ends by itself, and the store's revision.

mod backend;
mod rows;
mod writing;

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};

use super::folder::{self, Folder};
use crate::cut::Dated;
use crate::{Entry, Lease, Listing, Revision, StoreError};
use backend::{Backend, Overlay};
use rows::{COUNT, ENTRIES, FORMAT, LEASES, META, REVISION, THIS_FORMAT, decode, modified};
pub(super) use writing::{Tables, Writing};

/// What went wrong in the file.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The disk is full.
    Full,
    /// The disk or the operating system failed.
    Io(String),
    /// What is read can't be right.
    Damage(String),
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => Self::from(error),
            redb::Error::Corrupted(reason) => Self::Damage(reason),
            redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::RepairAborted => Self::Damage(error.to_string()),
            other => Self::Io(other.to_string()),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if folder::is_full(&error) => Self::Full,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Damage(error.to_string()),
            _ => Self::Io(error.to_string()),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full => Self::Full,
            Fault::Io(reason) => Self::Unavailable(reason),
            Fault::Damage(reason) => {
                Self::Unavailable(format!("its data file is damaged: {reason}; restart Usher to recover"))
            }
        }
    }
}

/// Turns any of redb's many errors into ours.
fn fault(error: impl Into<redb::Error>) -> Fault {
    error.into().into()
}

/// When a key ends.
pub(super) type Until = (Arc<str>, u64);

/// What an opened file says of itself.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) revision: Revision,
    pub(super) leases: Vec<Until>,
}

/// Bytes of pages that are kept in memory at most; whoever reads often has its own copy.
const CACHE_BYTES: usize = 32 << 20;

/// How much of a file is read before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Every entry.
    Everything,
    /// Its numbers alone; for after a full disk, where nothing was found wrong but the room.
    Numbers,
}

/// The open file. Reads hold it open; it is closed, and for a moment gone, when it has to be opened anew.
pub(super) struct Database {
    folder: Folder,
    place: RwLock<Place>,
    /// The disk failed a read: redb gives nothing from this file any more, so it has to be opened anew.
    failed: AtomicBool,
}

#[derive(Default)]
struct Place {
    open: Option<redb::Database>,
    /// Whether writes reach the disk, and not only the memory above it.
    writable: bool,
}

impl Place {
    /// Closes the file, which writes to it where it was whole until now.
    fn close(&mut self) {
        let closed = guarded(|| {
            drop(self.open.take());
            Ok(())
        });
        if let Err(fault) = closed {
            tracing::warn!(?fault, "the data file could not be closed cleanly");
        }
        *self = Self::default();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.open.is_some() {
            self.close();
        }
    }
}

/// Everything as of one commit, to be read at leisure.
pub(super) struct Cut {
    read: redb::ReadTransaction,
}

/// Bytes of keys and values from which on a page of a [`Cut`] is full.
const PAGE_BYTES: usize = 256 << 10;

impl Database {
    /// Makes a file with these entries under a temporary name and puts it in place.
    pub(super) fn create(
        folder: &Folder,
        revision: Revision,
        entries: &[Entry],
        leases: &[Until],
    ) -> Result<(), Fault> {
        folder.write_whole(&folder.database(), |file| {
            let database = builder(Check::Numbers).create_with_backend(Backend(file)).map_err(fault)?;
            let writing = Writing::begin(&database)?;
            {
                let mut tables = writing.tables()?;
                for entry in entries {
                    tables.put(entry)?;
                }
                for (key, until) in leases {
                    tables.lease(key, Some(*until))?;
                }
            }
            writing.commit(revision)
        })
    }

    /// Opens the folder's file and reads all of it once. A disk that takes no writes leaves it to be read.
    pub(super) fn open(folder: &Folder) -> Result<(Self, Found), Fault> {
        let (place, found) = match open_to_write(folder, Check::Everything) {
            Ok((open, found)) => (Place { open: Some(open), writable: true }, found),
            Err(fault @ Fault::Damage(_)) => return Err(fault),
            Err(fault) => {
                let (open, found) = open_to_read(folder, Check::Everything).map_err(|_| fault.clone())?;
                tracing::error!(
                    ?fault,
                    "the data file can only be read: writes are refused until the disk takes them"
                );
                (Place { open: Some(open), writable: false }, found)
            }
        };
        Ok((
            Self { folder: folder.clone(), place: RwLock::new(place), failed: AtomicBool::new(false) },
            found,
        ))
    }

    /// Closes the file and opens it anew, as is due after any error of the disk: waits for whoever reads.
    ///
    /// Where the disk takes no writes it is opened to be read, and what was found is given beside the fault.
    pub(super) fn reopen(&self, check: Check) -> Result<Found, (Fault, Option<Found>)> {
        let mut place = self.place.write().unwrap_or_else(PoisonError::into_inner);
        place.close();
        self.failed.store(false, Ordering::SeqCst);
        let fault = match open_to_write(&self.folder, check) {
            Ok((open, found)) => {
                *place = Place { open: Some(open), writable: true };
                return Ok(found);
            }
            Err(fault @ Fault::Damage(_)) => return Err((fault, None)),
            Err(fault) => fault,
        };
        match open_to_read(&self.folder, check) {
            Ok((open, found)) => {
                *place = Place { open: Some(open), writable: false };
                Err((fault, Some(found)))
            }
            Err(_) => Err((fault, None)),
        }
    }

    /// Closes the file; nothing is read or written before it is put in place again.
    pub(super) fn close(&self) {
        self.place.write().unwrap_or_else(PoisonError::into_inner).close();
    }

    /// Goes on with a file that was opened anew.
    pub(super) fn replace(&self, opened: Self) {
        let opened = opened.place.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.place.write().unwrap_or_else(PoisonError::into_inner) = opened;
        self.failed.store(false, Ordering::SeqCst);
    }

    /// Whether it takes writes; if not, it has to be opened anew before.
    pub(super) fn is_writable(&self) -> bool {
        self.place.read().unwrap_or_else(PoisonError::into_inner).writable
    }

    fn with<T>(&self, work: impl FnOnce(&redb::Database) -> Result<T, Fault>) -> Result<T, Fault> {
        let place = self.place.read().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &place.open else {
            return Err(Fault::Io("its data file could not be opened anew after an error".to_owned()));
        };
        let done = guarded(|| work(open));
        if matches!(done, Err(Fault::Io(_))) {
            self.failed.store(true, Ordering::SeqCst);
        }
        done
    }

    /// Whether it has to be opened anew before anything can be read.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Begins a commit.
    pub(super) fn begin(&self) -> Result<Writing, Fault> {
        self.with(Writing::begin)
    }

    /// What is under a key.
    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let found = self.with(|database| {
            let table = database.begin_read().map_err(fault)?.open_table(ENTRIES).map_err(fault)?;
            let found = table.get(key).map_err(fault)?;
            found.map(|value| decode(Arc::from(key), value.value())).transpose()
        });
        Ok(found?)
    }

    /// Part of the entries.
    pub(super) fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        reverse: bool,
    ) -> Result<Listing, StoreError> {
        Ok(self.with(|database| page(database, prefix, after, limit, reverse))?)
    }

    /// All that ends by itself.
    pub(super) fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        let leases = self.with(|database| {
            let read = database.begin_read().map_err(fault)?;
            let entries = read.open_table(ENTRIES).map_err(fault)?;
            let mut leases = Vec::new();
            for (key, until_unix_ms) in read_leases(&read)? {
                if let Some(row) = entries.get(&*key).map_err(fault)? {
                    leases.push(Lease { modified: modified(&key, row.value())?, key, until_unix_ms });
                }
            }
            Ok(leases)
        });
        Ok(leases?)
    }

    /// Everything as it is now.
    pub(super) fn cut(&self) -> Result<Cut, Fault> {
        self.with(|database| Ok(Cut { read: database.begin_read().map_err(fault)? }))
    }
}

impl Cut {
    /// Its revision, and how many entries it has.
    pub(super) fn numbers(&self) -> Result<(Revision, u64), Fault> {
        let meta = self.read.open_table(META).map_err(fault)?;
        let number = |name: &str| -> Result<u64, Fault> {
            Ok(meta.get(name).map_err(fault)?.map_or(0, |value| value.value()))
        };
        Ok((number(REVISION)?, number(COUNT)?))
    }

    /// Its entries in order, each with the time when it ends.
    pub(super) fn each(
        &self,
        mut each: impl FnMut(&Entry, Option<u64>) -> io::Result<()>,
    ) -> Result<(), Fault> {
        let mut leases = read_leases(&self.read)?.into_iter().peekable();
        for item in self.read.open_table(ENTRIES).map_err(fault)?.iter().map_err(fault)? {
            let (key, value) = item.map_err(fault)?;
            let entry = decode(Arc::from(key.value()), value.value())?;
            while leases.next_if(|(key, _)| *key < entry.key).is_some() {}
            let until = leases.next_if(|(key, _)| *key == entry.key).map(|(_, until)| until);
            each(&entry, until)?;
        }
        Ok(())
    }

    /// Some of its entries below these prefixes, in order, from behind `after`; none at the end. Fails once the file was closed, which redb sees to.
    pub(super) fn page(&self, below: &[&str], after: Option<&str>) -> Result<Vec<Dated>, Fault> {
        let entries = self.read.open_table(ENTRIES).map_err(fault)?;
        let leases = match self.read.open_table(LEASES) {
            Ok(table) => Some(table),
            // Files of format 1 have none.
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(fault(error)),
        };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut page, mut bytes) = (Vec::new(), 0);
        for item in entries.range::<&str>((start, Bound::Unbounded)).map_err(fault)? {
            let (key, value) = item.map_err(fault)?;
            if !below.iter().any(|prefix| key.value().starts_with(prefix)) {
                continue;
            }
            let entry = decode(Arc::from(key.value()), value.value())?;
            bytes += entry.key.len() + entry.value.len();
            let until = leases.as_ref().map(|leases| leases.get(key.value()).map_err(fault)).transpose()?;
            page.push((entry, until.flatten().map(|until| until.value())));
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    }
}

/// redb may panic on some kinds of damage; a panic here is damage like any other.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Fault::Damage("reading it failed unexpectedly".to_owned())))
}

fn builder(check: Check) -> redb::Builder {
    let mut builder = redb::Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    // Also what redb keeps for itself is read then, which would else be found damaged by the first write.
    builder.set_check_integrity_on_open(check == Check::Everything);
    builder
}

fn open_to_write(folder: &Folder, check: Check) -> Result<(redb::Database, Found), Fault> {
    let file = folder.disk.open(&folder.database())?;
    open_checked(file.length()?, Backend(file), check)
}

fn open_to_read(folder: &Folder, check: Check) -> Result<(redb::Database, Found), Fault> {
    let file = folder.disk.open(&folder.database())?;
    open_checked(file.length()?, Overlay::new(file)?, check)
}

fn open_checked(
    length: u64,
    backend: impl redb::StorageBackend,
    check: Check,
) -> Result<(redb::Database, Found), Fault> {
    // redb would make a new database of it.
    if length == 0 {
        return Err(Fault::Damage("it is empty".to_owned()));
    }
    guarded(|| {
        let open = match builder(check).create_with_backend(backend) {
            Ok(database) => database,
            Err(redb::DatabaseError::UpgradeRequired(version)) => {
                let reason = format!("it is of format version {version}, which this version can't read");
                return Err(Fault::Io(reason));
            }
            Err(error) => return Err(fault(error)),
        };
        let found = verify(&open, check)?;
        Ok((open, found))
    })
}

fn verify(database: &redb::Database, check: Check) -> Result<Found, Fault> {
    let read = database.begin_read().map_err(fault)?;
    let meta = read.open_table(META).map_err(fault)?;
    let number = |name: &str| -> Result<u64, Fault> {
        let value = meta.get(name).map_err(fault)?.map(|value| value.value());
        value.ok_or_else(|| Fault::Damage(format!("its {name} is missing")))
    };
    let format = number(FORMAT)?;
    if format > THIS_FORMAT {
        return Err(Fault::Io(format!(
            "it was written by a later version of Usher (format {format}); use that version"
        )));
    }
    let (revision, count) = (number(REVISION)?, number(COUNT)?);
    let entries = read.open_table(ENTRIES).map_err(fault)?;
    let mut found = entries.len().map_err(fault)?;
    if check == Check::Everything {
        found = 0;
        for item in entries.iter().map_err(fault)? {
            let (key, value) = item.map_err(fault)?;
            modified(key.value(), value.value())?;
            found += 1;
        }
    }
    if found != count {
        return Err(Fault::Damage(format!("it holds {found} entries instead of {count}")));
    }
    Ok(Found { revision, leases: read_leases(&read)? })
}

fn read_leases(read: &redb::ReadTransaction) -> Result<Vec<Until>, Fault> {
    let table = match read.open_table(LEASES) {
        Ok(table) => table,
        // Files of format 1 have none.
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(fault(error)),
    };
    let mut leases = Vec::new();
    for item in table.iter().map_err(fault)? {
        let (key, until) = item.map_err(fault)?;
        leases.push((Arc::from(key.value()), until.value()));
    }
    Ok(leases)
}

fn page(
    database: &redb::Database,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    reverse: bool,
) -> Result<Listing, Fault> {
    let read = database.begin_read().map_err(fault)?;
    let meta = read.open_table(META).map_err(fault)?;
    let revision = meta.get(REVISION).map_err(fault)?.map_or(0, |value| value.value());
    let table = read.open_table(ENTRIES).map_err(fault)?;
    // The last character there is: no key with this prefix comes behind it, so that other keys are never walked through.
    let beyond = format!("{prefix}\u{10ffff}");
    let range: (Bound<&str>, Bound<&str>) = if reverse {
        (Bound::Included(prefix), Bound::Excluded(after.unwrap_or(&beyond)))
    } else {
        (after.map_or(Bound::Included(prefix), Bound::Excluded), Bound::Unbounded)
    };
    let mut range = table.range::<&str>(range).map_err(fault)?;
    let mut entries = Vec::new();
    while entries.len() < limit
        && let Some(item) = if reverse { range.next_back() } else { range.next() }
    {
        let (key, value) = item.map_err(fault)?;
        if !key.value().starts_with(prefix) {
            break;
        }
        entries.push(decode(Arc::from(key.value()), value.value())?);
    }
    Ok(Listing { revision, entries })
}
