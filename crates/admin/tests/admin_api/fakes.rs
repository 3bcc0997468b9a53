//! What stands in for the rest of Usher: a store and a proxy that can be told to fail.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;
use usher_model::compat::Compat;
use usher_model::live::{HealthCounters, Live, NodeHealth, NotInForce, Problem, UpstreamHealth};
use usher_pipeline::env::{Target, Targets};
use usher_store::memory::Memory;
use usher_store::{Before, Committed, Health, Store, StoreError, Transaction};

/// What goes wrong on purpose.
#[derive(Default)]
pub(crate) struct Moods {
    store: AtomicU8,
    live: AtomicU8,
    commits: AtomicU64,
}

/// What the store does at the next commits.
pub(crate) const GOOD: u8 = 0;
pub(crate) const FULL: u8 = 1;
pub(crate) const BUSY: u8 = 2;
pub(crate) const UNAVAILABLE: u8 = 3;
pub(crate) const AWAY: u8 = 7;
/// What the proxy does when it is asked whether a change is in force.
pub(crate) const SLOW: u8 = 4;
pub(crate) const PANICS: u8 = 5;
pub(crate) const CANT_USE: u8 = 6;
pub(crate) const CHECKED: u8 = 8;

impl Moods {
    pub(crate) fn set_store(&self, mood: u8) {
        self.store.store(mood, Ordering::SeqCst);
    }

    pub(crate) fn set_live(&self, mood: u8) {
        self.live.store(mood, Ordering::SeqCst);
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }
}

/// A store in memory that can be told to fail.
pub(crate) struct Moody {
    memory: Memory,
    moods: Arc<Moods>,
}

impl Moody {
    pub(crate) fn new(moods: Arc<Moods>) -> Self {
        Self { memory: Memory::new(), moods }
    }
}

impl Before for Moody {
    fn behind(&self) -> &dyn Store {
        &self.memory
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        self.moods.commits.fetch_add(1, Ordering::SeqCst);
        let refused = match self.moods.store.load(Ordering::SeqCst) {
            FULL => StoreError::Full,
            BUSY => StoreError::Busy,
            UNAVAILABLE | AWAY => StoreError::Unavailable("it sleeps".to_owned()),
            _ => return self.memory.commit(transaction),
        };
        async move { Err(refused) }.boxed()
    }

    fn health(&self) -> Health {
        let away = self.moods.store.load(Ordering::SeqCst) == AWAY;
        Health {
            away: away.then(|| "no member answers".to_owned()),
            away_since_unix_ms: away.then_some(784_111_777_000),
            ..Health::default()
        }
    }
}

/// A proxy that serves by every change at once, unless it is told otherwise.
pub(crate) struct FakeLive(pub(crate) Arc<Moods>);

impl Live for FakeLive {
    fn revision(&self) -> u64 {
        0
    }

    fn wait_in_force(&self, wanted: u64, _: Duration) -> BoxFuture<'_, Result<(), NotInForce>> {
        let mood = self.0.live.load(Ordering::SeqCst);
        async move {
            match mood {
                SLOW => Err(NotInForce { wanted, served: 0 }),
                PANICS => panic!("the proxy fell over"),
                _ => Ok(()),
            }
        }
        .boxed()
    }

    fn problems(&self) -> Vec<Problem> {
        let problem = || Problem {
            key: "/apisix/upstreams/1".to_owned(),
            revision: 1,
            reason: "it can't be built".to_owned(),
        };
        if self.0.live.load(Ordering::SeqCst) == CANT_USE { vec![problem()] } else { Vec::new() }
    }

    fn health(&self) -> Vec<UpstreamHealth> {
        if self.0.live.load(Ordering::SeqCst) != CHECKED {
            return Vec::new();
        }
        let node = NodeHealth {
            ip: "10.0.0.1".to_owned(),
            port: 80,
            hostname: "a.test".to_owned(),
            status: "mostly_healthy".to_owned(),
            counter: HealthCounters { http_failure: 1, ..HealthCounters::default() },
        };
        let of = |name: &str, nodes: Vec<NodeHealth>| UpstreamHealth {
            name: name.to_owned(),
            kind: "http".to_owned(),
            nodes,
            changes: Vec::new(),
        };
        vec![of("/apisix/routes/1", vec![node]), of("/apisix/upstreams/<b>", Vec::new())]
    }

    fn discovered(&self, kind: &str) -> Option<Value> {
        let checked = self.0.live.load(Ordering::SeqCst) == CHECKED;
        (checked && kind == "consul").then(|| serde_json::json!({ "config": {}, "services": {} }))
    }
}

/// Makes every upstream, unless its private key says that it is none.
pub(crate) struct Keyed;

impl Target for Keyed {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Targets for Keyed {
    fn target(&self, _: &str, upstream: &Value, _: Compat) -> Result<Arc<dyn Target>, String> {
        let key = upstream.pointer("/tls/client_key").and_then(Value::as_str).unwrap_or_default();
        if key.contains("no-key") {
            // A sentence that repeats what it should not.
            return Err(format!("`tls.client_key` is no private key in PEM, but {key}"));
        }
        Ok(Arc::new(Self))
    }
}
