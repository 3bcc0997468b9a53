//! The parts of a large entry of the history: its changes, packed, a piece at a time, so that a look through the history doesn't read them.

use bytes::Bytes;

use super::Moved;
use super::walk::damaged;
use crate::service::{Service, ServiceError, encoded, pack};

/// What the keys of all parts begin with. They stand apart from the entries, which are walked through.
const PREFIX: &str = "/usher/history-parts/";

/// Bytes of changes that an entry holds itself, and that a part holds before it is packed; one change may be larger.
const PIECE: usize = 1 << 20;

/// Changes up to which nobody asks how large they are: one is 1.5 MiB at most.
const FEW: usize = 8;

/// The key of a part.
pub(super) fn key(sequence: u64, at: usize) -> String {
    format!("{PREFIX}{sequence:020}/{at:06}")
}

/// Takes out of an entry's changes what is too much for it, packed and in order. Nothing where all fit.
pub(super) fn split(changes: &mut Vec<Moved>) -> Result<Vec<Bytes>, ServiceError> {
    let mut parts = Vec::new();
    if changes.len() <= FEW {
        return Ok(parts);
    }
    let (mut kept, mut list) = (None, List::default());
    for (at, moved) in changes.iter().enumerate() {
        let text = encoded(moved)?;
        if !list.0.is_empty() && list.0.len() + text.len() > PIECE {
            let full = std::mem::take(&mut list);
            match kept {
                // The first piece stays in the entry, where a look through the history finds it.
                None => kept = Some(at),
                Some(_) => parts.push(pack::pack(&full.ended())?),
            }
        }
        list.add(&text);
    }
    if let Some(kept) = kept {
        parts.push(pack::pack(&list.ended())?);
        changes.truncate(kept);
    }
    Ok(parts)
}

/// A JSON list in the making.
#[derive(Default)]
struct List(Vec<u8>);

impl List {
    fn add(&mut self, text: &[u8]) {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        self.0.extend_from_slice(text);
    }

    fn ended(mut self) -> Vec<u8> {
        self.0.push(b']');
        self.0
    }
}

fn unpack(packed: &[u8]) -> Option<Vec<Moved>> {
    serde_json::from_slice(&pack::unpack(packed)?).ok()
}

/// The changes of one part.
pub(super) async fn read(service: &Service, sequence: u64, at: usize) -> Result<Vec<Moved>, ServiceError> {
    let entry = service.store().get(&key(sequence, at)).await?;
    let entry = entry.ok_or_else(|| {
        ServiceError::Damaged(format!("part {at} of entry {sequence} of the history is missing"))
    })?;
    unpack(&entry.value).ok_or_else(|| damaged(entry.created))
}

/// The keys of the parts of an entry.
pub(super) async fn keys(service: &Service, sequence: u64) -> Result<Vec<String>, ServiceError> {
    let prefix = format!("{PREFIX}{sequence:020}/");
    let last = service.store().list_page(&prefix, None, 1, true).await?.entries.into_iter().next();
    let count = last.and_then(|last| last.key.rsplit_once('/')?.1.parse::<usize>().ok());
    Ok((0..count.map_or(0, |count| count + 1)).map(|at| key(sequence, at)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::{Moved, PIECE, split, unpack};

    #[test]
    fn what_is_split_is_all_there_and_in_order() {
        let moved = |at: usize, size: usize| Moved {
            key: format!("/apisix/routes/{at}"),
            before: None,
            after: Some(Arc::new(json!({ "desc": "x".repeat(size) }))),
        };
        for (count, size, parts) in [(1, 10, 0), (100, 10, 0), (10_000, 300, 3), (40, PIECE, 39)] {
            let all: Vec<Moved> = (0..count).map(|at| moved(at, size)).collect();
            let mut changes = all.clone();
            let made = split(&mut changes).unwrap();
            assert_eq!(made.len(), parts, "{count} of {size}");
            for packed in &made {
                assert!(packed.len() < PIECE);
                changes.extend(unpack(packed).unwrap());
            }
            let keys = |list: &[Moved]| list.iter().map(|moved| moved.key.clone()).collect::<Vec<_>>();
            assert_eq!(keys(&changes), keys(&all));
        }
        assert!(unpack(b"no zlib").is_none());
    }
}
