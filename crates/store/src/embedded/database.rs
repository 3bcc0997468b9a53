//! The redb file: entries with their revisions and checksums, and the store's revision.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use redb::{
    Durability, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
};

use super::folder;
use crate::{Entry, Listing, Revision, StoreError};

const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";
const FORMAT: &str = "format";
/// The layout of this file. A later one is refused, not guessed at.
const THIS_FORMAT: u64 = 1;
/// Created, modified, checksum.
const HEADER: usize = 20;

/// What went wrong in the file.
#[derive(Debug)]
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
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => Self::Full,
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Self::Damage(error.to_string())
            }
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Self::Damage(error.to_string())
            }
            redb::Error::Corrupted(reason) => Self::Damage(reason),
            redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::RepairAborted => Self::Damage(error.to_string()),
            other => Self::Io(other.to_string()),
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
pub(super) fn fault(error: impl Into<redb::Error>) -> Fault {
    error.into().into()
}

/// The open file. Readers share it; it is taken away for a moment when it has to be opened anew.
pub(super) struct Database {
    path: PathBuf,
    open: RwLock<Option<Arc<redb::Database>>>,
}

/// One commit's entries before they are written.
pub(super) struct Writing {
    transaction: redb::WriteTransaction,
}

impl Database {
    /// Makes a file with these entries under a temporary name and puts it in place.
    pub(super) fn create(path: &Path, revision: Revision, entries: &[Entry]) -> Result<(), Fault> {
        let unfinished = path.with_extension(folder::UNFINISHED);
        let io = |error: std::io::Error| fault(redb::Error::Io(error));
        let file = folder::create(&unfinished).map_err(io)?;
        let backend = redb::backends::FileBackend::new(file).map_err(fault)?;
        let database = redb::Database::builder().create_with_backend(backend).map_err(fault)?;
        let writing = Writing::begin(&database)?;
        writing.set_meta(FORMAT, THIS_FORMAT)?;
        for entry in entries {
            writing.put(entry)?;
        }
        writing.commit(revision)?;
        drop(database);
        std::fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io)?;
        folder::put_in_place(&unfinished, path).map_err(io)
    }

    /// Opens a file and reads all of it once.
    pub(super) fn open(path: &Path) -> Result<(Self, Revision), Fault> {
        let open = Arc::new(open_file(path)?);
        let revision = verify(&open)?;
        Ok((Self { path: path.to_owned(), open: RwLock::new(Some(open)) }, revision))
    }

    /// Closes the file and opens it anew, as is due after any error of the disk.
    pub(super) fn reopen(&self) -> Result<Revision, Fault> {
        let mut place = self.open.write().unwrap_or_else(PoisonError::into_inner);
        *place = None;
        let open = Arc::new(open_file(&self.path)?);
        let revision = verify(&open)?;
        *place = Some(open);
        Ok(revision)
    }

    fn handle(&self) -> Result<Arc<redb::Database>, Fault> {
        let place = self.open.read().unwrap_or_else(PoisonError::into_inner);
        place.clone().ok_or_else(|| Fault::Io("it is being opened anew".to_owned()))
    }

    pub(super) fn begin(&self) -> Result<Writing, Fault> {
        Writing::begin(&*self.handle()?)
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let database = self.handle()?;
        let read = || -> Result<Option<Entry>, Fault> {
            let table = database.begin_read().map_err(fault)?.open_table(ENTRIES).map_err(fault)?;
            let found = table.get(key).map_err(fault)?;
            found.map(|value| decode(key, value.value())).transpose()
        };
        read().map_err(StoreError::from)
    }

    pub(super) fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        reverse: bool,
    ) -> Result<Listing, StoreError> {
        let database = self.handle()?;
        page(&database, prefix, after, limit, reverse).map_err(StoreError::from)
    }
}

impl Writing {
    fn begin(database: &redb::Database) -> Result<Self, Fault> {
        let mut transaction = database.begin_write().map_err(fault)?;
        transaction.set_durability(Durability::Immediate).map_err(|error| Fault::Io(error.to_string()))?;
        transaction.set_two_phase_commit(true);
        Ok(Self { transaction })
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, Fault> {
        let table = self.transaction.open_table(ENTRIES).map_err(fault)?;
        let found = table.get(key).map_err(fault)?;
        found.map(|value| decode(key, value.value())).transpose()
    }

    pub(super) fn put(&self, entry: &Entry) -> Result<(), Fault> {
        let mut table = self.transaction.open_table(ENTRIES).map_err(fault)?;
        table.insert(&*entry.key, encode(entry).as_slice()).map_err(fault)?;
        Ok(())
    }

    pub(super) fn delete(&self, key: &str) -> Result<(), Fault> {
        let mut table = self.transaction.open_table(ENTRIES).map_err(fault)?;
        table.remove(key).map_err(fault)?;
        Ok(())
    }

    fn set_meta(&self, name: &str, value: u64) -> Result<(), Fault> {
        let mut table = self.transaction.open_table(META).map_err(fault)?;
        table.insert(name, value).map_err(fault)?;
        Ok(())
    }

    pub(super) fn commit(self, revision: Revision) -> Result<(), Fault> {
        let count = self.transaction.open_table(ENTRIES).map_err(fault)?.len().map_err(fault)?;
        self.set_meta(REVISION, revision)?;
        self.set_meta("count", count)?;
        self.transaction.commit().map_err(fault)
    }

    pub(super) fn abort(self) {
        if let Err(error) = self.transaction.abort() {
            tracing::warn!(%error, "could not give a transaction up cleanly");
        }
    }
}

/// redb may panic on some kinds of damage; a panic here is damage like any other.
fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Fault::Damage("reading it failed unexpectedly".to_owned())))
}

fn open_file(path: &Path) -> Result<redb::Database, Fault> {
    guarded(|| match redb::Database::builder().open(path) {
        Ok(database) => Ok(database),
        Err(redb::DatabaseError::UpgradeRequired(version)) => Err(Fault::Io(format!(
            "{} is of format version {version}, which this version can't read",
            path.display()
        ))),
        Err(error) => Err(fault(error)),
    })
}

fn verify(database: &redb::Database) -> Result<Revision, Fault> {
    guarded(|| {
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
        let (revision, count) = (number(REVISION)?, number("count")?);
        let mut found = 0;
        for item in read.open_table(ENTRIES).map_err(fault)?.iter().map_err(fault)? {
            let (key, value) = item.map_err(fault)?;
            decode(key.value(), value.value())?;
            found += 1;
        }
        if found != count {
            return Err(Fault::Damage(format!("it holds {found} entries instead of {count}")));
        }
        Ok(revision)
    })
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
    let mut entries = Vec::new();
    if reverse {
        // The last character there is: no key with this prefix comes behind it, so that other keys are never walked through.
        let beyond = format!("{prefix}\u{10ffff}");
        let end = after.unwrap_or(&beyond);
        for item in table.range::<&str>((Bound::Included(prefix), Bound::Excluded(end))).map_err(fault)?.rev()
        {
            let (key, value) = item.map_err(fault)?;
            if !key.value().starts_with(prefix) || entries.len() == limit {
                break;
            }
            entries.push(decode(key.value(), value.value())?);
        }
    } else {
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        for item in table.range::<&str>((start, Bound::Unbounded)).map_err(fault)? {
            let (key, value) = item.map_err(fault)?;
            if !key.value().starts_with(prefix) || entries.len() == limit {
                break;
            }
            entries.push(decode(key.value(), value.value())?);
        }
    }
    Ok(Listing { revision, entries })
}

fn checksum(key: &str, revisions: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(revisions);
    hasher.update(value);
    hasher.finalize()
}

fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + entry.value.len());
    out.extend_from_slice(&entry.created.to_be_bytes());
    out.extend_from_slice(&entry.modified.to_be_bytes());
    let checksum = checksum(&entry.key, &out, &entry.value);
    out.extend_from_slice(&checksum.to_be_bytes());
    out.extend_from_slice(&entry.value);
    out
}

fn decode(key: &str, stored: &[u8]) -> Result<Entry, Fault> {
    let damage = || Fault::Damage(format!("the entry {key} does not fit its checksum"));
    let (revisions, rest) = stored.split_at_checked(16).ok_or_else(damage)?;
    let (wanted, value) = rest.split_at_checked(4).ok_or_else(damage)?;
    if checksum(key, revisions, value).to_be_bytes() != wanted {
        return Err(damage());
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let (created, modified) = revisions.split_at_checked(8).ok_or_else(damage)?;
    Ok(Entry {
        key: key.into(),
        value: Bytes::copy_from_slice(value),
        created: number(created),
        modified: number(modified),
    })
}
