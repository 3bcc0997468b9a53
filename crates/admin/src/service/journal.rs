//! The history in the store: one entry an applied change, written in the transaction that it tells of.
//!
//! Keys count the entries with leading zeros, so that a reverse listing gives the newest first. An entry's revision is the one that made it; in
//! stores of the first version the key is that revision too. Values are those of the store, secrets sealed for the record they belong to: an
//! undo can put the very bytes back. What is too much for one entry stands beside it, in packed parts.

mod amend;
mod detail;
mod part;
mod show;
mod walk;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_model::change::{Door, Principal, Risk, Role};
use usher_model::kind::Key;
use usher_store::Transaction;

use super::head::Head;
use super::plan::Plan;
use super::wish::parsed;
use super::world::{Move, text};
use super::{Service, ServiceError, encoded, unix_ms};

pub use amend::{Own, amend};
pub use detail::{ChangesPage, ChangesQuery, Place};
pub(super) use walk::{Found, Newest, Walk};

/// Whose changes are those that follow from what happened by itself. Nobody means them when asking to take back the newest change.
pub(super) const SYSTEM: &str = "system";
/// Their door, which nobody from outside comes through.
pub(super) const SYSTEM_DOOR: Door = Door::Usher;

/// What every key of the history begins with.
pub(super) const PREFIX: &str = "/usher/history/";

/// An entry as it is stored; who only looks may read less of its changes.
#[derive(Serialize, Deserialize)]
pub(super) struct Record<C = Vec<Moved>> {
    unix_ms: u64,
    principal: String,
    role: Role,
    door: Door,
    intent: Option<String>,
    pub(super) plan: String,
    risk: Risk,
    approval: String,
    pub(super) undoes: Option<u64>,
    /// Which step of the plan, and of how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<(usize, usize)>,
    /// How many parts stand beside the entry.
    #[serde(default, skip_serializing_if = "is_zero")]
    parts: usize,
    /// How many objects changed, where there are parts.
    #[serde(default, skip_serializing_if = "is_zero")]
    total: usize,
    /// What of the change could not be written, where the store stopped in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) missed: Option<Missed>,
    /// All of them, or the first ones where there are parts.
    pub(super) changes: C,
}

/// Objects of a change that were not written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Missed {
    /// How many.
    pub(super) total: usize,
    /// Their keys; the first hundred.
    pub(super) keys: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One resource before and after, as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Moved {
    pub(super) key: String,
    pub(super) before: Option<Arc<Value>>,
    pub(super) after: Option<Arc<Value>>,
}

impl Moved {
    /// What a move does, to be told.
    fn of(moved: &Move) -> Result<Self, ServiceError> {
        let value = |text: &Option<Bytes>| {
            text.as_ref().map(|text| parsed(&moved.key, text)).transpose().map(|value| value.map(Arc::new))
        };
        Ok(Self { key: moved.key.path(), before: value(&moved.before)?, after: value(&moved.after)? })
    }

    pub(super) fn key(&self) -> Option<Key> {
        Key::parse(&self.key)
    }

    /// The move that it tells of.
    fn as_move(&self) -> Result<Move, ServiceError> {
        let key = self
            .key()
            .ok_or_else(|| ServiceError::Damaged(format!("{} is no key of a resource", self.key)))?;
        let (before, after) = (self.before.as_deref().map(text), self.after.as_deref().map(text));
        Ok(Move { key, before: before.transpose()?, after: after.transpose()?, seen: None })
    }
}

/// The key of an entry.
pub(super) fn key(sequence: u64) -> String {
    format!("{PREFIX}{sequence:020}")
}

/// The number that a key of the history spells.
pub(super) fn sequence_of(key: &str) -> Option<u64> {
    key.strip_prefix(PREFIX)?.parse().ok()
}

/// Who applies what, and how it was agreed to.
#[derive(Clone, Copy)]
pub(super) struct Author<'a> {
    pub(super) who: &'a Principal,
    pub(super) plan: &'a str,
    pub(super) intent: Option<&'a str>,
    pub(super) risk: Risk,
    pub(super) undoes: Option<u64>,
    pub(super) approval: &'a str,
    pub(super) step: Option<(usize, usize)>,
}

impl<'a> Author<'a> {
    /// Who applies a plan as a whole.
    pub(super) fn of(who: &'a Principal, plan: &'a Plan, approval: &'a str) -> Self {
        Self {
            who,
            plan: &plan.id,
            intent: plan.intent.as_deref(),
            risk: plan.risk,
            undoes: plan.undoes,
            approval,
            step: None,
        }
    }
}

impl Record {
    /// The entry of a change that is about to be written.
    ///
    /// # Errors
    /// A value can't be read again.
    pub(super) fn of(author: &Author<'_>, moves: &[Move]) -> Result<Unwritten, ServiceError> {
        let (kept, packed) = part::split(moves)?;
        let record = Self {
            unix_ms: unix_ms(),
            principal: author.who.name.clone(),
            role: author.who.role,
            door: author.who.door,
            intent: author.intent.map(str::to_owned),
            plan: author.plan.to_owned(),
            risk: author.risk,
            approval: author.approval.to_owned(),
            undoes: author.undoes,
            step: author.step,
            parts: packed.len(),
            total: if packed.is_empty() { 0 } else { moves.len() },
            missed: None,
            changes: moves.iter().take(kept).map(Moved::of).collect::<Result<_, _>>()?,
        };
        Ok(Unwritten { record, packed })
    }

    /// How many objects changed.
    pub(super) fn total(&self) -> usize {
        if self.parts == 0 { self.changes.len() } else { self.total }
    }

    /// When it was applied, in milliseconds since 1970.
    pub(super) const fn unix_ms(&self) -> u64 {
        self.unix_ms
    }

    /// Whether it was made by whoever has this name.
    pub(super) fn is_of(&self, name: &str) -> bool {
        self.principal == name
    }

    /// The door it came through.
    pub(super) const fn door(&self) -> Door {
        self.door
    }

    /// Whether it followed from what happened by itself.
    pub(super) fn is_of_itself(&self) -> bool {
        self.door == SYSTEM_DOOR && self.principal == SYSTEM
    }

    /// Whether it left everything as it was.
    pub(super) fn is_idle(&self) -> bool {
        self.parts == 0 && self.changes.iter().all(|moved| moved.before == moved.after)
    }
}

impl<C> Record<C> {
    /// The same with its changes in another form.
    fn with<D>(self, form: impl FnOnce(C) -> D) -> Record<D> {
        Record {
            unix_ms: self.unix_ms,
            principal: self.principal,
            role: self.role,
            door: self.door,
            intent: self.intent,
            plan: self.plan,
            risk: self.risk,
            approval: self.approval,
            undoes: self.undoes,
            step: self.step,
            parts: self.parts,
            total: self.total,
            missed: self.missed,
            changes: form(self.changes),
        }
    }
}

/// An entry that is about to be written, with its parts.
pub(super) struct Unwritten {
    record: Record,
    packed: Vec<Bytes>,
}

impl Unwritten {
    /// Writes the entry into a transaction as the next one, and drops the oldest.
    pub(super) async fn append(
        self,
        service: &Service,
        head: &mut Head,
        mut transaction: Transaction,
    ) -> Result<Transaction, ServiceError> {
        head.sequence += 1;
        for (at, packed) in self.packed.into_iter().enumerate() {
            transaction = transaction.put(part::key(head.sequence, at), packed);
        }
        transaction = transaction.put(key(head.sequence), encoded(&self.record)?);
        if let Some(oldest) = head.sequence.checked_sub(service.parts.rules.history_kept) {
            for part in part::keys(service, oldest).await? {
                transaction = transaction.delete(part);
            }
            transaction = transaction.delete(key(oldest));
        }
        Ok(transaction)
    }
}
