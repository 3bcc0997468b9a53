//! The store of a data plane: it is read and watched, and takes no change from here.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use usher_store::{
    Capabilities, Committed, Description, Entry, Health, Listing, Revision, Store, StoreError, Transaction,
    Watch,
};

/// A store that isn't written.
pub(super) struct ReadOnly(pub(super) Arc<dyn Store>);

impl Store for ReadOnly {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.0.get(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.0.list(prefix)
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.0.list_page(prefix, after, limit, reverse)
    }

    fn commit(&self, _: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        let reason =
            "this gateway is a data plane (deployment.role); change the configuration at its control plane";
        ready(Err(StoreError::ReadOnly(reason.to_owned()))).boxed()
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.0.watch(prefix, from)
    }

    fn revision(&self) -> Revision {
        self.0.revision()
    }

    fn describe(&self) -> Description {
        self.0.describe()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { writable: false, ..self.0.capabilities() }
    }

    fn health(&self) -> Health {
        self.0.health()
    }

    fn release(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.release()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.resume()
    }
}
