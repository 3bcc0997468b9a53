//! Taking a change back: the reverse edits, made from the history, as a plan like any other.

use std::collections::HashSet;

use usher_model::change::{Door, Principal};
use usher_model::kind::{Key, Kind};

use super::journal::{Found, Moved, Walk};
use super::plan::Plan;
use super::request::Stored;
use super::wish::{Aim, Wish};
use super::{Service, ServiceError, consent};

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

impl Service {
    pub(super) async fn undo(
        &self,
        who: &Principal,
        revision: Option<u64>,
        intent: Option<String>,
    ) -> Result<Plan, ServiceError> {
        consent::may_change(who)?;
        let found = match revision {
            Some(revision) => self.record(revision).await?.ok_or_else(|| unknown(revision))?,
            None => self.newest_change().await?,
        };
        let deed = self.whole(found).await?;
        let edits = self.reverse(&deed).await?;
        self.make_plan(who, Wish::back(edits, deed.revision, deed.steps.is_some(), intent)).await
    }

    /// The newest change that isn't taken back. An undo stands for what it took back, so that undoing again goes one step further back.
    async fn newest_change(&self) -> Result<Found, ServiceError> {
        let mut walk = Walk::new(self);
        let mut taken_back = HashSet::new();
        // Steps of one plan are one change: what is true of the newest is true of all.
        let (mut plans_back, mut undoes_seen) = (HashSet::new(), HashSet::new());
        while let Some(found) = walk.next().await? {
            let record = &found.record;
            let in_steps = record.step.is_some();
            if taken_back.remove(&found.revision) || (in_steps && plans_back.contains(&record.plan)) {
                if in_steps {
                    plans_back.insert(record.plan.clone());
                }
                continue;
            }
            match record.undoes {
                Some(_) if in_steps && !undoes_seen.insert(record.plan.clone()) => {}
                Some(target) => {
                    taken_back.insert(target);
                }
                // A change that left everything as it was is passed by: nobody means that one.
                None if record.is_idle() => {}
                None => return Ok(found),
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
        let plan = found.record.plan.clone();
        let mut deed =
            Deed { revision: 0, steps: Some(plan.clone()), revisions: HashSet::new(), changes: Vec::new() };
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
                return Err(self.conflict(deed, &key, now.map(|held| held.modified)).await?);
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
        modified: Option<u64>,
    ) -> Result<ServiceError, ServiceError> {
        let revision = deed.revision;
        if let Some(by) = self.taken_back_by(deed).await? {
            return Ok(ServiceError::NothingToUndo(format!(
                "revision {revision} was taken back by revision {by} already; undo revision {by} to bring it back"
            )));
        }
        let (what, next) = match (modified, self.last_touch(key, revision).await?) {
            (Some(modified), Some(by)) if by >= modified => {
                (format!("was changed by revision {by} since"), "undo that first")
            }
            (None, Some(by)) => (format!("was deleted by revision {by} since"), "undo that first"),
            (Some(modified), _) => (
                format!(
                    "was changed since from outside, by a program that writes to the same store (revision {modified})"
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

    /// The newest revision behind `after` whose entry tells of a key.
    async fn last_touch(&self, key: &Key, after: u64) -> Result<Option<u64>, ServiceError> {
        let path = key.path();
        let mut walk = Walk::new(self);
        while let Some(mut found) = walk.next().await? {
            if found.revision <= after {
                break;
            }
            let changes = self.all_changes(&mut found).await?;
            if changes.iter().any(|moved| moved.key == path && moved.before != moved.after) {
                return Ok(Some(found.revision));
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
            match found.record.undoes {
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
        let oldest = self.oldest_entry().await?;
        Ok(oldest.is_some_and(|oldest| oldest < stored.modified).then_some(Door::Outside))
    }
}

fn unknown(revision: u64) -> ServiceError {
    ServiceError::NothingToUndo(format!(
        "the history holds no change of revision {revision}; look at the history for those that can be undone"
    ))
}
