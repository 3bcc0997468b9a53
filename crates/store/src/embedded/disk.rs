//! What the store asks of a disk: a seam of a few operations, so that tests can put a disk there that fails or loses its power.
//!
//! [`Real`] is the operating system's. Nothing here is durable before it was synced: a file's content by [`DiskFile::sync`], a file's name by
//! [`Disk::sync_folder`].

use std::any::Any;
use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Folders and files.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Makes a folder for its owner alone, with those above it, durably; nothing happens where it is.
    ///
    /// # Errors
    /// Those of the disk.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;

    /// Takes a file for this process as long as what it returns is held; `None` where another one has it.
    ///
    /// # Errors
    /// Those of the disk.
    fn lock(&self, file: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;

    /// The files of a folder, sorted.
    ///
    /// # Errors
    /// Those of the disk.
    fn files(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// A new file for its owner alone; what was there is emptied.
    ///
    /// # Errors
    /// Those of the disk.
    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// A file that is there.
    ///
    /// # Errors
    /// Those of the disk; [`io::ErrorKind::NotFound`] where it isn't there.
    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name of the same folder; what had that name is replaced.
    ///
    /// # Errors
    /// Those of the disk.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the disk.
    fn remove(&self, file: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// Those of the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of the disk.
    fn length(&self) -> io::Result<u64>;

    /// Fills `out` from this place on.
    ///
    /// # Errors
    /// Those of the disk; [`io::ErrorKind::UnexpectedEof`] where the file ends before.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at this place; after an error some of them may be there.
    ///
    /// # Errors
    /// Those of the disk.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts it, or lengthens it by zeroes.
    ///
    /// # Errors
    /// Those of the disk.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes its content durable. After an error nobody knows which of it is.
    ///
    /// # Errors
    /// Those of the disk.
    fn sync(&self) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Real;

impl Disk for Real {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
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
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut made = folder;
        while made != existing {
            self.sync_folder(made)?;
            let Some(above) = made.parent() else { break };
            made = above;
        }
        if existing.is_dir() { self.sync_folder(existing) } else { Ok(()) }
    }

    fn lock(&self, file: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(file)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn files(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found =
            fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        found.sort();
        Ok(found)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file =
            OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(file)?;
        Ok(Box::new(file))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(file)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
