//! Taking a change back: the reverse edits, made from the history, as a plan like any other.

use std::collections::HashSet;

use usher_model::change::{Edit, Principal};
use usher_model::kind::{Key, Kind};

use super::journal::{Moved, Record, Walk};
use super::plan::Plan;
use super::wish::Wish;
use super::{Service, ServiceError, consent};

impl Service {
    pub(super) async fn undo(
        &self,
        who: &Principal,
        revision: Option<u64>,
        intent: Option<String>,
    ) -> Result<Plan, ServiceError> {
        consent::may_change(who)?;
        let (revision, record) = match revision {
            Some(revision) => (revision, self.record(revision).await?.ok_or_else(|| unknown(revision))?),
            None => self.newest_change().await?,
        };
        let edits = self.reverse(revision, &record).await?;
        self.make_plan(who, Wish::back(edits, revision, intent)).await
    }

    /// The newest change that isn't taken back. An undo stands for what it took back, so that undoing again goes one step further back.
    async fn newest_change(&self) -> Result<(u64, Record), ServiceError> {
        let mut walk = Walk::new(self, None);
        let mut taken_back = HashSet::new();
        while let Some((revision, record)) = walk.next().await? {
            if taken_back.remove(&revision) {
                continue;
            }
            match record.undoes {
                Some(target) => {
                    taken_back.insert(target);
                }
                // A change that left everything as it was is passed by: nobody means that one.
                None if record.changes.iter().all(|moved| moved.before == moved.after) => {}
                None => return Ok((revision, record)),
            }
        }
        Err(ServiceError::NothingToUndo(
            "there is nothing to undo: the history holds no change that stands".to_owned(),
        ))
    }

    /// The edits that put back what was there, where nobody has changed it since.
    async fn reverse(&self, revision: u64, record: &Record) -> Result<Vec<Edit>, ServiceError> {
        let mut edits = Vec::with_capacity(record.changes.len());
        for moved in &record.changes {
            let Some(key) = moved.key() else { continue };
            let now = self.held(&key).await?;
            if now.as_ref().map(|held| &*held.value) != moved.after.as_ref() {
                let by = match (now, self.taken_back_by(revision).await?) {
                    (_, Some(by)) => {
                        return Err(ServiceError::NothingToUndo(format!(
                            "revision {revision} was taken back by revision {by} already; undo revision {by} to bring it back"
                        )));
                    }
                    (Some(held), None) => format!("was changed by revision {} since", held.modified),
                    (None, None) => "was deleted since".to_owned(),
                };
                return Err(ServiceError::Conflict(format!(
                    "revision {revision} can't be undone: {key} {by}; undo that first, or change {key} by hand"
                )));
            }
            if moved.before.is_none() {
                self.has_gained_nothing(revision, &key, record).await?;
            }
            // A change that left the value as it was has nothing to be put back.
            if moved.before != moved.after {
                edits.push(Edit { key, after: moved.before.clone() });
            }
        }
        if edits.is_empty() {
            let sentence = format!("revision {revision} changed nothing, so there is nothing to undo");
            return Err(ServiceError::NothingToUndo(sentence));
        }
        Ok(edits)
    }

    /// A consumer that goes takes its credentials along; those that others gave it since are their work.
    async fn has_gained_nothing(
        &self,
        revision: u64,
        key: &Key,
        record: &Record,
    ) -> Result<(), ServiceError> {
        if key.kind != Kind::Consumer {
            return Ok(());
        }
        let listing = self.store().list(&Key::credential(&key.id, "").path()).await?;
        let own: Vec<Key> = record.changes.iter().filter_map(Moved::key).collect();
        let mut gained = listing.entries.iter().filter_map(|entry| Key::parse(&entry.key));
        match gained.find(|credential| !own.contains(credential)) {
            Some(credential) => Err(ServiceError::Conflict(format!(
                "revision {revision} can't be undone: {key} was given {credential} since; delete that first"
            ))),
            None => Ok(()),
        }
    }

    /// The revision that took this one back and still stands.
    async fn taken_back_by(&self, target: u64) -> Result<Option<u64>, ServiceError> {
        let mut walk = Walk::new(self, None);
        let mut void = HashSet::new();
        while let Some((revision, record)) = walk.next().await? {
            if revision <= target {
                break;
            }
            if void.contains(&revision) {
                continue;
            }
            match record.undoes {
                Some(found) if found == target => return Ok(Some(revision)),
                Some(found) => {
                    void.insert(found);
                }
                None => {}
            }
        }
        Ok(None)
    }
}

fn unknown(revision: u64) -> ServiceError {
    ServiceError::NothingToUndo(format!(
        "the history holds no change of revision {revision}; look at the history for those that can be undone"
    ))
}
