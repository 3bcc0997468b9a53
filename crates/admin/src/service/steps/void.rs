//! When an unfinished plan is void: what was applied of it was taken back, or what is still to do was overtaken by another change.

use std::collections::HashSet;

use super::progress::Progress;
use crate::service::journal::Walk;
use crate::service::{Service, ServiceError};

/// How far two gateways' clocks may be apart, in milliseconds.
const APART_MS: u64 = 60_000;

impl Service {
    /// Whether a plan can't go on any more.
    pub(super) async fn is_void(&self, progress: &Progress) -> Result<bool, ServiceError> {
        Ok(self.is_overtaken(progress).await? || self.is_taken_back(progress).await?)
    }

    /// Whether something that the next step writes is not as it was when the plan was made.
    async fn is_overtaken(&self, progress: &Progress) -> Result<bool, ServiceError> {
        if !progress.complete {
            return Ok(false);
        }
        // Steps that can't be read are told to whoever wants to go on.
        let Ok(step) = self.read_step(progress).await else { return Ok(false) };
        for (key, seen) in &step.seen {
            if self.held(key).await?.map(|held| held.modified) != *seen {
                // Unless it was this very step, which another call has just done.
                let still = self.progress(&progress.plan).await?;
                return Ok(still.is_some_and(|still| still.done == progress.done));
            }
        }
        Ok(false)
    }

    /// Whether an undo took back what was applied.
    pub(super) async fn is_taken_back(&self, progress: &Progress) -> Result<bool, ServiceError> {
        let mut walk = Walk::new(self);
        let mut targets = HashSet::new();
        while let Some(found) = walk.next().await? {
            let record = &found.record;
            if record.plan == progress.plan {
                // An undo in steps names the newest step of what it takes back.
                return Ok(targets.contains(&found.revision));
            }
            if record.unix_ms() + APART_MS < progress.begun_unix_ms {
                break;
            }
            targets.extend(record.undoes);
        }
        Ok(false)
    }

    /// Forgets an unfinished plan whose applied steps were just taken back by undoing this revision.
    pub(in crate::service) async fn forget_undone(&self, undoes: Option<u64>) {
        let Some(revision) = undoes else { return };
        let forgotten = async {
            let Some(found) = self.record(revision).await?.filter(|found| found.record.step.is_some()) else {
                return Ok(());
            };
            match self.progress(&found.record.plan).await? {
                Some(progress) => self.forget_progress(&progress).await,
                None => Ok(()),
            }
        };
        let forgotten: Result<(), ServiceError> = forgotten.await;
        if let Err(error) = forgotten {
            // It is passed over by whoever lists them, and goes with the next plan in steps.
            tracing::warn!(%error, "the rest of a plan that was taken back could not be deleted");
        }
    }
}
