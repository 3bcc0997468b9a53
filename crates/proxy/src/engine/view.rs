//! The snapshot as one worker sees it: looked up with one load, shared among the worker's requests without atomic counters.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use usher_pipeline::consumer::{Consumer, Directory, Found};

use crate::config::{Shared, Snapshot};

/// One snapshot, and the directory over it that plugins are handed.
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) directory: Rc<dyn Directory>,
}

/// A worker's view of the current snapshot.
pub(super) struct Views {
    cache: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    current: RefCell<Rc<View>>,
}

impl View {
    fn of(snapshot: &Arc<Snapshot>) -> Rc<Self> {
        let directory = Rc::new(Catalogue(Arc::clone(snapshot)));
        Rc::new(Self { snapshot: Arc::clone(snapshot), directory })
    }
}

impl Views {
    pub(super) fn new(shared: &Shared) -> Self {
        let mut cache = Cache::new(shared.snapshots());
        let current = RefCell::new(View::of(cache.load()));
        Self { cache: RefCell::new(cache), current }
    }

    /// The snapshot in force. A request asks once and keeps what it got.
    pub(super) fn current(&self) -> Rc<View> {
        let mut cache = self.cache.borrow_mut();
        let newest = cache.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(newest, &current.snapshot) {
            *current = View::of(newest);
        }
        Rc::clone(&current)
    }
}

/// A snapshot as plugins may ask it.
struct Catalogue(Arc<Snapshot>);

impl Directory for Catalogue {
    fn credential(&self, plugin: &str, unique: &[u8]) -> Option<Found> {
        self.0.credential(plugin, unique)
    }

    fn consumer(&self, name: &str) -> Option<Arc<Consumer>> {
        self.0.consumer(name)
    }

    fn has_upstream(&self, id: &str) -> bool {
        self.0.upstream(id).is_some()
    }
}
