//! Why the disk takes no writes, while it doesn't.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Health, StoreError};

/// What is wrong, if anything is.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Option<String>>);

impl Trouble {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write failed.
    pub(super) fn begin(&self, error: &StoreError) {
        *self.lock() = Some(error.to_string());
    }

    /// A write went well.
    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    pub(super) fn is_there(&self) -> bool {
        self.lock().is_some()
    }

    /// The same for others.
    pub(super) fn health(&self) -> Health {
        Health { writes_fail: self.lock().clone(), ..Health::default() }
    }
}
