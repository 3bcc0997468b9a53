//! Opens a folder: makes what is missing, and brings a damaged data file back from the newest good snapshot and the change logs behind it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::database::{Database, Fault, Found, Until};
use super::folder::{Folder, failed};
use super::history::{History, logs, read_log, read_snapshot, revision_of, set_aside_beyond, snapshots};
use crate::{Entry, Recovered, Revision, StoreError};

/// An opened folder.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) history: History,
    pub(super) found: Found,
    pub(super) recovered: Option<Recovered>,
}

/// What snapshots and logs give.
#[derive(Default)]
struct Rebuilt {
    snapshot: Option<PathBuf>,
    revision: Revision,
    entries: BTreeMap<Arc<str>, Entry>,
    leases: BTreeMap<Arc<str>, u64>,
}

/// Whether the folder holds a store, or what is left of one.
pub(super) fn is_taken(folder: &Folder) -> Result<bool, StoreError> {
    let path = folder.database();
    let taken = (|| {
        let there = folder.files(|name| name == "usher.redb")?;
        Ok(!there.is_empty() || !snapshots(folder)?.is_empty() || !logs(folder)?.is_empty())
    })();
    taken.map_err(|error| failed(&path, &error))
}

pub(super) fn open(folder: &Folder, least_fold_bytes: u64) -> Result<Opened, StoreError> {
    let path = folder.database();
    let traced = |error| failed(&folder.path, &error);
    let exists = !folder.files(|name| name == "usher.redb").map_err(traced)?.is_empty();
    let mut recovered = None;
    if exists {
        match Database::open(folder) {
            Ok((database, found)) => match ahead(folder, found.revision).map_err(traced)? {
                None => return finish(folder, least_fold_bytes, database, found, None),
                Some(rebuilt) => {
                    drop(database);
                    let reason = format!("its revision {} is not the newest", found.revision);
                    recovered = Some(replace(folder, rebuilt, reason)?);
                }
            },
            Err(Fault::Damage(reason)) => recovered = Some(rebuild_file(folder, reason)?),
            Err(fault) => return Err(file_fault(folder, fault)),
        }
    } else if is_taken(folder)? {
        recovered = Some(rebuild_file(folder, "it is missing".to_owned())?);
    } else {
        Database::create(folder, 0, &[], &[]).map_err(|fault| file_fault(folder, fault))?;
    }
    let (database, found) = Database::open(folder).map_err(|fault| match fault {
        // It was made a moment ago, of what was checked: this is the disk, and the next start may find better.
        Fault::Damage(reason) => StoreError::Folder { place: path, reason },
        fault => file_fault(folder, fault),
    })?;
    finish(folder, least_fold_bytes, database, found, recovered)
}

pub(super) fn file_fault(folder: &Folder, fault: Fault) -> StoreError {
    match fault {
        Fault::Full => StoreError::Full,
        Fault::Io(reason) => StoreError::Folder { place: folder.database(), reason },
        Fault::Damage(reason) => StoreError::Damaged { file: folder.database(), reason },
    }
}

/// Goes on with the newest log where it ends with the database, or begins a new one behind a fresh snapshot.
fn finish(
    folder: &Folder,
    least_fold_bytes: u64,
    database: Database,
    found: Found,
    recovered: Option<Recovered>,
) -> Result<Opened, StoreError> {
    let newest = logs(folder).map_err(|error| failed(&folder.path, &error))?.pop();
    let resumed = newest.and_then(|path| {
        let log = read_log(folder, &path)?;
        if !log.writable || log.end() != found.revision {
            return None;
        }
        History::resume(folder, least_fold_bytes, &path, log.length).ok()
    });
    let history = match resumed {
        Some(history) => history,
        None => {
            if let Err(error) = set_aside_beyond(folder, found.revision) {
                tracing::warn!(%error, "could not set files aside that know of later changes");
            }
            History::begin(
                folder,
                least_fold_bytes,
                found.revision,
                &database.cut().map_err(StoreError::from)?,
            )
        }
    };
    Ok(Opened { database, history, found, recovered })
}

/// What snapshots and logs hold, where that is later than the data file: a disk that lost what it had synced, or damage that redb went back
/// from to an earlier commit. Both would else take acknowledged writes with them.
fn ahead(folder: &Folder, revision: Revision) -> std::io::Result<Option<Rebuilt>> {
    let newest_snapshot = snapshots(folder)?.last().map(|path| revision_of(path));
    let newest_log = logs(folder)?.last().and_then(|path| read_log(folder, path)).map(|log| log.end());
    if newest_snapshot.max(newest_log) <= Some(revision) {
        return Ok(None);
    }
    Ok(rebuild(folder)?.filter(|rebuilt| rebuilt.revision > revision))
}

/// Makes a new file in a damaged one's place, of what snapshots and logs hold.
fn rebuild_file(folder: &Folder, reason: String) -> Result<Recovered, StoreError> {
    match rebuild(folder).map_err(|error| failed(&folder.path, &error))? {
        Some(rebuilt) => replace(folder, rebuilt, reason),
        None => Err(StoreError::Damaged { file: folder.database(), reason }),
    }
}

/// Moves a file aside and makes a new one.
fn replace(folder: &Folder, rebuilt: Rebuilt, reason: String) -> Result<Recovered, StoreError> {
    let path = folder.database();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
    let damaged = folder.path.join(format!("usher.redb.damaged-{now}"));
    let damaged = match folder.disk.rename(&path, &damaged) {
        Ok(()) => damaged,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => path,
        Err(error) => return Err(failed(&path, &error)),
    };
    let entries: Vec<Entry> = rebuilt.entries.into_values().collect();
    let leases: Vec<Until> = rebuilt.leases.into_iter().collect();
    Database::create(folder, rebuilt.revision, &entries, &leases)
        .map_err(|fault| file_fault(folder, fault))?;
    Ok(Recovered { damaged, reason, snapshot: rebuilt.snapshot, revision: rebuilt.revision })
}

/// The newest good snapshot with the logs behind it, or the logs alone where they reach back to the beginning.
fn rebuild(folder: &Folder) -> std::io::Result<Option<Rebuilt>> {
    let mut rebuilt = Rebuilt::default();
    for path in snapshots(folder)?.into_iter().rev() {
        let Some(snapshot) = read_snapshot(folder, &path) else { continue };
        rebuilt.snapshot = Some(path);
        rebuilt.revision = snapshot.revision;
        for (entry, until) in snapshot.entries {
            if let Some(until) = until {
                rebuilt.leases.insert(Arc::clone(&entry.key), until);
            }
            rebuilt.entries.insert(Arc::clone(&entry.key), entry);
        }
        break;
    }
    let mut linked = rebuilt.snapshot.is_some();
    for log in logs(folder)?.iter().filter_map(|path| read_log(folder, path)) {
        if log.base > rebuilt.revision {
            break;
        }
        linked = true;
        for change in log.changes {
            if Some(change.batch.revision) != rebuilt.revision.checked_add(1) {
                continue;
            }
            rebuilt.revision += 1;
            for event in change.batch.events {
                rebuilt.leases.remove(&event.key);
                match event.after {
                    Some(entry) => rebuilt.entries.insert(event.key, entry),
                    None => rebuilt.entries.remove(&event.key),
                };
            }
            rebuilt.leases.extend(change.leases);
        }
    }
    Ok(linked.then_some(rebuilt))
}
