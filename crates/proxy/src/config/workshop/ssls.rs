//! The `ssl` objects that clients are served by, under each of their names.
//!
//! Of several objects for one name the one that was created first serves, and the next one once that is gone: so it is in APISIX, whose list
//! is in that order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use usher_store::Revision;

use crate::config::ssl::Ssl;
use crate::config::tree::{Slot, Tree};

/// All of them.
#[derive(Default)]
pub(super) struct Ssls {
    by_id: HashMap<Arc<str>, (Revision, Arc<Ssl>)>,
    by_name: HashMap<Box<str>, BTreeMap<Rank, Arc<Ssl>>>,
    served: Tree<Arc<Ssl>>,
    mutual: usize,
}

/// The first one serves.
type Rank = (Revision, Arc<str>);

impl Ssls {
    /// Takes up an object, or another version of it.
    pub(super) fn put(&mut self, created: Revision, ssl: Arc<Ssl>) {
        self.remove(&ssl.id);
        self.mutual += usize::from(ssl.clients.is_some());
        for name in &ssl.names {
            let rivals = self.by_name.entry(name.clone()).or_default();
            rivals.insert((created, Arc::clone(&ssl.id)), Arc::clone(&ssl));
            serve(&mut self.served, name, rivals);
        }
        self.by_id.insert(Arc::clone(&ssl.id), (created, ssl));
    }

    /// Lets an object go.
    pub(super) fn remove(&mut self, id: &str) {
        let Some((created, ssl)) = self.by_id.remove(id) else { return };
        self.mutual = self.mutual.saturating_sub(usize::from(ssl.clients.is_some()));
        for name in &ssl.names {
            let Some(rivals) = self.by_name.get_mut(name) else { continue };
            rivals.remove(&(created, Arc::clone(&ssl.id)));
            serve(&mut self.served, name, rivals);
            if rivals.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    /// What is served, by name.
    pub(super) fn served(&self) -> Tree<Arc<Ssl>> {
        self.served.clone()
    }

    /// Whether any of them asks for client certificates.
    pub(super) const fn is_any_mutual(&self) -> bool {
        self.mutual > 0
    }

    /// Lets go of room that much fewer objects don't need.
    pub(super) fn shrink(&mut self) {
        super::shrink(&mut self.by_id);
        super::shrink(&mut self.by_name);
    }
}

fn serve(served: &mut Tree<Arc<Ssl>>, name: &str, rivals: &BTreeMap<Rank, Arc<Ssl>>) {
    match rivals.values().next() {
        Some(first) => served.set(Slot::Exact, name.as_bytes(), Arc::clone(first)),
        None => served.clear(Slot::Exact, name.as_bytes()),
    }
}
