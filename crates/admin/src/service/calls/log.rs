//! The file that calls are kept in: a line of JSON each, and beside it, once it has grown, the one before it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::CallRecord;

/// The file's name.
pub(super) const NAME: &str = "calls.jsonl";
/// The name of the one before it.
pub(super) const OLDER: &str = "calls.1.jsonl";
/// A file that has grown beyond this makes room; the two together hold some 40,000 calls.
const MOST_BYTES: u64 = 8 << 20;

/// The file that is written.
pub(super) struct LogFile {
    folder: PathBuf,
    file: File,
    size: u64,
}

impl LogFile {
    /// Opens what the folder holds, without a line that was not written to its end, and gives the newest record.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Option<CallRecord>)> {
        let text = lines(&folder.join(NAME))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut last = newest(text.get(..whole).unwrap_or_default());
        if last.is_none() {
            last = newest(&lines(&folder.join(OLDER))?);
        }
        let file = opened(folder)?;
        let size = whole as u64;
        if whole < text.len() {
            file.set_len(size)?;
        }
        Ok((Self { folder: folder.to_owned(), file, size }, last))
    }

    /// Where it lies.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a record.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn append(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        line.push(b'\n');
        if self.size > 0 && self.size + line.len() as u64 > MOST_BYTES {
            std::fs::rename(self.folder.join(NAME), self.folder.join(OLDER))?;
            self.file = opened(&self.folder)?;
            self.size = 0;
        }
        if let Err(error) = self.file.write_all(&line) {
            // Half a line would make the next one unreadable too.
            let _ = self.file.set_len(self.size);
            return Err(error);
        }
        self.size += line.len() as u64;
        Ok(())
    }
}

/// All records that a folder holds, oldest first; for a line that is none, why.
///
/// # Errors
/// The disk's.
pub(super) fn read(folder: &Path) -> io::Result<Vec<Result<CallRecord, String>>> {
    let mut text = lines(&folder.join(OLDER))?;
    text.extend(lines(&folder.join(NAME))?);
    let all = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(all.map(|line| serde_json::from_slice(line).map_err(|_| "it can't be read".to_owned())).collect())
}

fn opened(folder: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(NAME))
}

fn lines(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn newest(text: &[u8]) -> Option<CallRecord> {
    let line = text.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty())?;
    serde_json::from_slice(line).ok()
}
