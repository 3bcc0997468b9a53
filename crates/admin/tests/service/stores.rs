//! Stores that can't do everything: small transactions, one write after another, no writes at all, or away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use futures_util::future::{BoxFuture, FutureExt as _};
use serde_json::json;
use usher_admin::service::{Approval, AuditEvent, Own, Rules, ServiceError, Wanted, amend};
use usher_model::kind::Kind;
use usher_model::seal::Keyring;
use usher_store::memory::Memory;
use usher_store::{Before, Capabilities, Committed, Description, Health, Store, StoreError, Transaction};

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
        // One after another, and what tells of them behind them: of what was done.
        let Transaction { compare, writes } = transaction;
        self.inner.commit(Transaction { compare, writes: Vec::new() }).await?;
        let (far, own): (Vec<_>, Vec<_>) = writes.into_iter().partition(|write| is_resource(&key_of(write)));
        let mut done = Vec::new();
        let mut failed = false;
        for write in far {
            failed = self.fails();
            if failed {
                break;
            }
            done.push(key_of(&write));
            self.inner.commit(Transaction { compare: Vec::new(), writes: vec![write] }).await?;
        }
        if failed && done.is_empty() {
            return lost();
        }
        let bytes = |write: &usher_store::Write| match write {
            usher_store::Write::Put { value, .. } => Some(value.to_vec()),
            usher_store::Write::Delete { .. } => None,
        };
        let mut own: Own = own.iter().map(|write| (key_of(write), bytes(write))).collect();
        if failed {
            own = amend(own, &done, "the line is cut");
        }
        let told = own.into_iter().fold(Transaction::default(), |told, (key, value)| match value {
            Some(value) => told.put(key, value),
            None => told.delete(key),
        });
        let committed = self.inner.commit(told).await?;
        if failed {
            return Err(StoreError::Partial { done, reason: "the line is cut".to_owned() });
        }
        Ok(committed)
    }
}

impl Before for Odd {
    fn behind(&self) -> &dyn Store {
        &self.inner
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        self.write(transaction).boxed()
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
    // Nobody is asked about what can't be done.
    assert!(bench.plan([put(route("1"), json!({ "uri": "/b", "plugins": {} }))]).await.is_err());
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
        assert_eq!(
            (history[0].total, history[0].missed, history[0].missed_keys.len()),
            (done, 3 - done, 3 - done)
        );
        assert!(history[0].missed_keys.contains(&upstream("u")), "{history:?}");
        let told = bench.service.audit(&admin(), Default::default()).await.unwrap().pop().unwrap();
        assert_eq!((told.event, told.total), (AuditEvent::Failed, done));
        assert_eq!(told.about, format!("{done} of 3 objects were written: the line is cut"));
        assert_eq!(bench.service.verify_audit(&admin()).await.unwrap().broken, None);
        let plan = bench.service.plan_undo(&agent(), None, None).await.unwrap();
        bench.agree(&plan).await.unwrap();
        assert_eq!(bench.bytes().await, before);
    }
}

#[tokio::test]
async fn a_large_change_that_was_done_in_part_is_told_and_taken_back_as_that_part() {
    let able = Capabilities { atomic: false, ..Capabilities::OWN };
    let store = Odd::new(able);
    let bench = Bench::with(Arc::clone(&store) as Arc<dyn Store>, Rules::default()).await;
    let long = "x".repeat(100_000);
    let set = (0..40).map(|at| {
        put(route(&format!("r{at:02}")), json!({ "uri": "/a", "plugins": { "caller": { "token": long } } }))
    });
    store.fail_after(30);
    let error = bench.service.write(&admin(), wanted(set)).await.unwrap_err();
    assert!(matches!(error, ServiceError::Partial { done: 30, total: 40, .. }), "{error}");
    store.fail_after(-1);
    let history = bench.service.history(&viewer(), Default::default()).await.unwrap();
    assert_eq!((history[0].total, history[0].missed), (30, 10));
    let plan = bench.service.plan_undo(&admin(), None, None).await.unwrap();
    assert_eq!(plan.total, 30);
    bench.service.apply(&admin(), &plan.id, Approval::Client).await.unwrap();
    assert!(bench.bytes().await.is_empty());
}

#[tokio::test]
async fn a_taking_back_that_was_done_in_part_is_a_change_like_any_other() {
    let able = Capabilities { atomic: false, ..Capabilities::OWN };
    let store = Odd::new(able);
    let bench = Bench::with(Arc::clone(&store) as Arc<dyn Store>, Rules::default()).await;
    let two = [
        put(route("1"), json!({ "uri": "/1", "plugins": {} })),
        put(route("2"), json!({ "uri": "/2", "plugins": {} })),
    ];
    let made = bench.service.write(&admin(), wanted(two)).await.unwrap().revision;
    store.fail_after(1);
    let plan = bench.service.plan_undo(&admin(), None, None).await.unwrap();
    let error = bench.service.apply(&admin(), &plan.id, Approval::Client).await.unwrap_err();
    assert!(matches!(error, ServiceError::Partial { done: 1, .. }), "{error}");
    store.fail_after(-1);
    // First back to where both were, then further.
    for left in [2, 0] {
        let plan = bench.service.plan_undo(&admin(), None, None).await.unwrap();
        assert_eq!(plan.undoes == Some(made), left == 0);
        bench.service.apply(&admin(), &plan.id, Approval::Client).await.unwrap();
        assert_eq!(bench.bytes().await.len(), left);
    }
}

#[tokio::test]
async fn a_plan_for_a_store_without_transactions_says_so() {
    let able = Capabilities { atomic: false, ..Capabilities::OWN };
    for (able, wanted_warning) in [(able, true), (Capabilities::OWN, false)] {
        let bench = Bench::with(Odd::new(able), Rules::default()).await;
        let on = |id: &str| put(route(id), json!({ "uri": format!("/{id}"), "upstream": nodes() }));
        let warned = |plan: &usher_admin::service::Plan| {
            plan.warnings.iter().any(|told| told.contains("has no transactions"))
        };
        let plan = bench.service.plan(&admin(), wanted([on("1"), on("2")])).await.unwrap();
        assert_eq!(warned(&plan), wanted_warning, "{:?}", plan.warnings);
        let plan = bench.service.plan(&admin(), wanted([on("1")])).await.unwrap();
        assert!(!warned(&plan), "a single object is written whole or not at all: {:?}", plan.warnings);
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
