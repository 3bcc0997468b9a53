//! Consumers and their credentials, found by what a request shows.
//!
//! A credential is filed under a hash of its unique attribute whose key is drawn at the start, so that how long a look-up takes says nothing of
//! how much of a guess was right.

use std::any::Any;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use subtle::ConstantTimeEq as _;
use usher_pipeline::consumer::{Consumer, Found};

use super::tree::{Slot, Tree};

/// All consumers and credentials of a snapshot. Cheap to clone; a change copies only what leads to it.
#[derive(Clone, Default)]
pub(super) struct People {
    consumers: Tree<Arc<Consumer>>,
    credentials: Tree<Arc<Credential>>,
    keyed: Arc<RandomState>,
}

/// Where a credential is filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place([u8; 16]);

/// A credential, whether written in its consumer or as an object of its own.
pub(super) struct Credential {
    /// The store's key of the object that holds it.
    pub(super) holder: Arc<str>,
    /// The consumer's name.
    pub(super) consumer: Arc<str>,
    /// Its own id, where it is an object of its own.
    pub(super) id: Option<Arc<str>>,
    /// The value that no other credential of the plugin has.
    pub(super) unique: Box<[u8]>,
    /// Its body, of the plugin's own type.
    pub(super) config: Arc<dyn Any + Send + Sync>,
}

impl People {
    /// The credential of `plugin` whose unique attribute is `unique`, if its consumer exists.
    pub(super) fn find(&self, plugin: &str, unique: &[u8]) -> Option<Found> {
        let credential = self.credentials.get(&self.place(plugin, unique).0);
        // A miss is compared too, with itself, to take as long.
        let same = credential.map_or(unique, |known| &*known.unique).ct_eq(unique);
        let credential = credential.filter(|_| bool::from(same))?;
        let consumer = self.consumer(&credential.consumer)?;
        Some(Found {
            consumer: Arc::clone(consumer),
            credential: credential.id.clone(),
            config: Arc::clone(&credential.config),
        })
    }

    /// The consumer of this name.
    pub(super) fn consumer(&self, name: &str) -> Option<&Arc<Consumer>> {
        self.consumers.get(name.as_bytes())
    }

    /// How many nodes its trees have.
    #[cfg(test)]
    pub(super) fn node_count(&self) -> usize {
        self.consumers.node_count() + self.credentials.node_count()
    }

    /// Where a credential of this plugin is filed.
    pub(super) fn place(&self, plugin: &str, unique: &[u8]) -> Place {
        let half = |number: u8| self.keyed.hash_one((number, plugin, unique)).to_ne_bytes();
        let mut place = [0; 16];
        for (to, from) in place.iter_mut().zip(half(0).into_iter().chain(half(1))) {
            *to = from;
        }
        Place(place)
    }

    /// What is filed there.
    pub(super) fn at(&self, place: Place) -> Option<&Arc<Credential>> {
        self.credentials.get(&place.0)
    }

    /// Files a credential.
    pub(super) fn file(&mut self, place: Place, credential: Arc<Credential>) {
        self.credentials.set(Slot::Exact, &place.0, credential);
    }

    /// Takes out the credential that is filed there.
    pub(super) fn unfile(&mut self, place: Place) {
        self.credentials.clear(Slot::Exact, &place.0);
    }

    /// Takes up a consumer, or a new version of one.
    pub(super) fn set_consumer(&mut self, consumer: Arc<Consumer>) {
        let name = Arc::clone(&consumer.name);
        self.consumers.set(Slot::Exact, name.as_bytes(), consumer);
    }

    /// Takes out a consumer. Credential objects of its name find nobody from then on.
    pub(super) fn remove_consumer(&mut self, name: &str) {
        self.consumers.clear(Slot::Exact, name.as_bytes());
    }
}
