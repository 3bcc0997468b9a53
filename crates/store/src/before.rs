//! A store that stands before another one: what it doesn't say itself, the one behind it says.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::cut::Cut;
use crate::feed::Watch;
use crate::transaction::Transaction;
use crate::{
    Capabilities, Committed, Description, Entry, Health, Lease, Listing, Revision, Store, StoreError,
};

/// A [`Store`] by way of another one, such as one that refuses every change. A method that isn't written is the one of the store behind.
pub trait Before: Send + Sync + 'static {
    /// The store behind.
    fn behind(&self) -> &dyn Store;

    /// [`Store::list_page`].
    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.behind().list_page(prefix, after, limit, reverse)
    }

    /// [`Store::commit`].
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        self.behind().commit(transaction)
    }

    /// [`Store::describe`].
    fn describe(&self) -> Description {
        self.behind().describe()
    }

    /// [`Store::capabilities`].
    fn capabilities(&self) -> Capabilities {
        self.behind().capabilities()
    }

    /// [`Store::health`].
    fn health(&self) -> Health {
        self.behind().health()
    }
}

impl<T: Before> Store for T {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.behind().get(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.behind().list(prefix)
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        Before::list_page(self, prefix, after, limit, reverse)
    }

    fn leases(&self) -> BoxFuture<'_, Result<Vec<Lease>, StoreError>> {
        self.behind().leases()
    }

    fn leases_of<'a>(&'a self, keys: &'a [Arc<str>]) -> BoxFuture<'a, Result<Vec<Lease>, StoreError>> {
        self.behind().leases_of(keys)
    }

    fn cut(&self, below: &'static [&'static str]) -> BoxFuture<'_, Result<Cut, StoreError>> {
        self.behind().cut(below)
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        Before::commit(self, transaction)
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.behind().watch(prefix, from)
    }

    fn revision(&self) -> Revision {
        self.behind().revision()
    }

    fn describe(&self) -> Description {
        Before::describe(self)
    }

    fn capabilities(&self) -> Capabilities {
        Before::capabilities(self)
    }

    fn health(&self) -> Health {
        Before::health(self)
    }

    fn release(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.behind().release()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.behind().resume()
    }
}
