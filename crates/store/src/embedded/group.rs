//! Several transactions in one commit: each sees what those before it did, has its own revision, and is all or nothing.

use std::sync::Arc;

use super::database::{Fault, Tables, Until, Writing};
use super::history::Change;
use super::leases::Leases;
use crate::{Batch, Committed, Entry, Event, Revision, StoreError, Transaction, Write};

/// What became of them.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The answer to each, in their order.
    pub(super) outcomes: Vec<Result<Committed, StoreError>>,
    /// What those did that weren't refused.
    pub(super) changes: Vec<Change>,
    /// The newest revision after them.
    pub(super) revision: Revision,
}

/// Writes them into a commit that was begun.
pub(super) fn apply(
    writing: &Writing,
    newest: Revision,
    now: u64,
    leases: &mut Leases,
    transactions: Vec<Transaction>,
) -> Result<Group, Fault> {
    let mut tables = writing.tables()?;
    let mut group = Group { outcomes: Vec::new(), changes: Vec::new(), revision: newest };
    for transaction in transactions {
        if let Err(error) = check(&tables, &transaction)? {
            group.outcomes.push(Err(error));
            continue;
        }
        group.revision += 1;
        group.changes.push(apply_one(&mut tables, group.revision, now, leases, transaction)?);
        group.outcomes.push(Ok(Committed { revision: group.revision }));
    }
    Ok(group)
}

fn check(tables: &Tables<'_>, transaction: &Transaction) -> Result<Result<(), StoreError>, Fault> {
    for (key, compare) in &transaction.compare {
        if let Err(error) = compare.check(key, tables.get(key)?.as_ref()) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

fn apply_one(
    tables: &mut Tables<'_>,
    revision: Revision,
    now: u64,
    leases: &mut Leases,
    transaction: Transaction,
) -> Result<Change, Fault> {
    let mut events: Vec<Event> = Vec::with_capacity(transaction.writes.len());
    for write in transaction.writes {
        let (key, value, ttl_secs) = match write {
            Write::Put { key, value, ttl_secs } => (Arc::<str>::from(key), Some(value), ttl_secs),
            Write::Delete { key } => (Arc::<str>::from(key), None, None),
        };
        let until = ttl_secs.map(|secs| now.saturating_add(secs.saturating_mul(1000)).max(1));
        if leases.set(&key, until) {
            tables.lease(&key, until)?;
        }
        let before = tables.get(&key)?;
        let after = value.map(|value| Entry {
            key: Arc::clone(&key),
            value,
            created: before.as_ref().map_or(revision, |before| before.created),
            modified: revision,
        });
        match &after {
            Some(entry) => tables.put(entry)?,
            None if before.is_some() => tables.delete(&key)?,
            None => continue,
        }
        events.push(Event { key, before, after });
    }
    let mut ends: Vec<Until> =
        events.iter().filter_map(|event| Some((Arc::clone(&event.key), leases.until(&event.key)?))).collect();
    ends.sort();
    ends.dedup();
    Ok(Change { batch: Batch { revision, events }, leases: ends })
}
