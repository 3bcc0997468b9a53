//! The tables of the data file, and what a row of the entries looks like: both revisions, a checksum, the value.

use std::sync::Arc;

use bytes::Bytes;
use redb::TableDefinition;

use super::Fault;
use crate::Entry;

/// Key to row.
pub(super) const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
/// Key to the time when the store deletes it, in milliseconds since 1970. Keys that stay aren't in it.
pub(super) const LEASES: TableDefinition<'_, &str, u64> = TableDefinition::new("leases");
/// The three numbers below.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The store's revision.
pub(super) const REVISION: &str = "revision";
/// How many entries there are.
pub(super) const COUNT: &str = "count";
/// The layout of the file.
pub(super) const FORMAT: &str = "format";
/// The layout that is written: 2 has leases. A later one is refused, not guessed at.
pub(super) const THIS_FORMAT: u64 = 2;

/// Created, modified, checksum.
const HEADER: usize = 20;

fn checksum(key: &str, revisions: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(revisions);
    hasher.update(value);
    hasher.finalize()
}

pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + entry.value.len());
    out.extend_from_slice(&entry.created.to_be_bytes());
    out.extend_from_slice(&entry.modified.to_be_bytes());
    let checksum = checksum(&entry.key, &out, &entry.value);
    out.extend_from_slice(&checksum.to_be_bytes());
    out.extend_from_slice(&entry.value);
    out
}

/// Both revisions and the value of a row that fits its checksum.
fn split<'a>(key: &str, stored: &'a [u8]) -> Result<(u64, u64, &'a [u8]), Fault> {
    let damage = || Fault::Damage(format!("the entry {key} does not fit its checksum"));
    let (revisions, rest) = stored.split_at_checked(16).ok_or_else(damage)?;
    let (wanted, value) = rest.split_at_checked(4).ok_or_else(damage)?;
    if checksum(key, revisions, value).to_be_bytes() != wanted {
        return Err(damage());
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let (created, modified) = revisions.split_at_checked(8).ok_or_else(damage)?;
    Ok((number(created), number(modified), value))
}

pub(super) fn decode(key: Arc<str>, stored: &[u8]) -> Result<Entry, Fault> {
    let (created, modified, value) = split(&key, stored)?;
    Ok(Entry { value: Bytes::copy_from_slice(value), created, modified, key })
}

/// The revision that last changed a row; the row is checked.
pub(super) fn modified(key: &str, stored: &[u8]) -> Result<u64, Fault> {
    split(key, stored).map(|(_, modified, _)| modified)
}
