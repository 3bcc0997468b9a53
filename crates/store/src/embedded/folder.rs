//! The folder that a store lives in: made for its owner alone, locked, its files replaced in whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// What unfinished files end with.
pub(super) const UNFINISHED: &str = "tmp";

pub(super) fn failed(place: &Path, error: &io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::StorageFull {
        return StoreError::Full;
    }
    StoreError::Folder { place: place.to_owned(), reason: error.to_string() }
}

/// Makes the folder, and syncs the folders above it that were made for it.
pub(super) fn make(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut existing = folder;
    while let Some(above) = existing.parent().filter(|above| !above.as_os_str().is_empty()) {
        existing = above;
        if existing.exists() {
            break;
        }
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| failed(folder, &error))?;
    let mut made = folder;
    while made != existing {
        sync(made).map_err(|error| failed(made, &error))?;
        let Some(above) = made.parent() else { break };
        made = above;
    }
    if existing.is_dir() {
        sync(existing).map_err(|error| failed(existing, &error))?;
    }
    Ok(())
}

/// Takes the folder for this process, as long as the file is held.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("usher.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| failed(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::Locked { file: path }),
        Err(fs::TryLockError::Error(error)) => Err(failed(&path, &error)),
    }
}

/// Removes what a killed process left half written.
pub(super) fn remove_unfinished(folder: &Path) {
    for path in files(folder, |name| name.ends_with(".tmp")) {
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(file = %path.display(), %error, "could not remove an unfinished file");
        }
    }
}

/// The files of a folder whose names fit, in the order of their names.
pub(super) fn files(folder: &Path, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&fits))
        .collect();
    found.sort();
    found
}

/// A new file for its owner alone.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(path)
}

/// Puts a finished and synced file in its place, durably.
pub(super) fn put_in_place(unfinished: &Path, path: &Path) -> io::Result<()> {
    fs::rename(unfinished, path)?;
    sync(path.parent().unwrap_or_else(|| Path::new(".")))
}

/// Syncs a folder's own entries.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
