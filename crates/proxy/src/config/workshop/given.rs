//! Secrets that are kept elsewhere, and what plugins know wherever they run: both are put into objects when those are built.

use serde_json::Value;
use tokio::time::Instant;
use usher_model::kind::{Key, Kind};
use usher_model::live::Problem;
use usher_model::protobuf::Definition;
use usher_model::reference::Reference;
use usher_store::Revision;

use super::leaning::{Base, bases_of};
use super::work::Work;
use super::{Moved, Workshop};
use crate::config::Snapshot;
use crate::config::secrets::{Job, Manager, Outcome};

impl Workshop {
    /// An object's value as it is built, and `None` for a deleted one; notes what it leans on.
    ///
    /// # Errors
    /// Why it can't be built, such as a secret that isn't known yet.
    pub(super) fn read(&mut self, moved: &Moved) -> Result<Option<Value>, String> {
        let Some((bytes, _)) = &moved.now else {
            self.lean(moved, Vec::new());
            return Ok(None);
        };
        let mut value = match serde_json::from_slice::<Value>(bytes) {
            Ok(value) => value,
            Err(error) => {
                self.lean(moved, Vec::new());
                return Err(format!("it is no JSON: {error}"));
            }
        };
        let admitted = self.tools.open(moved, &mut value);
        self.lean(moved, bases_of(moved.key.kind, &value, &self.tools.registry));
        admitted?;
        if moved.key.kind != Kind::Secret {
            self.tools.secrets.fill(moved.key.kind, &mut value)?;
        }
        Ok(Some(value))
    }

    fn lean(&mut self, moved: &Moved, bases: Vec<Base>) {
        let shift = self.leaning.settle(moved, bases);
        for base in shift.first {
            if let Base::Secret(reference) = base {
                self.tools.secrets.want(&reference, Instant::now());
            }
        }
        for base in shift.last {
            if let Base::Secret(reference) = base {
                self.tools.secrets.forget(&reference);
                self.note(&reference.to_string(), Ok(()));
            }
        }
    }

    /// A secret manager moved; its secrets are looked up again.
    pub(super) fn move_manager(
        &mut self,
        moved: &Moved,
        value: Result<Option<Value>, String>,
        revision: Revision,
    ) {
        let built = self.tools.guard(|_| value?.map(|value| Manager::build(&moved.key, value)).transpose());
        let verdict = built.map(|manager| {
            for reference in self.tools.secrets.set_manager(&moved.key, manager, Instant::now()) {
                self.note_stale(&reference, revision);
            }
        });
        self.settle(moved, verdict);
    }

    /// A plugin's metadata moved.
    pub(super) fn move_metadata(&mut self, moved: &Moved, value: Result<Option<Value>, String>) {
        let verdict = value.map(|value| self.tools.metadata.set(&moved.key.id, value));
        self.settle(moved, verdict);
    }

    /// A protobuf definition moved. One that can't be read leaves the last good version.
    pub(super) fn move_proto(&mut self, moved: &Moved, value: Result<Option<Value>, String>) {
        let read = self.tools.guard(|_| {
            let Some(value) = value? else { return Ok(None) };
            let content = value.get("content").and_then(Value::as_str).ok_or("it has no content")?;
            Definition::read(content).map(Some)
        });
        let verdict = read.map(|definition| self.tools.metadata.set_proto(&moved.key.id, definition));
        self.settle(moved, verdict);
    }

    /// The look-ups that are due now.
    pub(in crate::config) fn jobs(&mut self) -> Vec<Job> {
        self.tools.secrets.jobs(Instant::now())
    }

    /// When further ones are due.
    pub(in crate::config) fn next_jobs(&self) -> Option<Instant> {
        self.tools.secrets.next()
    }

    /// Takes up what came of look-ups: objects whose secrets changed are built anew.
    pub(in crate::config) fn take_secrets(&mut self, outcomes: Vec<Outcome>, revision: Revision) -> Snapshot {
        let mut work = Work::default();
        for outcome in outcomes {
            let reference = outcome.reference.clone();
            if self.tools.secrets.settle(outcome, Instant::now()) {
                self.rebuild(&Base::Secret(reference.clone()), revision, &mut work);
            }
            self.note_stale(&reference, revision);
        }
        self.work_off(work, revision);
        self.snapshot(revision)
    }

    /// Lists a secret that is known, but couldn't be looked up again.
    fn note_stale(&mut self, reference: &Reference, revision: Revision) {
        let stale = self.tools.secrets.stale(reference).map(|trouble| Problem {
            key: reference.manager().map(Key::path).unwrap_or_default(),
            revision,
            reason: format!(
                "the secret {reference} could not be looked up again; its last value is used: {trouble}"
            ),
        });
        self.note(&reference.to_string(), stale.map_or(Ok(()), Err));
    }
}
