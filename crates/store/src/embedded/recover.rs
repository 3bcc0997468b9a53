//! Opens a folder: makes what is missing, and brings a damaged database back from the newest good snapshot and the change logs behind it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::database::{Database, Fault};
use super::folder;
use super::history::{History, logs, read_log, read_snapshot, snapshots, write_snapshot};
use crate::{Entry, Recovered, Revision, StoreError};

/// An opened folder.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) history: History,
    pub(super) revision: Revision,
    pub(super) recovered: Option<Recovered>,
}

/// What snapshots and logs give.
struct Rebuilt {
    snapshot: Option<PathBuf>,
    revision: Revision,
    entries: BTreeMap<Arc<str>, Entry>,
}

pub(super) fn open(folder: &Path) -> Result<Opened, StoreError> {
    let path = folder.join("usher.redb");
    let traces = !snapshots(folder).is_empty() || !logs(folder).is_empty();
    let mut recovered = None;
    if path.exists() {
        match Database::open(&path) {
            Ok((database, revision)) => return finish(folder, database, revision, None),
            Err(Fault::Damage(reason)) => recovered = Some(rebuild_file(folder, &path, reason)?),
            Err(fault) => return Err(file_fault(&path, fault)),
        }
    } else if traces {
        recovered = Some(rebuild_file(folder, &path, "it is missing".to_owned())?);
    } else {
        Database::create(&path, 0, &[]).map_err(|fault| file_fault(&path, fault))?;
    }
    let (database, revision) = Database::open(&path).map_err(|fault| file_fault(&path, fault))?;
    finish(folder, database, revision, recovered)
}

fn file_fault(path: &Path, fault: Fault) -> StoreError {
    match fault {
        Fault::Full => StoreError::Full,
        Fault::Io(reason) => StoreError::Folder { place: path.to_owned(), reason },
        Fault::Damage(reason) => StoreError::Damaged { file: path.to_owned(), reason },
    }
}

/// Goes on with the newest log where it ends with the database, or begins a new one behind a fresh snapshot.
fn finish(
    folder: &Path,
    database: Database,
    revision: Revision,
    recovered: Option<Recovered>,
) -> Result<Opened, StoreError> {
    let newest = logs(folder).pop();
    let log = newest.as_deref().and_then(read_log);
    let history = match (newest, log) {
        (Some(path), Some(log)) if log.base + log.batches.len() as u64 == revision => {
            History::resume(&path, log.length)
        }
        _ => {
            if revision > 0 {
                let entries = database.page("", None, usize::MAX, false)?.entries;
                write_snapshot(folder, revision, &entries).map_err(|error| folder::failed(folder, &error))?;
            }
            History::begin(folder, revision)
        }
    };
    let history = history.map_err(|error| folder::failed(folder, &error))?;
    Ok(Opened { database, history, revision, recovered })
}

/// Moves a damaged file aside and makes a new one of what snapshots and logs hold.
fn rebuild_file(folder: &Path, path: &Path, reason: String) -> Result<Recovered, StoreError> {
    let Some(rebuilt) = rebuild(folder) else {
        return Err(StoreError::Damaged { file: path.to_owned(), reason });
    };
    let mut damaged = path.to_owned();
    if path.exists() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        damaged = folder.join(format!("usher.redb.damaged-{now}"));
        std::fs::rename(path, &damaged).map_err(|error| folder::failed(path, &error))?;
    }
    let entries: Vec<Entry> = rebuilt.entries.into_values().collect();
    Database::create(path, rebuilt.revision, &entries).map_err(|fault| file_fault(path, fault))?;
    Ok(Recovered { damaged, reason, snapshot: rebuilt.snapshot, revision: rebuilt.revision })
}

/// The newest good snapshot with the logs behind it, or the logs alone where they reach back to the beginning.
fn rebuild(folder: &Path) -> Option<Rebuilt> {
    let found = snapshots(folder).into_iter().rev().find_map(|path| Some((read_snapshot(&path)?, path)));
    let mut rebuilt = match found {
        Some(((revision, entries), path)) => Rebuilt {
            snapshot: Some(path),
            revision,
            entries: entries.into_iter().map(|entry| (Arc::clone(&entry.key), entry)).collect(),
        },
        None => Rebuilt { snapshot: None, revision: 0, entries: BTreeMap::new() },
    };
    let mut linked = rebuilt.snapshot.is_some();
    for log in logs(folder).iter().filter_map(|path| read_log(path)) {
        if log.base > rebuilt.revision {
            break;
        }
        linked = true;
        for batch in
            log.batches.into_iter().filter(|batch| batch.revision > rebuilt.revision).collect::<Vec<_>>()
        {
            if batch.revision != rebuilt.revision + 1 {
                break;
            }
            rebuilt.revision = batch.revision;
            for event in batch.events {
                match event.after {
                    Some(entry) => rebuilt.entries.insert(event.key, entry),
                    None => rebuilt.entries.remove(&event.key),
                };
            }
        }
    }
    linked.then_some(rebuilt)
}
