//! Snapshots alone, for a store whose data is elsewhere: the same files, written and read in the same way.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::disk::Real;
use super::folder::Folder;
use super::history::{forget_old, read_snapshot, revision_of, snapshots, write_rows};
use crate::{Entry, Revision, StoreError};

/// A folder of snapshots; the newest five are kept.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    folder: Folder,
}

impl Snapshots {
    /// Makes the folder where it isn't there, and cleans it of what a killed process left.
    ///
    /// # Errors
    /// [`StoreError::Folder`].
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let folder = Folder::make(Arc::new(Real), path)?;
        folder.remove_unfinished();
        Ok(Self { folder })
    }

    /// The newest that isn't damaged.
    pub(crate) fn newest(&self) -> Option<(Revision, Vec<Entry>)> {
        snapshots(&self.folder).ok()?.into_iter().rev().find_map(|path| {
            let read = read_snapshot(&self.folder, &path);
            if read.is_none() {
                tracing::warn!(file = %path.display(), "a snapshot is damaged; an older one is taken");
            }
            let read = read?;
            Some((read.revision, read.entries.into_iter().map(|(entry, _)| entry).collect()))
        })
    }

    /// Writes one. Those of later revisions go: what they hold was taken back.
    ///
    /// # Errors
    /// What the disk says; nothing was changed then, or only the later ones are left.
    pub(crate) fn write(&self, revision: Revision, entries: &[Entry]) -> io::Result<()> {
        write_rows(&self.folder, revision, entries.len() as u64, |row| {
            entries.iter().try_for_each(|entry| row(entry, None))
        })?;
        for ahead in snapshots(&self.folder)?.iter().filter(|path| revision_of(path) > revision) {
            self.folder.remove(ahead);
        }
        forget_old(&self.folder);
        Ok(())
    }
}
