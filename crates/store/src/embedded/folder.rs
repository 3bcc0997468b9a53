//! The folder that a store lives in: locked, its files replaced in whole.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use crate::StoreError;

/// What unfinished files end with.
const UNFINISHED: &str = "tmp";

/// The folder, and the disk that it is on.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
}

/// What became of an operation on this file or folder.
pub(super) fn failed(place: &Path, error: &io::Error) -> StoreError {
    if is_full(error) {
        return StoreError::Full;
    }
    StoreError::Folder { place: place.to_owned(), reason: error.to_string() }
}

/// Whether there was no room: on the disk, within what its owner may use, or within what a file of this process may be (`RLIMIT_FSIZE`).
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

impl Folder {
    /// Makes the folder where it isn't there.
    pub(super) fn make(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, StoreError> {
        disk.make_folder(path).map_err(|error| failed(path, &error))?;
        Ok(Self { disk, path: path.to_owned() })
    }

    /// Takes the folder for this process, as long as what it returns is held.
    pub(super) fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, StoreError> {
        let path = self.path.join("usher.lock");
        match self.disk.lock(&path) {
            Ok(Some(lock)) => Ok(lock),
            Ok(None) => Err(StoreError::Locked { file: path }),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// The data file.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("usher.redb")
    }

    /// The files whose names fit, in the order of their names.
    pub(super) fn files(&self, fits: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
        let mut files = self.disk.files(&self.path)?;
        files.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&fits));
        Ok(files)
    }

    /// All of a file.
    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.disk.open(path)?;
        let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Makes a file: written under a temporary name, synced, then put in its place. Nothing is left of it where that fails.
    pub(super) fn write_whole<T, E: From<io::Error>>(
        &self,
        path: &Path,
        write: impl FnOnce(Box<dyn DiskFile>) -> Result<T, E>,
    ) -> Result<T, E> {
        let unfinished = path.with_extension(UNFINISHED);
        let written = (|| {
            let made = write(self.disk.create(&unfinished)?)?;
            // Whoever wrote it may have closed it, and may have synced it; that it is on the disk is certain only from here.
            self.disk.open(&unfinished)?.sync()?;
            self.disk.rename(&unfinished, path)?;
            self.disk.sync_folder(&self.path)?;
            Ok(made)
        })();
        if written.is_err() {
            // What is left of it would fill a disk that is full already. It may have its name by now; then it is whole.
            let _ = self.disk.remove(&unfinished);
        }
        written
    }

    /// Removes what a killed process left half written.
    pub(super) fn remove_unfinished(&self) {
        for path in self.files(|name| name.ends_with(".tmp")).unwrap_or_default() {
            self.remove(&path);
        }
    }

    /// Removes a file that isn't needed any more; that it stays is no harm.
    pub(super) fn remove(&self, path: &Path) {
        if let Err(error) = self.disk.remove(path) {
            tracing::warn!(file = %path.display(), %error, "could not remove a file that isn't needed any more");
        }
    }
}
