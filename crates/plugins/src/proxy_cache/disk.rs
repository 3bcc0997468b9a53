//! Answers on disk: a file each, written beside its place and moved there whole, so that a crash leaves nothing half.
//!
//! Behind the body stands what the answer is, with checksums of both: whatever was torn or altered is dropped when it is met. A file goes when nothing
//! in memory knows it any more, which is also how the zone keeps to its size; at a start the folder is read beside the traffic.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use usher_pipeline::body::{Body, BodyError, BodyRead};

use super::record::Record;

/// Bodies up to this size are read as one, and checked before the first byte is sent.
const WHOLE: u64 = 256 << 10;
/// How much of a larger one is read at a time.
const PIECE: usize = 64 << 10;
/// What stands at the end of each file.
const MAGIC: &[u8; 8] = b"usherC01";
/// The sizes and checksums behind a record, and the magic.
const FOOTER: u64 = 8 + 4 + 4 + 4 + 8;
/// The longest record.
const MAX_RECORD: u32 = 4 << 20;

/// A folder of answers.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    levels: Vec<usize>,
    /// What the names of this process' files say, so that the reader of what earlier ones left takes up none of them: two owners of one file would
    /// take it away from each other.
    own: u32,
    finished: AtomicU32,
    /// The process is about to end: what is there stays.
    leaving: Arc<AtomicBool>,
}

impl Folder {
    /// `levels`: how many hexadecimal digits name the folders in it, as nginx has them (`1:2`).
    pub(super) fn new(path: PathBuf, levels: Vec<usize>) -> Self {
        Self { path, levels, own: fastrand::u32(..), finished: AtomicU32::new(0), leaving: Arc::default() }
    }

    /// Everything that is there from now on stays there.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Whether the process is about to end.
    pub(super) fn is_left(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    fn unfinished(&self) -> PathBuf {
        self.path.join("unfinished")
    }

    /// The folder of a key, and how its files' names begin.
    fn place(&self, key: &[u8]) -> (PathBuf, String) {
        let sum = digest(&SHA256, key);
        let name: String = sum.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let mut folder = self.path.clone();
        let mut end = name.len();
        for level in &self.levels {
            let start = end.saturating_sub(*level);
            folder.push(name.get(start..end).unwrap_or_default());
            end = start;
        }
        (folder, name)
    }

    /// Begins a file.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn begin(&self) -> io::Result<Writing> {
        let folder = self.unfinished();
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{:016x}", fastrand::u64(..)));
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Writing {
            file: io::BufWriter::with_capacity(PIECE, file),
            path,
            length: 0,
            sum: crc32fast::Hasher::new(),
        })
    }

    /// Moves a finished file to its place.
    ///
    /// # Errors
    /// The disk's; nothing is left behind.
    pub(super) fn finish(&self, mut writing: Writing, key: &[u8], record: &Record) -> io::Result<Stay> {
        let (length, sum) = (writing.length, writing.sum.clone().finalize());
        let text = record.write(key);
        let size = u32::try_from(text.len()).map_err(io::Error::other)?;
        if size > MAX_RECORD {
            return Err(io::Error::other("its fields are too long"));
        }
        writing.file.write_all(&text)?;
        for part in [
            &length.to_be_bytes()[..],
            &sum.to_be_bytes(),
            &crc32fast::hash(&text).to_be_bytes(),
            &size.to_be_bytes(),
            MAGIC,
        ] {
            writing.file.write_all(part)?;
        }
        writing.file.flush()?;
        let (folder, name) = self.place(key);
        fs::create_dir_all(&folder)?;
        let number = self.finished.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{name}-{:08x}{number:08x}", self.own));
        fs::rename(&writing.path, &path)?;
        Ok(Stay { path, length, sum, leaving: Arc::clone(&self.leaving) })
    }

    /// Takes away every file of a key, also such that aren't known yet.
    pub(super) fn remove(&self, key: &[u8]) {
        let (folder, name) = self.place(key);
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&name) {
                // Gone already is as good.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Drops what an earlier process has not finished: nobody will. Comes before the first file is begun.
    pub(super) fn tidy(&self) {
        // Nothing there is as good.
        let _ = fs::remove_dir_all(self.unfinished());
    }

    /// Looks at everything that earlier processes left, and drops what can't be used.
    pub(super) fn read(&self, mut found: impl FnMut(Vec<u8>, Record, Stay)) {
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if self.is_left() {
                    return;
                }
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_file() && self.is_left_over(&path) => match self.read_one(&path) {
                        Ok((key, record, stay)) => found(key, record, stay),
                        Err(error) => {
                            tracing::warn!(path = %path.display(), %error, "dropped a damaged file of the cache");
                            let _ = fs::remove_file(path);
                        }
                    },
                    // Whatever else lies here is somebody's.
                    _ => {}
                }
            }
        }
    }

    /// Whether a file is one of a cache's, and not of this process.
    fn is_left_over(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let own = format!("{:08x}", self.own);
        is_ours(&name) && name.split_once('-').is_some_and(|(_, one)| !one.starts_with(&own))
    }

    fn read_one(&self, path: &Path) -> io::Result<(Vec<u8>, Record, Stay)> {
        let torn = || io::Error::other("it is torn");
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        let from = size.checked_sub(FOOTER).ok_or_else(torn)?;
        file.seek(SeekFrom::Start(from))?;
        let mut footer = [0; 28];
        file.read_exact(&mut footer)?;
        let (numbers, magic) = footer.split_at(20);
        let number = |at: usize| {
            let bytes = numbers.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
            bytes.map(u32::from_be_bytes).unwrap_or_default()
        };
        let length = u64::from(number(0)) << 32 | u64::from(number(4));
        let (sum, of_record, record_size) = (number(8), number(12), number(16));
        let is_whole = length.checked_add(u64::from(record_size)) == Some(from);
        if magic != MAGIC || record_size > MAX_RECORD || !is_whole {
            return Err(torn());
        }
        file.seek(SeekFrom::Start(length))?;
        let mut text = vec![0; usize::try_from(record_size).map_err(io::Error::other)?];
        file.read_exact(&mut text)?;
        if crc32fast::hash(&text) != of_record {
            return Err(io::Error::other("its record was altered"));
        }
        let (key, record) =
            Record::read(&text).ok_or_else(|| io::Error::other("its record can't be read"))?;
        Ok((key, record, Stay { path: path.to_owned(), length, sum, leaving: Arc::clone(&self.leaving) }))
    }
}

/// 32 hexadecimal digits, a hyphen, and 16 more.
fn is_ours(name: &str) -> bool {
    let parts = name.split_once('-').filter(|(key, one)| key.len() == 32 && one.len() == 16);
    parts.is_some_and(|(key, one)| key.bytes().chain(one.bytes()).all(|byte| byte.is_ascii_hexdigit()))
}

/// A file that is being written. Dropped before it is finished, it is gone.
#[derive(Debug)]
pub(super) struct Writing {
    file: io::BufWriter<File>,
    path: PathBuf,
    length: u64,
    sum: crc32fast::Hasher,
}

impl Writing {
    /// One more piece of the body.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.sum.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    /// Bytes of the body so far.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Moved to its place, it is no longer here.
        let _ = fs::remove_file(&self.path);
    }
}

/// A body on disk. Dropped, its file is gone, unless the process is about to end.
#[derive(Debug)]
pub(super) struct Stay {
    path: PathBuf,
    length: u64,
    sum: u32,
    leaving: Arc<AtomicBool>,
}

impl Stay {
    /// Bytes of the body.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// The body.
    ///
    /// # Errors
    /// The file is gone or was altered.
    pub(super) fn body(&self) -> io::Result<Body> {
        let mut file = File::open(&self.path)?;
        if self.length > WHOLE {
            let left = self.length;
            return Ok(Body::Stream(Box::new(Reading {
                file,
                left,
                sum: crc32fast::Hasher::new(),
                wanted: self.sum,
            })));
        }
        let mut whole = vec![0; usize::try_from(self.length).map_err(io::Error::other)?];
        file.read_exact(&mut whole)?;
        if crc32fast::hash(&whole) != self.sum {
            return Err(io::Error::other("its body was altered"));
        }
        Ok(Body::Full(whole.into()))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        if !self.leaving.load(Ordering::Acquire) {
            // Purged already is as good.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A large body on its way from the disk. Its last piece goes out only where all of them are what was written.
struct Reading {
    file: File,
    left: u64,
    sum: crc32fast::Hasher,
    wanted: u32,
}

impl BodyRead for Reading {
    fn poll_read(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let size = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE);
        let mut piece = vec![0; size];
        if let Err(error) = self.file.read_exact(&mut piece) {
            tracing::warn!(%error, "a file of the cache can't be read to its end");
            return Poll::Ready(Some(Err(BodyError::Closed)));
        }
        self.sum.update(&piece);
        self.left -= size as u64;
        if self.left == 0 && self.sum.clone().finalize() != self.wanted {
            return Poll::Ready(Some(Err(BodyError::Refused("a file of the cache was altered".to_owned()))));
        }
        Poll::Ready(Some(Ok(piece.into())))
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.left)
    }
}
