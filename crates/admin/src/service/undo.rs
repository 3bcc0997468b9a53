//! Taking a change back: the reverse edits, made from the history, as a plan like any other.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;
use usher_model::change::{Door, Principal};
use usher_model::kind::{Key, Kind};
use usher_model::scope::Scope;

use super::escape::plain;
use super::journal::{Found, Moved, Walk};
use super::plan::Plan;
use super::request::Stored;
use super::wish::{Aim, Wish};
use super::world::Held;
use super::{Service, ServiceError};

/// A change that is to be taken back: one entry of the history, or all the steps of one plan.
struct Deed {
    /// The entry that stands for it: of several steps the newest.
    revision: u64,
    /// The plan, where it went in steps.
    steps: Option<String>,
    /// Every revision that it made.
    revisions: HashSet<u64>,
    changes: Vec<Moved>,
}

impl Deed {
    /// The first revision that it made.
    fn oldest(&self) -> u64 {
        self.revisions.iter().copied().min().unwrap_or(self.revision)
    }
}

impl Service {
    pub(super) fn undo<'a>(
        &'a self,
        who: &'a Principal,
        revision: Option<u64>,
        intent: Option<String>,
    ) -> BoxFuture<'a, Result<Plan, ServiceError>> {
        Box::pin(async move {
            self.may_change(who)?;
            self.may_be_changed()?;
            let found = match revision {
                Some(revision) => self.record(revision).await?.ok_or_else(|| unknown(revision))?,
                None => self.newest_change(&who.scope).await?,
            };
            let restores = found.record.is_of(&who.name);
            let deed = self.whole(found).await?;
            let revision = revision.unwrap_or(deed.revision);
            let shown = self.shown_moves(&who.scope, &deed.changes, deed.oldest()).await?;
            if shown.contains(&false) {
                // What lies outside a scope is not there, and so is its history.
                if !shown.contains(&true) {
                    return Err(unknown(revision));
                }
                return Err(ServiceError::Forbidden(format!(
                    "revision {revision} can't be undone by {} ({}): it changed more than its scope shows; change what lies inside by hand, or ask \
                 somebody with a wider scope",
                    plain(&who.name),
                    plain(&who.scope.to_string())
                )));
            }
            let edits = self.reverse(&deed).await?;
            let wish = Wish::back(edits, deed.revision, deed.steps.is_some(), intent);
            self.make_plan(who, Wish { restores, ..wish }).await
        })
    }

    /// The newest change that isn't taken back. An undo stands for what it took back, so that undoing again goes one step further back.
    async fn newest_change(&self, scope: &Scope) -> Result<Found, ServiceError> {
        let mut walk = Walk::new(self);
        let mut taken_back = HashSet::new();
        // Steps of one plan are one change: what is true of the newest is true of all.
        let (mut plans_back, mut undoes_seen, mut others) = (HashSet::new(), HashSet::new(), HashSet::new());
        while let Some(mut found) = walk.next().await? {
            let record = &found.record;
            let in_steps = record.step.is_some();
            if taken_back.remove(&found.revision) || (in_steps && plans_back.contains(&record.plan)) {
                if in_steps {
                    plans_back.insert(record.plan.clone());
                }
                continue;
            }
            // One that was done in part took nothing back as a whole: it is a change like any other.
            match record.undoes.filter(|_| record.missed.is_none()) {
                Some(_) if in_steps && !undoes_seen.insert(record.plan.clone()) => {}
                Some(target) => {
                    taken_back.insert(target);
                }
                // A change that left everything as it was is passed by, and so is what happened by itself: nobody means those.
                None if record.is_idle() || record.is_of_itself() => {}
                None if scope.is_all() => return Ok(found),
                // Those of others are passed by too. Steps are looked at once, and all of them: one outside makes the whole change another's.
                None if in_steps && !others.insert(record.plan.clone()) => {}
                None if in_steps => {
                    let deed = self.whole_of_steps(&record.plan).await?;
                    if !self.shown_moves(scope, &deed.changes, deed.oldest()).await?.contains(&false) {
                        return Ok(found);
                    }
                }
                None => {
                    self.fill(&mut found).await?;
                    let shown = self.shown_moves(scope, &found.record.changes, found.revision).await?;
                    if !shown.contains(&false) {
                        return Ok(found);
                    }
                }
            }
        }
        Err(ServiceError::NothingToUndo(
            "there is nothing to undo: the history holds no change that stands".to_owned(),
        ))
    }

    /// The change that an entry is, or is a step of.
    async fn whole(&self, mut found: Found) -> Result<Deed, ServiceError> {
        if found.record.step.is_none() {
            let changes = self.all_changes(&mut found).await?;
            return Ok(Deed {
                revision: found.revision,
                steps: None,
                revisions: [found.revision].into(),
                changes,
            });
        }
        self.whole_of_steps(&found.record.plan).await
    }

    /// All the steps of a plan that were done.
    async fn whole_of_steps(&self, plan: &str) -> Result<Deed, ServiceError> {
        let mut deed = Deed {
            revision: 0,
            steps: Some(plan.to_owned()),
            revisions: HashSet::new(),
            changes: Vec::new(),
        };
        let mut walk = Walk::new(self);
        while let Some(mut other) = walk.next().await? {
            let Some((step, _)) = other.record.step.filter(|_| other.record.plan == plan) else { continue };
            deed.revision = deed.revision.max(other.revision);
            deed.revisions.insert(other.revision);
            deed.changes.extend(self.all_changes(&mut other).await?);
            if step == 1 {
                break;
            }
        }
        Ok(deed)
    }

    /// The edits that put back what was there, where nobody has changed it since.
    async fn reverse(&self, deed: &Deed) -> Result<Vec<Aim>, ServiceError> {
        let revision = deed.revision;
        let own: HashSet<&str> = deed.changes.iter().map(|moved| moved.key.as_str()).collect();
        let mut edits = Vec::with_capacity(deed.changes.len());
        for moved in &deed.changes {
            let Some(key) = moved.key() else { continue };
            let now = self.held(&key).await?;
            if now.as_ref().map(|held| &held.value) != moved.after.as_ref() {
                return Err(self.conflict(deed, &key, now.as_ref()).await?);
            }
            if moved.before.is_none() {
                self.has_gained_nothing(revision, &key, &own).await?;
            }
            // A change that left the value as it was has nothing to be put back.
            if moved.before != moved.after {
                edits.push(Aim { key, after: moved.before.clone() });
            }
        }
        if edits.is_empty() {
            let sentence = format!("revision {revision} changed nothing, so there is nothing to undo");
            return Err(ServiceError::NothingToUndo(sentence));
        }
        Ok(edits)
    }

    /// Why an object is not as the change left it.
    async fn conflict(
        &self,
        deed: &Deed,
        key: &Key,
        now: Option<&Held>,
    ) -> Result<ServiceError, ServiceError> {
        let revision = deed.revision;
        if let Some(by) = self.taken_back_by(deed).await? {
            return Ok(ServiceError::NothingToUndo(format!(
                "revision {revision} was taken back by revision {by} already; undo revision {by} to bring it back"
            )));
        }
        // It is as our own newest change left it, or somebody else had it since.
        let last = self.last_touch(key, revision).await?;
        let own = last.filter(|(_, left)| left.as_ref() == now.map(|held| &held.value)).map(|(by, _)| by);
        let (what, next) = match (now, own) {
            (Some(_), Some(by)) => (format!("was changed by revision {by} since"), "undo that first"),
            (None, Some(by)) => (format!("was deleted by revision {by} since"), "undo that first"),
            (Some(held), _) => (
                format!(
                    "was changed since from outside, by a program that writes to the same store (revision {})",
                    held.modified
                ),
                "look at it",
            ),
            (None, _) => (
                "was deleted since from outside, by another program or because its time to live was over"
                    .to_owned(),
                "look whether it is still wanted",
            ),
        };
        Ok(ServiceError::Conflict(format!(
            "revision {revision} can't be undone: {key} {what}; {next}, or change {key} by hand"
        )))
    }

    /// The newest revision behind `after` whose entry tells of a key, and how it left the object.
    async fn last_touch(
        &self,
        key: &Key,
        after: u64,
    ) -> Result<Option<(u64, Option<Arc<Value>>)>, ServiceError> {
        let path = key.path();
        let mut walk = Walk::new(self);
        while let Some(mut found) = walk.next().await? {
            if found.revision <= after {
                break;
            }
            let changes = self.all_changes(&mut found).await?;
            let touched = changes.into_iter().find(|moved| moved.key == path && moved.before != moved.after);
            if let Some(moved) = touched {
                return Ok(Some((found.revision, moved.after)));
            }
        }
        Ok(None)
    }

    /// A consumer that goes takes its credentials along; those that others gave it since are their work.
    async fn has_gained_nothing(
        &self,
        revision: u64,
        key: &Key,
        own: &HashSet<&str>,
    ) -> Result<(), ServiceError> {
        if key.kind != Kind::Consumer {
            return Ok(());
        }
        let listing = self.store().list(&Key::credential(&key.id, "").path()).await?;
        let mut gained = listing.entries.iter().filter(|entry| !own.contains(&*entry.key));
        match gained.find_map(|entry| Key::parse(&entry.key)) {
            Some(credential) => Err(ServiceError::Conflict(format!(
                "revision {revision} can't be undone: {key} was given {credential} since; delete that first"
            ))),
            None => Ok(()),
        }
    }

    /// The revision that took this change back and still stands.
    async fn taken_back_by(&self, deed: &Deed) -> Result<Option<u64>, ServiceError> {
        let mut walk = Walk::new(self);
        let mut void = HashSet::new();
        while let Some(found) = walk.next().await? {
            if found.revision <= deed.revision {
                break;
            }
            if void.contains(&found.revision) {
                continue;
            }
            match found.record.undoes.filter(|_| found.record.missed.is_none()) {
                Some(target) if deed.revisions.contains(&target) => return Ok(Some(found.revision)),
                Some(target) => {
                    void.insert(target);
                }
                None => {}
            }
        }
        Ok(None)
    }

    /// The door through which a resource became what it is: [`Door::Outside`] where the history reaches back so far and tells nothing of it, `None`
    /// where that isn't known any more.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn changed_through(
        &self,
        _who: &Principal,
        stored: &Stored,
    ) -> Result<Option<Door>, ServiceError> {
        if let Some(found) = self.record(stored.modified).await? {
            return Ok(Some(found.record.door()));
        }
        // Sealing a secret anew writes the object and changes nothing: it is as the history left it.
        if let Some(held) = self.held(&stored.key).await?
            && let Some((by, Some(left))) = self.last_touch(&stored.key, 0).await?
            && left == held.value
            && let Some(found) = self.record(by).await?
        {
            return Ok(Some(found.record.door()));
        }
        let oldest = self.oldest_entry().await?;
        Ok(oldest.is_some_and(|oldest| oldest < stored.modified).then_some(Door::Outside))
    }
}

fn unknown(revision: u64) -> ServiceError {
    ServiceError::NoSuch(format!(
        "the history holds no change of revision {revision}; look at the history for those that can be undone"
    ))
}
