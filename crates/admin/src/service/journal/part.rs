//! The parts of a large entry of the history: its changes, packed, a piece at a time, so that a look through the history doesn't read them.

use bytes::Bytes;

use super::walk::damaged;
use super::{Move, Moved};
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

/// How many of a change's objects its entry holds itself, and what is too much for it, packed and in order. Nothing where all fit.
pub(super) fn split(moves: &[Move]) -> Result<(usize, Vec<Bytes>), ServiceError> {
    let mut parts = Vec::new();
    if moves.len() <= FEW {
        return Ok((moves.len(), parts));
    }
    let (mut kept, mut list) = (None, List::default());
    for (at, moved) in moves.iter().enumerate() {
        let length = length(moved);
        if !list.0.is_empty() && list.0.len() + length > PIECE {
            let full = std::mem::take(&mut list);
            match kept {
                // The first piece stays in the entry, where a look through the history finds it.
                None => kept = Some(at),
                Some(_) => parts.push(pack::pack(&full.ended())?),
            }
        }
        list.add(moved)?;
    }
    if kept.is_some() {
        parts.push(pack::pack(&list.ended())?);
    }
    Ok((kept.unwrap_or(moves.len()), parts))
}

/// About how many bytes a move takes in a list.
fn length(moved: &Move) -> usize {
    let of = |text: &Option<Bytes>| text.as_ref().map_or(4, Bytes::len);
    64 + moved.key.id.len() + of(&moved.before) + of(&moved.after)
}

/// A JSON list in the making.
#[derive(Default)]
struct List(Vec<u8>);

impl List {
    /// Adds a move as [`Moved`] is spelled, its values as they are stored.
    fn add(&mut self, moved: &Move) -> Result<(), ServiceError> {
        let Self(text) = self;
        text.push(if text.is_empty() { b'[' } else { b',' });
        text.extend_from_slice(b"{\"key\":");
        text.extend(encoded(&moved.key.path())?);
        for (name, value) in [(&b",\"before\":"[..], &moved.before), (b",\"after\":", &moved.after)] {
            text.extend_from_slice(name);
            text.extend_from_slice(value.as_deref().unwrap_or(b"null"));
        }
        text.push(b'}');
        Ok(())
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
    use usher_model::kind::{Key, Kind};

    use super::{Move, Moved, PIECE, split, unpack};

    #[test]
    fn what_is_split_is_all_there_and_in_order() {
        let moved = |at: usize, size: usize| Move {
            key: Key::new(Kind::Route, at.to_string()),
            before: None,
            after: Some(format!(r#"{{"desc":"{}"}}"#, "x".repeat(size)).into()),
            seen: None,
        };
        for (count, size, parts) in [(1, 10, 0), (100, 10, 0), (10_000, 300, 3), (40, PIECE, 39)] {
            let all: Vec<Move> = (0..count).map(|at| moved(at, size)).collect();
            let (kept, made) = split(&all).unwrap();
            assert_eq!(made.len(), parts, "{count} of {size}");
            let told = |moved: &Moved| (moved.key.clone(), moved.before.clone(), moved.after.clone());
            let mut list: Vec<_> =
                all.iter().take(kept).map(|moved| told(&Moved::of(moved).unwrap())).collect();
            for packed in &made {
                assert!(packed.len() < PIECE);
                list.extend(unpack(packed).unwrap().iter().map(told));
            }
            assert!(list == all.iter().map(|moved| told(&Moved::of(moved).unwrap())).collect::<Vec<_>>());
        }
        assert!(unpack(b"no zlib").is_none());
    }
}
