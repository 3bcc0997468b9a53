//! What waits to be sent in all batches of a process, for metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use usher_pipeline::env::Process;

/// Something that has lines waiting.
pub(crate) trait Waiting: Send + Sync {
    /// How many.
    fn waiting(&self) -> usize;
}

/// All batches of a process.
#[derive(Default)]
pub(crate) struct Batches(Mutex<Vec<Known>>);

struct Known {
    name: String,
    route: String,
    batch: Weak<dyn Waiting>,
}

impl Batches {
    /// Those of this process.
    pub(crate) fn of(process: &Process) -> Arc<Self> {
        process.permanent("batches", Self::default)
    }

    /// Takes up a batch of the object with this key, unless it is known. Those that are gone make room.
    pub(super) fn add(&self, name: &str, resource: &str, batch: &Arc<impl Waiting + 'static>) {
        let batch: Arc<dyn Waiting> = batch.clone();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|known| known.batch.strong_count() > 0);
        }
        let batch = Arc::downgrade(&batch);
        if !all.iter().any(|known| known.batch.ptr_eq(&batch)) {
            let route = resource.strip_prefix("/apisix/routes/").unwrap_or_default().to_owned();
            all.push(Known { name: name.to_owned(), route, batch });
        }
    }

    /// How many lines wait, by the batch's name and the route's id, which is empty for what is no route; at most so many of them.
    pub(crate) fn waiting(&self, most: usize) -> BTreeMap<(String, String), usize> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums = BTreeMap::new();
        for known in all.iter() {
            let Some(batch) = known.batch.upgrade() else { continue };
            let key = (known.name.clone(), known.route.clone());
            if sums.len() < most || sums.contains_key(&key) {
                *sums.entry(key).or_default() += batch.waiting();
            }
        }
        sums
    }
}
