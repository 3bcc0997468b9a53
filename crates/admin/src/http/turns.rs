//! One after the other: PATCH reads, changes and writes back, so those of one object take turns instead of undoing each other's work.
//!
//! A turn guards nothing: the expected revision does that, against every door. Turns only keep many callers of this API from trying over and
//! over at the same time.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many objects can have a turn at the same time, at most.
const LANES: usize = 64;

/// The turns of all objects; objects that share a lane wait for each other too.
pub(super) struct Turns(Vec<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..LANES).map(|_| Semaphore::new(1)).collect())
    }
}

impl Turns {
    /// Waits, first come first served, until it is this object's turn; it ends when the permit is dropped.
    pub(super) async fn take(&self, path: &str) -> Option<SemaphorePermit<'_>> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or_default();
        // Never closed, so there always is a turn; without one, the revision still guards.
        self.0.get(lane)?.acquire().await.ok()
    }
}
