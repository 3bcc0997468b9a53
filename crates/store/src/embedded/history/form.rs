//! The form of change logs and snapshots: lengths before bytes, numbers big-endian, each record and each snapshot with its checksum.
//!
//! A log is its magic, the revision it goes on from, and records. A record is its length, its checksum, its revision, how many events and the
//! events (1 and the entry, or 0 and the key), how many leases and the leases (key and end). A snapshot is its magic, its revision, how many
//! entries, each entry with its end (0: it stays), and a checksum of all that. The forms of version 1 have no leases; they are read.

use std::sync::Arc;

use bytes::Bytes;

use crate::embedded::database::Until;
use crate::{Batch, Entry, Event, Revision};

const LOG: &[u8; 8] = b"USHLOG02";
const LOG_BEFORE: &[u8; 8] = b"USHLOG01";
const SNAPSHOT: &[u8; 8] = b"USHSNP02";
const SNAPSHOT_BEFORE: &[u8; 8] = b"USHSNP01";
/// The length of a log's head.
pub(super) const HEAD_BYTES: u64 = 16;

/// A committed transaction with the ends of the keys it gave one.
#[derive(Clone, Debug)]
pub(in super::super) struct Change {
    pub(in super::super) batch: Batch,
    pub(in super::super) leases: Vec<Until>,
}

/// The good part of a change log.
#[derive(Debug)]
pub(in super::super) struct Log {
    /// The revision that it goes on from.
    pub(in super::super) base: Revision,
    /// Its good transactions.
    pub(in super::super) changes: Vec<Change>,
    /// The length of its good part in bytes.
    pub(in super::super) length: u64,
    /// Whether it has the form that is written, so that it can be gone on with.
    pub(in super::super) writable: bool,
}

impl Log {
    /// The revision that it ends with.
    pub(in super::super) const fn end(&self) -> Revision {
        self.base.saturating_add(self.changes.len() as u64)
    }
}

/// Everything as of one revision.
#[derive(Debug, Default)]
pub(in super::super) struct Snapshot {
    pub(in super::super) revision: Revision,
    /// The entries, each with its end.
    pub(in super::super) entries: Vec<(Entry, Option<u64>)>,
}

/// The head of a log that goes on from this revision.
pub(super) fn log_head(revision: Revision) -> Vec<u8> {
    [LOG.as_slice(), &revision.to_be_bytes()].concat()
}

/// The head of a snapshot.
pub(super) fn snapshot_head(revision: Revision, count: u64) -> Vec<u8> {
    [SNAPSHOT.as_slice(), &revision.to_be_bytes(), &count.to_be_bytes()].concat()
}

/// One entry of a snapshot.
pub(super) fn write_row(out: &mut Vec<u8>, entry: &Entry, until: Option<u64>) {
    write_entry(out, entry);
    out.extend_from_slice(&until.unwrap_or_default().to_be_bytes());
}

/// One record of a log.
pub(super) fn write_record(out: &mut Vec<u8>, change: &Change) {
    let start = out.len();
    out.extend_from_slice(&[0; 12]);
    let batch = &change.batch;
    out.extend_from_slice(&batch.revision.to_be_bytes());
    out.extend_from_slice(&(batch.events.len() as u64).to_be_bytes());
    for event in &batch.events {
        match &event.after {
            Some(entry) => {
                out.push(1);
                write_entry(out, entry);
            }
            None => {
                out.push(0);
                write_bytes(out, event.key.as_bytes());
            }
        }
    }
    out.extend_from_slice(&(change.leases.len() as u64).to_be_bytes());
    for (key, until) in &change.leases {
        write_bytes(out, key.as_bytes());
        out.extend_from_slice(&until.to_be_bytes());
    }
    let record = out.get(start + 12..).unwrap_or_default();
    let (length, checksum) = (record.len() as u64, crc32fast::hash(record));
    let head = [length.to_be_bytes().as_slice(), &checksum.to_be_bytes()].concat();
    if let Some(place) = out.get_mut(start..start + 12) {
        place.copy_from_slice(&head);
    }
}

/// Reads a log up to its first damaged or unfinished record; `None` where not even its head is right.
pub(in super::super) fn read_log(bytes: &[u8]) -> Option<Log> {
    let mut reader = Reader(bytes);
    let magic = reader.take(8)?;
    let writable = magic == LOG;
    (writable || magic == LOG_BEFORE).then_some(())?;
    let base = reader.number()?;
    let mut log = Log { base, changes: Vec::new(), length: HEAD_BYTES, writable };
    let mut newest = base;
    while let Some(change) = reader.record(writable) {
        if newest.checked_add(1) != Some(change.batch.revision) {
            break;
        }
        newest = change.batch.revision;
        log.changes.push(change);
        log.length = (bytes.len() - reader.0.len()) as u64;
    }
    Some(log)
}

/// A snapshot; `None` where it is damaged.
pub(in super::super) fn read_snapshot(bytes: &[u8]) -> Option<Snapshot> {
    let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if crc32fast::hash(body).to_be_bytes() != *checksum {
        return None;
    }
    let mut reader = Reader(body);
    let magic = reader.take(8)?;
    let with_leases = magic == SNAPSHOT;
    (with_leases || magic == SNAPSHOT_BEFORE).then_some(())?;
    let (revision, count) = (reader.number()?, reader.number()?);
    let mut snapshot = Snapshot { revision, entries: Vec::new() };
    for _ in 0..count {
        let entry = reader.entry()?;
        let until = if with_leases { reader.number()? } else { 0 };
        snapshot.entries.push((entry, (until > 0).then_some(until)));
    }
    reader.0.is_empty().then_some(snapshot)
}

fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    write_bytes(out, entry.key.as_bytes());
    out.extend_from_slice(&entry.created.to_be_bytes());
    out.extend_from_slice(&entry.modified.to_be_bytes());
    write_bytes(out, &entry.value);
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(self.take(8)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    fn key(&mut self) -> Option<Arc<str>> {
        std::str::from_utf8(self.bytes()?).ok().map(Arc::from)
    }

    fn entry(&mut self) -> Option<Entry> {
        let key = self.key()?;
        let (created, modified) = (self.number()?, self.number()?);
        Some(Entry { key, created, modified, value: Bytes::copy_from_slice(self.bytes()?) })
    }

    fn record(&mut self, with_leases: bool) -> Option<Change> {
        let length = usize::try_from(self.number()?).ok()?;
        let checksum = self.take(4)?;
        let record = self.take(length)?;
        if crc32fast::hash(record).to_be_bytes() != *checksum {
            return None;
        }
        let mut inside = Self(record);
        let (revision, count) = (inside.number()?, inside.number()?);
        let mut events = Vec::new();
        for _ in 0..count {
            let event = match inside.take(1)? {
                [1] => {
                    let entry = inside.entry()?;
                    Event { key: Arc::clone(&entry.key), before: None, after: Some(entry) }
                }
                [0] => Event { key: inside.key()?, before: None, after: None },
                _ => return None,
            };
            events.push(event);
        }
        let mut leases = Vec::new();
        for _ in 0..if with_leases { inside.number()? } else { 0 } {
            leases.push((inside.key()?, inside.number()?));
        }
        Some(Change { batch: Batch { revision, events }, leases })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Change, HEAD_BYTES, log_head, read_log, read_snapshot, snapshot_head, write_record, write_row,
    };
    use crate::{Batch, Entry, Event};

    fn entry(key: &str, modified: u64) -> Entry {
        Entry { key: key.into(), value: "value".into(), created: 3, modified }
    }

    #[test]
    fn a_log_reads_back_up_to_where_it_is_good() {
        let mut bytes = log_head(7);
        assert_eq!(bytes.len() as u64, HEAD_BYTES);
        let put = Event { key: "/a".into(), before: None, after: Some(entry("/a", 8)) };
        let first =
            Change { batch: Batch { revision: 8, events: vec![put] }, leases: vec![("/a".into(), 99)] };
        let delete = Event { key: "/a".into(), before: None, after: None };
        let second = Change { batch: Batch { revision: 9, events: vec![delete] }, leases: Vec::new() };
        write_record(&mut bytes, &first);
        let whole_first = bytes.len();
        write_record(&mut bytes, &second);
        let log = read_log(&bytes).unwrap();
        assert_eq!((log.base, log.length, log.writable), (7, bytes.len() as u64, true));
        assert_eq!(format!("{:?}", log.changes), format!("{:?}", [&first, &second]));
        for cut in whole_first..bytes.len() {
            let log = read_log(&bytes[..cut]).unwrap();
            assert_eq!((log.changes.len(), log.length), (1, whole_first as u64), "cut at {cut}");
        }
        // A record out of its order ends the good part.
        write_record(&mut bytes, &first);
        assert_eq!(read_log(&bytes).unwrap().changes.len(), 2);
    }

    #[test]
    fn a_snapshot_reads_back_whole_or_not_at_all() {
        let mut bytes = snapshot_head(9, 2);
        write_row(&mut bytes, &entry("/a", 8), None);
        write_row(&mut bytes, &entry("/b", 9), Some(5));
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        let snapshot = read_snapshot(&bytes).unwrap();
        assert_eq!(snapshot.revision, 9);
        assert_eq!(snapshot.entries, [(entry("/a", 8), None), (entry("/b", 9), Some(5))]);
        for at in 0..bytes.len() {
            assert!(read_snapshot(&bytes[..at]).is_none());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(read_snapshot(&flipped).is_none(), "byte {at}");
        }
    }

    #[test]
    fn the_forms_without_leases_are_read() {
        let mut snapshot = b"USHSNP01".to_vec();
        snapshot.extend_from_slice(&4_u64.to_be_bytes());
        snapshot.extend_from_slice(&1_u64.to_be_bytes());
        super::write_entry(&mut snapshot, &entry("/a", 4));
        snapshot.extend_from_slice(&crc32fast::hash(&snapshot).to_be_bytes());
        assert_eq!(read_snapshot(&snapshot).unwrap().entries, [(entry("/a", 4), None)]);

        let mut record = 5_u64.to_be_bytes().to_vec();
        record.extend_from_slice(&1_u64.to_be_bytes());
        record.push(1);
        super::write_entry(&mut record, &entry("/b", 5));
        let mut log = b"USHLOG01".to_vec();
        log.extend_from_slice(&4_u64.to_be_bytes());
        log.extend_from_slice(&(record.len() as u64).to_be_bytes());
        log.extend_from_slice(&crc32fast::hash(&record).to_be_bytes());
        log.extend_from_slice(&record);
        let log = read_log(&log).unwrap();
        assert_eq!((log.base, log.changes.len(), log.writable), (4, 1, false));
    }
}
