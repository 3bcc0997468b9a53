//! Reads an archive, and makes a store of it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{
    ArchiveError, ArchiveInfo, Archived, End, Head, KEPT, Line, MOST_LINE_BYTES, VERSION, hexadecimal,
};
use crate::embedded::{Embedded, Options};
use crate::{Entry, Revision};

/// What no store comes to: it goes on counting from an archive's revision.
const MOST_REVISION: Revision = Revision::MAX >> 1;

/// A whole archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// What it says of itself.
    pub info: ArchiveInfo,
    /// Its entries in the byte order of their keys.
    pub entries: Vec<Archived>,
}

/// Reads an archive to its end, and checks all of it.
///
/// # Errors
/// [`ArchiveError::Damaged`] with the line, [`ArchiveError::Version`], [`ArchiveError::Io`].
pub fn read(from: impl Read) -> Result<Archive, ArchiveError> {
    let mut entries = Vec::new();
    let info = walk(from, |archived| entries.push(archived))?;
    Ok(Archive { info, entries })
}

/// The same for whoever only wants to know: no more than a line is in memory.
///
/// # Errors
/// Those of [`read`].
pub fn check(from: impl Read) -> Result<ArchiveInfo, ArchiveError> {
    walk(from, drop)
}

fn walk(from: impl Read, mut take: impl FnMut(Archived)) -> Result<ArchiveInfo, ArchiveError> {
    let mut lines = Lines { from: BufReader::new(from), digest: Context::new(&SHA256), number: 0, bytes: 0 };
    let head: Head = head(&lines.next()?.0)?;
    let mut entries = 0;
    let mut last: Option<Arc<str>> = None;
    loop {
        let (text, before) = lines.next()?;
        // Only the last line begins so.
        if text.starts_with(b"{\"entries\":") {
            let end: End = lines.parse(&text)?;
            lines.check_end(&end, entries, &before)?;
            break;
        }
        let archived =
            archived(lines.parse(&text)?, head.revision).map_err(|reason| lines.damaged(reason))?;
        if last.is_some_and(|last| last >= archived.entry.key) {
            return Err(lines.damaged("its key is not behind the one before"));
        }
        last = Some(Arc::clone(&archived.entry.key));
        entries += 1;
        take(archived);
    }
    Ok(ArchiveInfo {
        store: head.store,
        revision: head.revision,
        written_unix_ms: head.written_unix_ms,
        one_revision: head.one_revision,
        entries,
        bytes: lines.bytes,
    })
}

/// Makes an embedded store in a folder, at the archive's revision. Blocks. Keys whose time is over by now are deleted once it is opened.
///
/// # Errors
/// [`ArchiveError::Taken`] where the folder holds a store already; those of [`read`] and [`Embedded::open`].
pub fn restore(folder: &Path, from: impl Read) -> Result<ArchiveInfo, ArchiveError> {
    restore_on(folder, from, Options::default())
}

/// The same on another disk.
///
/// # Errors
/// Those of [`restore`].
pub fn restore_on(folder: &Path, from: impl Read, options: Options) -> Result<ArchiveInfo, ArchiveError> {
    let archive = read(from)?;
    let end = |archived: &Archived| Some((Arc::clone(&archived.entry.key), archived.until_unix_ms?));
    let leases: Vec<(Arc<str>, u64)> = archive.entries.iter().filter_map(end).collect();
    let entries: Vec<Entry> = archive.entries.into_iter().map(|archived| archived.entry).collect();
    if !Embedded::make(folder, options, archive.info.revision, &entries, &leases)? {
        return Err(ArchiveError::Taken { folder: folder.to_owned() });
    }
    Ok(archive.info)
}

fn head(text: &[u8]) -> Result<Head, ArchiveError> {
    #[derive(serde::Deserialize)]
    struct Only {
        usher_archive: u32,
    }
    let damaged = |reason: String| ArchiveError::Damaged { line: 1, reason };
    let Only { usher_archive: found } = serde_json::from_slice(text)
        .map_err(|error| damaged(format!("it does not begin as an archive does ({error})")))?;
    if found != VERSION {
        return Err(ArchiveError::Version { found });
    }
    let head: Head = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    if head.revision > MOST_REVISION {
        return Err(damaged(format!("no store ever came to revision {}", head.revision)));
    }
    Ok(head)
}

fn archived(line: Line, newest: u64) -> Result<Archived, &'static str> {
    if !KEPT.iter().any(|prefix| line.key.starts_with(prefix)) {
        return Err("its key is neither a resource's nor one of Usher's own");
    }
    if line.created == 0 || line.created > line.modified || line.modified > newest {
        return Err("its revisions can't be right");
    }
    if line.until_unix_ms == Some(0) {
        return Err("its end can't be right");
    }
    let value = match (line.value, line.base64) {
        (Some(text), None) => Bytes::from(text),
        (None, Some(text)) => Bytes::from(STANDARD.decode(text).map_err(|_| "its value is not Base64")?),
        _ => return Err("it has no value, or two"),
    };
    let entry = Entry { key: line.key.into(), value, created: line.created, modified: line.modified };
    Ok(Archived { entry, until_unix_ms: line.until_unix_ms })
}

struct Lines<R: Read> {
    from: BufReader<R>,
    digest: Context,
    number: u64,
    bytes: u64,
}

impl<R: Read> Lines<R> {
    fn damaged(&self, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::Damaged { line: self.number, reason: reason.into() }
    }

    /// The next line without its end, and the digest of all before it.
    fn next(&mut self) -> Result<(Vec<u8>, Context), ArchiveError> {
        self.number += 1;
        let mut text = Vec::new();
        (&mut self.from).take(MOST_LINE_BYTES).read_until(b'\n', &mut text)?;
        let before = self.digest.clone();
        self.digest.update(&text);
        self.bytes += text.len() as u64;
        if text.pop() != Some(b'\n') {
            return Err(self.damaged(if text.is_empty() {
                "it is missing, so the archive is not whole"
            } else {
                "it has no end"
            }));
        }
        Ok((text, before))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, text: &[u8]) -> Result<T, ArchiveError> {
        serde_json::from_slice(text).map_err(|error| self.damaged(error.to_string()))
    }

    fn check_end(&mut self, end: &End, entries: u64, before: &Context) -> Result<(), ArchiveError> {
        if end.sha256 != hexadecimal(before.clone().finish().as_ref()) {
            return Err(self.damaged("the checksum of what is before it doesn't fit"));
        }
        if end.entries != entries {
            return Err(
                self.damaged(format!("it speaks of {} entries, but there are {entries}", end.entries))
            );
        }
        if !self.from.fill_buf()?.is_empty() {
            return Err(self.damaged("something comes behind it"));
        }
        Ok(())
    }
}
