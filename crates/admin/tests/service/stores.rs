//! Stores that can't do everything: small transactions, one write after another, no writes at all, or away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use futures_util::future::{BoxFuture, FutureExt as _};
use serde_json::json;
use usher_admin::service::{Approval, Rules, ServiceError, Wanted};
use usher_model::kind::Kind;
use usher_model::seal::Keyring;
use usher_store::memory::Memory;
use usher_store::{
    Capabilities, Committed, Description, Entry, Health, Listing, Revision, Store, StoreError, Transaction,
    Watch,
};

use crate::bench::{Bench, admin, agent, gone, nodes, put, route, upstream, viewer, wanted};

/// A store in memory that can do less.
pub(crate) struct Odd {
    pub(crate) inner: Memory,
    able: Capabilities,
    /// Writes of resources that go well before one fails; below zero none ever fails.
    left: AtomicI64,
    away: AtomicBool,
}

impl Odd {
    pub(crate) fn new(able: Capabilities) -> Arc<Self> {
        Arc::new(Self { inner: Memory::new(), able, left: AtomicI64::new(-1), away: AtomicBool::new(false) })
    }

    /// With transactions of so many writes.
    pub(crate) fn narrow(most_writes: usize) -> Arc<Self> {
        Self::new(Capabilities { most_writes, ..Capabilities::OWN })
    }

    /// From now on so many transactions (or writes, where it isn't atomic) with resources go well.
    pub(crate) fn fail_after(&self, count: i64) {
        self.left.store(count, Ordering::Relaxed);
    }

    fn fails(&self) -> bool {
        match self.left.load(Ordering::Relaxed) {
            0 => true,
            left if left > 0 => {
                self.left.store(left - 1, Ordering::Relaxed);
                false
            }
            _ => false,
        }
    }

    async fn write(&self, transaction: Transaction) -> Result<Committed, StoreError> {
        let lost = || Err(StoreError::Unavailable("the line is cut".to_owned()));
        let is_resource = |key: &str| key.starts_with("/apisix/");
        let key_of = |write: &usher_store::Write| match write {
            usher_store::Write::Put { key, .. } | usher_store::Write::Delete { key } => key.clone(),
        };
        let touches = transaction.writes.iter().any(|write| is_resource(&key_of(write)));
        assert!(transaction.writes.len() <= self.able.most_writes, "{} writes", transaction.writes.len());
        assert!(
            transaction.compare.len() <= self.able.most_writes,
            "{} comparisons",
            transaction.compare.len()
        );
        if self.away.load(Ordering::Relaxed) {
            return lost();
        }
        if touches && !self.able.writable {
            return Err(StoreError::ReadOnly("others write it".to_owned()));
        }
        if self.able.atomic {
            return if touches && self.fails() { lost() } else { self.inner.commit(transaction).await };
        }
        let Transaction { compare, writes } = transaction;
        let compared = Transaction { compare, writes: Vec::new() };
        let mut committed = self.inner.commit(compared).await?;
        for write in writes {
            if is_resource(&key_of(&write)) && self.fails() {
                return lost();
            }
            committed = self.inner.commit(Transaction { compare: Vec::new(), writes: vec![write] }).await?;
        }
        Ok(committed)
    }
}

impl Store for Odd {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.inner.get(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.inner.list(prefix)
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.inner.list_page(prefix, after, limit, reverse)
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        self.write(transaction).boxed()
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.inner.watch(prefix, from)
    }

    fn revision(&self) -> Revision {
        self.inner.revision()
    }

    fn describe(&self) -> Description {
        Description { kind: "odd", ..Description::default() }
    }

    fn capabilities(&self) -> Capabilities {
        self.able
    }

    fn health(&self) -> Health {
        let away = self.away.load(Ordering::Relaxed);
        Health { away: away.then(|| "the line is cut".to_owned()), ..Health::default() }
    }
}

#[tokio::test]
async fn a_store_that_others_write_is_only_read() {
    let store = Odd::new(Capabilities { writable: false, ..Capabilities::OWN });
    let value = r#"{"id":"1","uri":"/a","plugins":{}}"#;
    store.inner.commit(Transaction::default().put(route("1").path(), value)).await.unwrap();
    let bench = Bench::with(store, Rules::default()).await;
    assert_eq!(bench.service.list(&viewer(), Kind::Route).await.unwrap().len(), 1);
    let error = bench.put(route("1"), json!({ "uri": "/b", "plugins": {} })).await.unwrap_err();
    assert!(matches!(error, ServiceError::Forbidden(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "the configuration comes from the store odd, which others write and Usher only reads; change it there"
    );
    let plan = bench.plan([put(route("1"), json!({ "uri": "/b", "plugins": {} }))]).await.unwrap();
    assert!(bench.agree(&plan).await.is_err());
    assert_eq!(bench.value(route("1")).await["uri"], "/a");
}

#[tokio::test]
async fn a_store_without_leases_refuses_a_time_to_live() {
    let ttl =
        || Wanted { ttl_secs: Some(60), ..wanted([put(route("1"), json!({ "uri": "/a", "plugins": {} }))]) };
    let bench =
        Bench::with(Odd::new(Capabilities { leases: false, ..Capabilities::OWN }), Rules::default()).await;
    let error = bench.service.write(&admin(), ttl()).await.unwrap_err();
    assert!(
        matches!(error, ServiceError::Invalid { .. })
            && error.to_string().contains("can't delete anything by itself"),
        "{error}"
    );
    assert!(bench.bytes().await.is_empty());
    let bench = Bench::new().await;
    bench.service.write(&admin(), ttl()).await.unwrap();
    assert_eq!(bench.bytes().await.len(), 1);
}

#[tokio::test]
async fn a_store_that_is_away_is_still_read_and_says_so() {
    let store = Odd::new(Capabilities::OWN);
    let bench = Bench::with(Arc::clone(&store) as Arc<dyn Store>, Rules::default()).await;
    bench.put(route("1"), json!({ "uri": "/a", "plugins": {} })).await.unwrap();
    let plan = bench.plan([put(route("1"), json!({ "uri": "/b", "plugins": {} }))]).await.unwrap();
    store.away.store(true, Ordering::Relaxed);
    assert_eq!(bench.service.health().away.as_deref(), Some("the line is cut"));
    assert_eq!(bench.value(route("1")).await["uri"], "/a");
    let error = bench.put(route("2"), json!({ "uri": "/a", "plugins": {} })).await.unwrap_err();
    assert!(matches!(error, ServiceError::Store(StoreError::Unavailable(_))), "{error}");
    assert!(matches!(bench.agree(&plan).await, Err(ServiceError::Store(StoreError::Unavailable(_)))));
    store.away.store(false, Ordering::Relaxed);
    bench.agree(&plan).await.unwrap();
    assert_eq!(bench.value(route("1")).await["uri"], "/b");
}

#[tokio::test]
async fn what_a_store_that_is_not_atomic_has_done_is_told_and_can_be_taken_back() {
    let able = Capabilities { atomic: false, ..Capabilities::OWN };
    for (left, done) in [(0, 0), (1, 1), (2, 2)] {
        let store = Odd::new(able);
        let bench = Bench::with(Arc::clone(&store) as Arc<dyn Store>, Rules::default()).await;
        bench.put(upstream("u"), nodes()).await.unwrap();
        let before = bench.bytes().await;
        store.fail_after(left);
        let set = wanted([
            put(route("1"), json!({ "uri": "/1", "upstream_id": "u" })),
            put(route("2"), json!({ "uri": "/2", "upstream_id": "u" })),
            gone(route("3")),
        ]);
        let set = Wanted {
            edits: set
                .edits
                .into_iter()
                .take(2)
                .chain([put(upstream("u"), json!({ "nodes": {} }))])
                .collect(),
            ..set
        };
        let error = bench.service.write(&admin(), set).await.unwrap_err();
        store.fail_after(-1);
        if done == 0 {
            assert!(matches!(error, ServiceError::Store(_)), "{error}");
            assert_eq!(bench.bytes().await, before);
            continue;
        }
        let ServiceError::Partial { done: told, total: 3, sentence } = &error else { panic!("{error}") };
        assert_eq!(*told, done);
        assert!(sentence.contains(&format!("{done} of 3 objects were written (route 1")), "{sentence}");
        assert_eq!(bench.bytes().await.len(), 1 + done);
        let history = bench.service.history(&viewer(), Default::default()).await.unwrap();
        assert_eq!(history[0].changes.len(), done, "the history tells what was done and no more");
        let plan = bench.service.plan_undo(&agent(), None, None).await.unwrap();
        bench.agree(&plan).await.unwrap();
        assert_eq!(bench.bytes().await, before);
    }
}

#[tokio::test]
async fn a_set_that_is_too_large_is_refused_and_names_the_way() {
    let bench = Bench::with(Odd::narrow(20), Rules::default()).await;
    let set =
        || (0..30).map(|at| put(route(&format!("r{at}")), json!({ "uri": format!("/{at}"), "plugins": {} })));
    let error = bench.service.write(&admin(), wanted(set())).await.unwrap_err();
    assert!(
        matches!(error, ServiceError::NeedsSteps(_)) && error.to_string().contains("--in-steps"),
        "{error}"
    );
    let plan = bench.service.plan(&admin(), wanted(set())).await.unwrap();
    assert_eq!((plan.total, plan.steps), (30, 3));
    assert!(
        plan.text().starts_with(&format!("plan {}  risk ", plan.id)) && plan.text().contains("in 3 steps")
    );
    let error = bench.service.apply(&admin(), &plan.id, Approval::Client).await.unwrap_err();
    assert!(matches!(error, ServiceError::NeedsSteps(_)), "{error}");
    assert!(bench.bytes().await.is_empty());
    // The same plan can still be applied, as asked for.
    let applied = bench.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await.unwrap();
    assert_eq!((applied.total, bench.bytes().await.len()), (30, 30));
}

#[tokio::test]
async fn a_gateway_with_another_keyring_is_not_let_in_to_a_store_that_is_shared() {
    let store = Odd::new(Capabilities { alone: false, ..Capabilities::OWN });
    let ring = || Arc::new(Keyring::generate().unwrap().0);
    let first = ring();
    let start = |keyring: &Arc<Keyring>| {
        let (store, keyring) = (Arc::clone(&store), Arc::clone(keyring));
        async move { Bench::try_started(store, Rules::default(), keyring).await.map(drop) }
    };
    start(&first).await.unwrap();
    start(&first).await.unwrap();
    let refused = start(&ring()).await.unwrap_err().to_string();
    assert!(refused.contains("copy keyring.key"), "{refused}");
}
