//! What the service knows of the store without reading it: an index, kept up to date by the store's own watch.
//!
//! There is no task that follows: whoever needs the index first takes up what happened since, which is little, and reads the store only when
//! the watch has lost the thread.

mod index;
mod mark;

use std::sync::{MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use serde_json::Value;
use usher_model::kind::{Key, Kind, PREFIX};
use usher_pipeline::registry::Registry;
use usher_store::{Entry, Store, StoreError, Watch, WatchError};

use super::vault::Vault;
use super::{Service, ServiceError};

pub(super) use index::{Index, Reached};
pub(super) use mark::{MOST_PLACES, Mark, credentials};

/// The index and the place up to which it is true.
pub(super) struct Known {
    index: Index,
    watch: Watch,
}

impl Known {
    /// Reads everything once.
    pub(super) async fn load(
        store: &dyn Store,
        registry: &Registry,
        vault: &Vault,
    ) -> Result<Self, StoreError> {
        let listing = store.list(&below()).await?;
        let watch = store.watch(&below(), listing.revision + 1);
        let mut index = Index::default();
        for entry in listing.entries {
            if let Some((key, value)) = read(vault, &entry) {
                index.add(registry, &key, &value);
            }
        }
        Ok(Self { index, watch })
    }

    /// Takes up what was committed since.
    fn follow(&mut self, registry: &Registry, vault: &Vault) -> Result<(), WatchError> {
        while let Some(batch) = self.watch.next().now_or_never() {
            for event in batch?.events {
                if let Some((key, value)) = event.before.as_ref().and_then(|entry| read(vault, entry)) {
                    self.index.forget(registry, &key, &value);
                }
                match event.after.as_ref() {
                    Some(entry) => {
                        if let Some((key, value)) = read(vault, entry) {
                            self.index.add(registry, &key, &value);
                        }
                    }
                    None => self.index.remove(&event.key),
                }
            }
        }
        Ok(())
    }
}

impl Service {
    /// Brings the index up to the store's newest revision.
    pub(super) async fn catch_up(&self) -> Result<(), ServiceError> {
        loop {
            let followed = self.lock_known().follow(self.registry(), &self.vault);
            match followed {
                Ok(()) | Err(WatchError::Closed) => return Ok(()),
                Err(WatchError::Compacted { .. }) => {
                    tracing::info!("the index of resources is built anew");
                    let fresh = Known::load(self.store(), self.registry(), &self.vault).await?;
                    *self.lock_known() = fresh;
                }
            }
        }
    }

    /// Looks something up. Waits for nothing.
    pub(super) fn look_up<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.lock_known().index)
    }

    fn lock_known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn below() -> String {
    format!("{PREFIX}/")
}

fn read(vault: &Vault, entry: &Entry) -> Option<(Key, Value)> {
    let key = Key::parse(&entry.key)?;
    let mut value = serde_json::from_slice(&entry.value).ok()?;
    if matches!(key.kind, Kind::Consumer | Kind::Credential) {
        vault.open(&key, &mut value);
    }
    Some((key, value))
}
