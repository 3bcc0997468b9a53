//! Writes an archive of a running store.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;

use super::{ArchiveError, ArchiveInfo, End, Head, KEPT, Line, VERSION, hexadecimal};
use crate::{Cut, Dated, Entry, Store};

/// Bytes of an archive that [`Pieces`] gives at a time, about.
const PIECE_BYTES: usize = 64 << 10;

/// Writes everything of a store to `to`, which is flushed but not synced.
///
/// [`ArchiveInfo::one_revision`] tells whether all of it is of one revision.
///
/// # Errors
/// [`ArchiveError::Store`], [`ArchiveError::Io`].
pub async fn write(store: &dyn Store, mut to: impl Write + Send) -> Result<ArchiveInfo, ArchiveError> {
    let mut pieces = pieces(store).await?;
    while let Some(piece) = pieces.next().await {
        to.write_all(&piece?)?;
    }
    to.flush()?;
    Ok(pieces.info())
}

/// The same piece by piece, for whoever sends it on: neither the archive nor the store is ever in memory as a whole, where the store keeps its
/// entries elsewhere.
///
/// # Errors
/// [`ArchiveError::Store`].
pub async fn pieces(store: &dyn Store) -> Result<Pieces, ArchiveError> {
    let cut = store.cut(&KEPT).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let head = Head {
        usher_archive: VERSION,
        store: store.describe().kind.to_owned(),
        revision: cut.revision,
        written_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        one_revision: cut.one_revision,
    };
    Ok(Pieces {
        page: Vec::new().into_iter(),
        cut,
        head,
        digest: Context::new(&SHA256),
        entries: 0,
        bytes: 0,
        state: State::Begun,
    })
}

/// An archive in pieces of some lines each. After a failure there are no more.
pub struct Pieces {
    /// What is left of the newest page.
    page: std::vec::IntoIter<Dated>,
    cut: Cut,
    head: Head,
    digest: Context,
    entries: u64,
    bytes: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Begun,
    Going,
    Ended,
}

impl Pieces {
    /// What was given so far; of the whole archive, once there is nothing more.
    #[must_use]
    pub fn info(&self) -> ArchiveInfo {
        ArchiveInfo {
            store: self.head.store.clone(),
            revision: self.head.revision,
            written_unix_ms: self.head.written_unix_ms,
            one_revision: self.head.one_revision,
            entries: self.entries,
            bytes: self.bytes,
        }
    }

    /// The next piece; `None` once the archive is whole, or has failed.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, ArchiveError>> {
        if self.state == State::Ended {
            return None;
        }
        let piece = self.piece().await;
        if piece.is_err() {
            self.state = State::Ended;
        }
        Some(piece)
    }

    async fn piece(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        if self.state == State::Begun {
            self.state = State::Going;
            let head = spelled(&self.head)?;
            self.take(&mut piece, &head);
        }
        while piece.len() < PIECE_BYTES {
            let Some((entry, until_unix_ms)) = self.entry().await? else {
                self.state = State::Ended;
                let sha256 = hexadecimal(self.digest.clone().finish().as_ref());
                let end = spelled(&End { entries: self.entries, sha256 })?;
                self.take(&mut piece, &end);
                break;
            };
            let text = spelled(&line(&entry, until_unix_ms))?;
            self.take(&mut piece, &text);
            self.entries += 1;
        }
        Ok(piece)
    }

    async fn entry(&mut self) -> Result<Option<Dated>, ArchiveError> {
        loop {
            if let Some(entry) = self.page.next() {
                return Ok(Some(entry));
            }
            match self.cut.pages.next().await {
                Some(page) => self.page = page?.into_iter(),
                None => return Ok(None),
            }
        }
    }

    fn take(&mut self, piece: &mut Vec<u8>, line: &[u8]) {
        self.digest.update(line);
        self.bytes += line.len() as u64;
        piece.extend_from_slice(line);
    }
}

/// A line of JSON with its end.
fn spelled(line: &impl serde::Serialize) -> Result<Vec<u8>, ArchiveError> {
    let mut text = serde_json::to_vec(line).map_err(std::io::Error::other)?;
    text.push(b'\n');
    Ok(text)
}

fn line(entry: &Entry, until_unix_ms: Option<u64>) -> Line {
    let text = std::str::from_utf8(&entry.value).ok().map(str::to_owned);
    Line {
        key: entry.key.to_string(),
        created: entry.created,
        modified: entry.modified,
        until_unix_ms,
        base64: text.is_none().then(|| STANDARD.encode(&entry.value)),
        value: text,
    }
}
