//! What tells of a change is made to tell of the part of it that was done.
//!
//! A store that can't write all at once may stop in between, or break off and find out at its next start how far it came. It keeps the history's
//! entry, the audit's record and the head of the change beside the resources, and has them amended here before it writes them: so that the
//! history never tells of more than was done, and an undo takes back just that.

use std::collections::HashSet;

use usher_model::change::Principal;
use usher_store::{Transaction, Write};

use super::{Missed, Moved, Record, key, part, sequence_of};
use crate::service::audit::{self, AuditEvent, AuditRecord, Event};
use crate::service::head::{self, Head};
use crate::service::world::Move;
use crate::service::{ServiceError, encoded, pack};

/// Keys of Usher's own with what is about to be written there; `None` deletes.
pub type Own = Vec<(String, Option<Vec<u8>>)>;

/// Objects that were not written and that an entry names; the rest is counted.
const NAMED: usize = 100;

/// What is written of Usher's own where only these resources of a change were; `why` says why it stopped there. What tells of no change of
/// resources stays as it is, and so does what can't be read, which is logged.
#[must_use]
pub fn amend(own: Own, done: &[String], why: &str) -> Own {
    match amended(own.clone(), done, why) {
        Ok(amended) => amended,
        Err(error) => {
            tracing::error!(%error, "the history tells of more than was done");
            own
        }
    }
}

fn amended(mut own: Own, done: &[String], why: &str) -> Result<Own, ServiceError> {
    let entry = own.iter().find_map(|(key, value)| Some((sequence_of(key)?, value.as_ref()?)));
    let Some((sequence, bytes)) = entry else { return Ok(own) };
    let mut record: Record = read(bytes)?;
    let mut changes = std::mem::take(&mut record.changes);
    for at in 0..record.parts {
        let packed = value_of(&own, &part::key(sequence, at)).and_then(pack::unpack);
        changes.extend(read::<Vec<Moved>>(&packed.ok_or_else(lost)?)?);
    }
    let parts: HashSet<String> = (0..record.parts).map(|at| part::key(sequence, at)).collect();
    own.retain(|(key, _)| !parts.contains(key));

    let total = changes.len();
    let written: HashSet<&str> = done.iter().map(String::as_str).collect();
    let (kept, missed): (Vec<Moved>, Vec<Moved>) =
        changes.into_iter().partition(|moved| written.contains(moved.key.as_str()));
    record.missed =
        Some(Missed { total: missed.len(), keys: missed.into_iter().map(|m| m.key).take(NAMED).collect() });
    let moves: Vec<Move> = kept.iter().map(Moved::as_move).collect::<Result<_, _>>()?;
    let (here, packed) = part::split(&moves)?;
    record.parts = packed.len();
    record.total = if packed.is_empty() { 0 } else { moves.len() };
    record.changes = kept;
    record.changes.truncate(here);
    for (at, packed) in packed.into_iter().enumerate() {
        own.push((part::key(sequence, at), Some(packed.to_vec())));
    }
    let kept = moves.len();
    set(&mut own, key(sequence), encoded(&record)?);
    failed(&mut own, kept, total, why)?;
    Ok(own)
}

/// Adds the record of the audit that says how far the change of the record before it came.
fn failed(own: &mut Own, done: usize, total: usize, why: &str) -> Result<(), ServiceError> {
    let Some(bytes) = value_of(own, head::KEY) else { return Ok(()) };
    let mut head: Head = read(bytes)?;
    let before: AuditRecord = read(value_of(own, &audit::key(head.audit.number())).ok_or_else(lost)?)?;
    let who = Principal::new(before.principal, before.role, before.door);
    let about = format!("{done} of {total} objects were written: {why}");
    let event = Event::new(AuditEvent::Failed, &about).of(done);
    let told = audit::append(&who, event, &mut head, Transaction::default())?;
    for write in head.put(told)?.writes {
        if let Write::Put { key, value, .. } = write {
            set(own, key, value.to_vec());
        }
    }
    Ok(())
}

fn value_of<'o>(own: &'o Own, wanted: &str) -> Option<&'o [u8]> {
    own.iter().find(|(key, _)| key == wanted).and_then(|(_, value)| value.as_deref())
}

fn set(own: &mut Own, key: String, value: Vec<u8>) {
    own.retain(|(known, _)| *known != key);
    own.push((key, Some(value)));
}

fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, ServiceError> {
    serde_json::from_slice(bytes).map_err(|_| lost())
}

fn lost() -> ServiceError {
    ServiceError::Damaged("what tells of the change can't be read".to_owned())
}
