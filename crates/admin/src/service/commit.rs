//! One commit: the resources, their entry in the history, their record in the audit and the head, together or not at all.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use usher_model::kind::Key;
use usher_store::{Capabilities, Committed, Compare, StoreError, Transaction, Write};

use super::audit::{self, Event};
use super::head::Head;
use super::journal::{Author, Record};
use super::plans::Kept;
use super::turns::Turn;
use super::wish::{Goal, Times, Wish, parsed};
use super::world::{Move, World, text};
use super::{Service, ServiceError, ends};

/// Objects that a sentence names.
const NAMED: usize = 20;

/// What is about to be written, checked.
pub(super) struct Ready {
    pub(super) moves: Vec<Move>,
    /// What it leans on without changing it, with the revision that it was seen at.
    leaned: Vec<(Key, Option<u64>)>,
    head: Head,
    /// The store's revision when the look began.
    pub(super) base: u64,
    ttl_secs: Option<u64>,
    force: bool,
    /// What else is written with it.
    pub(super) beside: Vec<Write>,
}

impl Ready {
    /// What a checked wish writes.
    pub(super) fn of(world: World<'_>, wish: &Wish) -> Result<Self, ServiceError> {
        let (leaned, base, head) = (world.leaned().collect(), world.base, world.head.clone());
        let moves = world.into_moves()?;
        Ok(Self { moves, leaned, base, head, ttl_secs: wish.ttl_secs, force: wish.force, beside: Vec::new() })
    }

    pub(super) const fn ttl_secs(&self) -> Option<u64> {
        self.ttl_secs
    }

    pub(super) const fn force(&self) -> bool {
        self.force
    }
}

impl Service {
    /// What a kept plan writes, where nothing was written since it was made: without checking it all once more. `None` where something was.
    pub(super) async fn ready_again(&self, kept: &Kept) -> Result<Option<Ready>, ServiceError> {
        let base = kept.plan.base;
        // How long it would outlive what it refers to depends on when it is applied.
        if kept.wish.ttl_secs.is_some() {
            return Ok(None);
        }
        let head = self.head().await?;
        if self.revision() != base || head.seen.is_some_and(|seen| seen > base) {
            return Ok(None);
        }
        let mut bound: HashMap<&Key, Option<u64>> =
            kept.bound.iter().map(|(key, seen)| (key, *seen)).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut moves = Vec::with_capacity(kept.goals.len());
        for Goal { key, after } in &kept.goals {
            let held = self.held(key).await?;
            let seen = held.as_ref().map(|held| held.modified);
            // Somebody may be writing at this very moment.
            if bound.remove(key) != Some(seen) {
                return Ok(None);
            }
            let mut after = after.clone();
            if kept.wish.times == Times::Set
                && let Some(mut value) = after.as_ref().map(|text| parsed(key, text)).transpose()?
                && let Some(members) = value.as_object_mut()
            {
                // The change happens now, whenever it was planned.
                if held.is_none() {
                    members.insert("create_time".to_owned(), now.into());
                }
                members.insert("update_time".to_owned(), now.into());
                after = Some(text(&value)?);
            }
            let before = held.map(|held| text(&held.value)).transpose()?;
            moves.push(Move { key: key.clone(), before, after, seen });
        }
        let leaned = bound.into_iter().map(|(key, seen)| (key.clone(), seen)).collect();
        let Wish { ttl_secs, force, .. } = kept.wish;
        Ok(Some(Ready { moves, leaned, head, base, ttl_secs, force, beside: Vec::new() }))
    }

    /// Writes everything in one transaction, which commits only if no Usher wrote anything since the check, and nobody at all any of the
    /// resources.
    pub(super) fn commit<'a>(
        &'a self,
        author: &'a Author<'_>,
        ready: &'a Ready,
    ) -> BoxFuture<'a, Result<u64, ServiceError>> {
        Box::pin(async move {
            let (transaction, head) = self.transaction(author, ready).await?;
            let revision = stored(author, ready, self.store().commit(transaction).await)?;
            self.trim_audit(&head).await;
            Ok(revision)
        })
    }

    /// The transaction of a change, and the head as it leaves it.
    async fn transaction(
        &self,
        author: &Author<'_>,
        ready: &Ready,
    ) -> Result<(Transaction, Head), ServiceError> {
        let able = self.capabilities();
        self.may_be_written(&able, ready.ttl_secs)?;
        let mut head = ready.head.clone();
        let mut transaction = head.begin();
        for (key, seen) in compared(ready, &able) {
            transaction = transaction.expect(key.path(), seen.map_or(Compare::Absent, Compare::Modified));
        }
        // What tells of a change stands before it: a store that can't write all at once then never holds a change that nothing tells of.
        transaction = Record::of(author, &ready.moves)?.append(self, &mut head, transaction).await?;
        let event = Event::change(author, &ready.moves);
        transaction = audit::append(author.who, event, &mut head, transaction)?;
        transaction = head.put(transaction)?;
        for moved in &ready.moves {
            let path = moved.key.path();
            transaction = match &moved.after {
                Some(text) => transaction.put_for(path, text.clone(), ready.ttl_secs),
                None => transaction.delete(path),
            };
            if let Some(ttl_secs) = ready.ttl_secs.filter(|_| moved.after.is_some()) {
                transaction.writes.push(ends::note(&moved.key, ttl_secs)?);
            }
        }
        transaction.writes.extend(ready.beside.iter().cloned());
        fits(&transaction, &able, ready.moves.len())?;
        Ok((transaction, head))
    }

    /// The same as [`Service::commit`] while others' commits may be under way: the turn is given up as soon as this one is on its way. `None`
    /// where something came before it.
    pub(super) async fn commit_beside(
        &self,
        author: &Author<'_>,
        mut ready: Ready,
        before: Option<Head>,
        turn: Turn<'_>,
    ) -> Result<Option<u64>, ServiceError> {
        if let Some(before) = before {
            ready.head = before;
        }
        let (transaction, mut head) = self.transaction(author, &ready).await?;
        // Every revision of such a store is the next one.
        head.seen = Some(ready.head.seen.unwrap_or_default().max(self.revision()) + 1);
        let committing = self.store().commit(transaction);
        let written = ready.moves.iter().map(|moved| moved.key.clone()).collect();
        let launched = self.turns.launch(head.clone(), written);
        drop(turn);
        let outcome = committing.await;
        launched.landed(outcome.is_ok());
        if matches!(outcome, Err(StoreError::Conflict { .. })) {
            return Ok(None);
        }
        let revision = stored(author, &ready, outcome)?;
        if self.wants_trim(&head) {
            let _alone = self.turns.alone().await;
            self.trim_audit(&self.head().await?).await;
        }
        Ok(Some(revision))
    }

    /// Whether the store takes such a change at all.
    pub(super) fn may_be_written(
        &self,
        able: &Capabilities,
        ttl_secs: Option<u64>,
    ) -> Result<(), ServiceError> {
        let place = || {
            let described = self.describe();
            let place = described.place.map_or_else(String::new, |place| format!(" {}", place.display()));
            format!("{}{place}", described.kind)
        };
        if !able.writable {
            return Err(ServiceError::Forbidden(format!(
                "the configuration comes from the store {}, which others write and Usher only reads; change it there",
                place()
            )));
        }
        if ttl_secs.is_some() && !able.leases {
            return Err(ServiceError::Invalid {
                sentence: format!(
                    "ttl is refused: the store {} can't delete anything by itself; leave it out, and delete by hand",
                    place()
                ),
                key: None,
                pointer: String::new(),
                near: None,
            });
        }
        Ok(())
    }
}

/// What became of a transaction.
fn stored(
    author: &Author<'_>,
    ready: &Ready,
    outcome: Result<Committed, StoreError>,
) -> Result<u64, ServiceError> {
    let committed = match outcome {
        Ok(committed) => committed,
        Err(StoreError::Partial { done, reason }) => return Err(partial(&done, ready.moves.len(), &reason)),
        // Nothing was written, or nobody knows yet whether: the store finds out, and then the history tells.
        Err(error) => return Err(error.into()),
    };
    tracing::info!(
        revision = committed.revision,
        principal = %author.who.name,
        door = %author.who.door,
        risk = %author.risk,
        changes = ready.moves.len(),
        "a change was stored"
    );
    Ok(committed.revision)
}

/// What is said of a change that a store without transactions wrote in part. Its history tells the same ([`super::amend`]).
fn partial(done: &[String], total: usize, reason: &str) -> ServiceError {
    let named = done.iter().take(NAMED).filter_map(|path| Key::parse(path)).map(|key| key.to_string());
    let names = named.collect::<Vec<_>>().join(", ");
    let more = if done.len() > NAMED { " and more" } else { "" };
    ServiceError::Partial {
        sentence: format!(
            "{} of {total} objects were written ({names}{more}), then the store failed: {reason}; undo takes back what was written, or make \
             the change again for the rest",
            done.len(),
        ),
        done: done.len(),
        total,
    }
}

/// What is compared beside the head: everything that is written, and of what it leans on as much as there is room for. The head keeps other Ushers
/// away from all of it.
fn compared<'r>(ready: &'r Ready, able: &Capabilities) -> impl Iterator<Item = (&'r Key, Option<u64>)> {
    let room = able.most_writes.saturating_sub(ready.moves.len() + 1);
    let touched = ready.moves.iter().map(|moved| (&moved.key, moved.seen));
    touched.chain(ready.leaned.iter().take(room).map(|(key, seen)| (key, *seen)))
}

/// Refuses what one transaction of the store doesn't hold.
fn fits(transaction: &Transaction, able: &Capabilities, objects: usize) -> Result<(), ServiceError> {
    let bytes = transaction.bytes();
    if transaction.writes.len() <= able.most_writes && bytes <= able.most_bytes {
        return Ok(());
    }
    Err(too_large(objects, transaction.writes.len(), bytes, able))
}

/// The refusal of a set that one transaction doesn't hold.
pub(super) fn too_large(objects: usize, writes: usize, bytes: usize, able: &Capabilities) -> ServiceError {
    let told = if writes > able.most_writes {
        format!("{writes} writes, but one transaction of the store holds {}", able.most_writes)
    } else {
        format!("{bytes} bytes, but one transaction of the store holds {}", able.most_bytes)
    };
    ServiceError::NeedsSteps(format!(
        "the change of {objects} objects takes {told}; split it, or apply it with --in-steps, which gives up that all of it comes at once"
    ))
}
