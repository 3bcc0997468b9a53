//! What one route has served: counters that live as long as the route's id, whatever is edited meanwhile.
//!
//! Workers count in stripes of their own, so that they don't pull a cache line from each other at each request. A route that never served anything
//! has no stripes at all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Stripes at most: further workers share them.
const MOST_STRIPES: usize = 8;

/// The counters of one route.
#[derive(Debug)]
pub(crate) struct Traffic {
    workers: usize,
    stripes: OnceLock<Box<[Stripe]>>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe {
    by_class: [AtomicU64; 5],
}

impl Traffic {
    /// Counters for this many workers.
    pub(crate) const fn new(workers: usize) -> Self {
        Self { workers, stripes: OnceLock::new() }
    }

    /// Counts one answer. A status that isn't in 100 to 599 counts as a failure of ours.
    pub(crate) fn count(&self, worker: usize, status: u16) {
        let stripes = self
            .stripes
            .get_or_init(|| (0..self.workers.clamp(1, MOST_STRIPES)).map(|_| Stripe::default()).collect());
        let class = usize::from(status / 100).checked_sub(1).filter(|class| *class < 5).unwrap_or(4);
        if let Some(counter) =
            stripes.get(worker % stripes.len()).and_then(|stripe| stripe.by_class.get(class))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Answers so far by class: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub(crate) fn by_class(&self) -> [u64; 5] {
        let mut sums = [0; 5];
        for stripe in self.stripes.get().into_iter().flatten() {
            for (sum, counter) in sums.iter_mut().zip(&stripe.by_class) {
                *sum += counter.load(Ordering::Relaxed);
            }
        }
        sums
    }
}

/// The counters of all routes by id. Requests don't come here: a route holds its own.
#[derive(Debug)]
pub(crate) struct AllTraffic {
    workers: usize,
    routes: Mutex<HashMap<Arc<str>, Arc<Traffic>>>,
}

impl AllTraffic {
    /// No counters yet, for this many workers.
    pub(super) fn new(workers: usize) -> Self {
        Self { workers, routes: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Traffic>>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters of a route, made at the first call.
    pub(super) fn of(&self, id: &Arc<str>) -> Arc<Traffic> {
        let mut routes = self.lock();
        let traffic = routes.entry(Arc::clone(id)).or_insert_with(|| Arc::new(Traffic::new(self.workers)));
        Arc::clone(traffic)
    }

    /// The route is gone, and its counters with it.
    pub(super) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Lets go of room that much fewer routes don't need.
    pub(super) fn shrink(&self) {
        let mut routes = self.lock();
        if routes.capacity() > 1024 && routes.len() < routes.capacity() / 8 {
            let wanted = 2 * routes.len();
            routes.shrink_to(wanted);
        }
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.lock().capacity()
    }

    /// Every route that has served anything.
    pub(crate) fn served(&self) -> Vec<(Arc<str>, [u64; 5])> {
        let routes = self.lock();
        let all = routes.iter().map(|(id, traffic)| (Arc::clone(id), traffic.by_class()));
        all.filter(|(_, by_class)| by_class.iter().any(|count| *count > 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{AllTraffic, Traffic};

    #[test]
    fn counters_live_as_long_as_the_route() {
        let all = AllTraffic::new(2);
        let (first, idle) = ("1".into(), "2".into());
        all.of(&first).count(0, 200);
        all.of(&first).count(1, 500);
        let _ = all.of(&idle);
        assert_eq!(all.served(), [(first.clone(), [0, 1, 0, 0, 1])]);
        all.forget("1");
        assert_eq!(all.served(), []);
        assert_eq!(all.of(&first).by_class(), [0; 5]);
    }

    #[test]
    fn answers_are_summed_over_all_workers() {
        let traffic = Traffic::new(20);
        assert_eq!(traffic.by_class(), [0; 5]);
        for (worker, status) in
            [(0, 200), (1, 204), (19, 200), (19, 404), (3, 101), (3, 302), (3, 502), (0, 0), (7, 999)]
        {
            traffic.count(worker, status);
        }
        assert_eq!(traffic.by_class(), [1, 3, 1, 1, 3]);
    }
}
