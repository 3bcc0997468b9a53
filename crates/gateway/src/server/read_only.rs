//! The store of a data plane: it is read and watched, and takes no change from here.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use usher_store::{Before, Capabilities, Committed, Store, StoreError, Transaction};

/// A store that isn't written.
pub(super) struct ReadOnly(pub(super) Arc<dyn Store>);

impl Before for ReadOnly {
    fn behind(&self) -> &dyn Store {
        self.0.as_ref()
    }

    fn commit(&self, _: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        let reason =
            "this gateway is a data plane (deployment.role); change the configuration at its control plane";
        ready(Err(StoreError::ReadOnly(reason.to_owned()))).boxed()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { writable: false, ..self.0.capabilities() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use usher_store::memory::Memory;
    use usher_store::{Store, StoreError, Transaction};

    use super::ReadOnly;

    #[tokio::test]
    async fn what_a_data_plane_reads_has_the_ends_that_its_control_plane_set() {
        let behind = Arc::new(Memory::new());
        behind.commit(Transaction::default().put_for("/apisix/routes/1", "{}", Some(60))).await.unwrap();
        let store = ReadOnly(Arc::clone(&behind) as Arc<dyn Store>);
        let ends = store.leases().await.unwrap();
        assert_eq!(ends, behind.leases().await.unwrap());
        assert_eq!(ends.len(), 1);
        assert!(!store.capabilities().writable);
        let error = store.commit(Transaction::default().delete("/apisix/routes/1")).await.unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
        assert!(store.get("/apisix/routes/1").await.unwrap().is_some());
    }
}
