//! Writes an archive of a running store.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ArchiveError, ArchiveInfo, End, Head, KEPT, Line, VERSION, hexadecimal};
use crate::{Entry, Lease, Listing, Store, StoreError};

/// How often a store that lists its parts apart is asked for all of them at the same revision.
const TRIES: usize = 5;

/// Bytes of an archive that [`Pieces`] gives at a time, about.
const PIECE_BYTES: usize = 64 << 10;

/// Writes everything of a store to `to`, which is flushed but not synced.
///
/// A store of this process gives one revision. Of another one the parts are listed until they agree, at most five times;
/// [`ArchiveInfo::one_revision`] tells whether they did.
///
/// # Errors
/// [`ArchiveError::Store`], [`ArchiveError::Io`].
pub async fn write(store: &dyn Store, mut to: impl Write + Send) -> Result<ArchiveInfo, ArchiveError> {
    let mut pieces = pieces(store).await?;
    for piece in &mut pieces {
        to.write_all(&piece?)?;
    }
    to.flush()?;
    Ok(pieces.info())
}

/// The same piece by piece, for whoever sends it on: the archive is never in memory as a whole.
///
/// # Errors
/// [`ArchiveError::Store`].
pub async fn pieces(store: &dyn Store) -> Result<Pieces, ArchiveError> {
    // Twice, so that also those are known that were given an end shortly before the list, or lost it shortly behind.
    let mut leases = store.leases().await?;
    let (listing, one_revision) = list(store).await?;
    leases.extend(store.leases().await?);
    let ends = leases
        .into_iter()
        .map(|Lease { key, modified, until_unix_ms }| ((key, modified), until_unix_ms))
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let head = Head {
        usher_archive: VERSION,
        store: store.describe().kind.to_owned(),
        revision: listing.revision,
        written_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        one_revision,
    };
    Ok(Pieces {
        left: listing.entries.into_iter(),
        ends,
        head,
        digest: Context::new(&SHA256),
        entries: 0,
        bytes: 0,
        state: State::Begun,
    })
}

/// An archive in pieces of some lines each. After a failure there are no more.
pub struct Pieces {
    left: std::vec::IntoIter<Entry>,
    ends: HashMap<(Arc<str>, u64), u64>,
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

    fn piece(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        if self.state == State::Begun {
            self.state = State::Going;
            let head = spelled(&self.head)?;
            self.take(&mut piece, &head);
        }
        while piece.len() < PIECE_BYTES {
            let Some(entry) = self.left.next() else {
                self.state = State::Ended;
                let sha256 = hexadecimal(self.digest.clone().finish().as_ref());
                let end = spelled(&End { entries: self.entries, sha256 })?;
                self.take(&mut piece, &end);
                break;
            };
            let until_unix_ms = self.ends.get(&(Arc::clone(&entry.key), entry.modified)).copied();
            let text = spelled(&line(&entry, until_unix_ms))?;
            self.take(&mut piece, &text);
            self.entries += 1;
        }
        Ok(piece)
    }

    fn take(&mut self, piece: &mut Vec<u8>, line: &[u8]) {
        self.digest.update(line);
        self.bytes += line.len() as u64;
        piece.extend_from_slice(line);
    }
}

impl Iterator for Pieces {
    type Item = Result<Vec<u8>, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let piece = self.piece();
        if piece.is_err() {
            self.state = State::Ended;
        }
        Some(piece)
    }
}

/// A line of JSON with its end.
fn spelled(line: &impl serde::Serialize) -> Result<Vec<u8>, ArchiveError> {
    let mut text = serde_json::to_vec(line).map_err(std::io::Error::other)?;
    text.push(b'\n');
    Ok(text)
}

/// Everything that is kept, and whether it is of one revision.
async fn list(store: &dyn Store) -> Result<(Listing, bool), StoreError> {
    let [first, second] = KEPT;
    if store.capabilities().alone {
        let mut listing = store.list("/").await?;
        listing.entries.retain(|entry| KEPT.iter().any(|prefix| entry.key.starts_with(prefix)));
        return Ok((listing, true));
    }
    let mut tries = 1;
    loop {
        let mut listing = store.list(first).await?;
        let rest = store.list(second).await?;
        let agree = listing.revision == rest.revision;
        if agree || tries == TRIES {
            listing.entries.extend(rest.entries);
            listing.revision = listing.revision.max(rest.revision);
            return Ok((listing, agree));
        }
        tries += 1;
    }
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
