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

/// Writes everything of a store to `to`, which is flushed but not synced.
///
/// A store of this process gives one revision. Of another one the parts are listed until they agree, at most five times;
/// [`ArchiveInfo::one_revision`] tells whether they did.
///
/// # Errors
/// [`ArchiveError::Store`], [`ArchiveError::Io`].
pub async fn write(store: &dyn Store, to: impl Write + Send) -> Result<ArchiveInfo, ArchiveError> {
    // Twice, so that also those are known that were given an end shortly before the list, or lost it shortly behind.
    let mut leases = store.leases().await?;
    let (listing, one_revision) = list(store).await?;
    leases.extend(store.leases().await?);
    let ends: HashMap<(Arc<str>, u64), u64> = leases
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
    let mut output = Output { to: std::io::BufWriter::new(to), digest: Context::new(&SHA256), bytes: 0 };
    output.line(&head)?;
    let mut entries = 0;
    for entry in &listing.entries {
        let until_unix_ms = ends.get(&(Arc::clone(&entry.key), entry.modified)).copied();
        output.line(&line(entry, until_unix_ms))?;
        entries += 1;
    }
    let sha256 = hexadecimal(output.digest.clone().finish().as_ref());
    output.line(&End { entries, sha256 })?;
    output.to.flush()?;
    Ok(ArchiveInfo {
        store: head.store,
        revision: head.revision,
        written_unix_ms: head.written_unix_ms,
        one_revision,
        entries,
        bytes: output.bytes,
    })
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

struct Output<W: Write> {
    to: std::io::BufWriter<W>,
    digest: Context,
    bytes: u64,
}

impl<W: Write> Output<W> {
    fn line(&mut self, line: &impl serde::Serialize) -> Result<(), ArchiveError> {
        let mut text = serde_json::to_vec(line).map_err(std::io::Error::other)?;
        text.push(b'\n');
        self.to.write_all(&text)?;
        self.digest.update(&text);
        self.bytes += text.len() as u64;
        Ok(())
    }
}
