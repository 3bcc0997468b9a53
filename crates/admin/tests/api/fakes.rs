//! What stands in for the rest of Usher: a store that can be told to fail, a proxy that explains one route, and a plugin with secrets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_model::live::{Explanation, Live, NotInForce, PassedOver, RouteName, Sketch, UpstreamName};
use usher_model::secret::Secret;
use usher_model::traffic::{Ask, By, Latency, Measure, Row, Traffic};
use usher_pipeline::env::Env;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::{Credential, Spec};
use usher_store::memory::Memory;
use usher_store::{Before, Capabilities, Committed, Health, Listing, Store, StoreError, Transaction};

/// What goes wrong on purpose.
#[derive(Default)]
pub(crate) struct Moods {
    pub(crate) store: AtomicU8,
    pub(crate) most_writes: AtomicU64,
    pub(crate) slow: AtomicBool,
    /// The requests that were explained.
    pub(crate) asked: Mutex<Vec<Sketch>>,
    /// What was asked of the traffic.
    pub(crate) traffic: Mutex<Vec<Ask>>,
}

/// What the store does at the next commits.
pub(crate) const GOOD: u8 = 0;
pub(crate) const FULL: u8 = 1;
pub(crate) const AWAY: u8 = 2;
pub(crate) const READ_ONLY: u8 = 3;
/// It is gone, and a read of what isn't at hand is what finds that out.
pub(crate) const LOST: u8 = 4;
/// It takes the change, and can't say so.
pub(crate) const UNSURE: u8 = 5;

/// A store in memory that can be told to fail.
pub(crate) struct Moody {
    pub(crate) memory: Memory,
    pub(crate) moods: Arc<Moods>,
}

impl Before for Moody {
    fn behind(&self) -> &dyn Store {
        &self.memory
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        if self.moods.store.load(Ordering::SeqCst) == LOST {
            return async { Err(StoreError::Unavailable("nobody answers".to_owned())) }.boxed();
        }
        self.memory.list_page(prefix, after, limit, reverse)
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        let refused = match self.moods.store.load(Ordering::SeqCst) {
            FULL => StoreError::Full,
            AWAY => StoreError::Unavailable("it sleeps".to_owned()),
            READ_ONLY => StoreError::ReadOnly("apisix.yaml is written by hand".to_owned()),
            UNSURE => {
                return async move {
                    self.memory.commit(transaction).await?;
                    Err(StoreError::Unknown("the answer was lost".to_owned()))
                }
                .boxed();
            }
            _ => return self.memory.commit(transaction),
        };
        async move { Err(refused) }.boxed()
    }

    fn capabilities(&self) -> Capabilities {
        match self.moods.most_writes.load(Ordering::SeqCst) {
            0 => Capabilities::OWN,
            most => Capabilities { most_writes: usize::try_from(most).unwrap(), ..Capabilities::OWN },
        }
    }

    fn health(&self) -> Health {
        let mood = self.moods.store.load(Ordering::SeqCst);
        Health {
            away: (mood == AWAY).then(|| "it sleeps".to_owned()),
            writes_fail: (mood == FULL).then(|| "no space left on the device".to_owned()),
            ..Health::default()
        }
    }
}

/// A proxy that serves by every change at once, unless it is told otherwise, and takes `/speaker/*`.
pub(crate) struct FakeLive(pub(crate) Arc<Moods>);

impl Live for FakeLive {
    fn revision(&self) -> u64 {
        7
    }

    fn wait_in_force(&self, wanted: u64, _: Duration) -> BoxFuture<'_, Result<(), NotInForce>> {
        let slow = self.0.slow.load(Ordering::SeqCst);
        async move { if slow { Err(NotInForce { wanted, served: 0 }) } else { Ok(()) } }.boxed()
    }

    fn explain(&self, request: &Sketch) -> Explanation {
        self.0.asked.lock().unwrap().push(request.clone());
        let route = |id: &str| RouteName {
            id: id.to_owned(),
            name: Some("Speakers".to_owned()),
            uri: "/speaker/*".to_owned(),
        };
        let passed_over = vec![PassedOver {
            route: route("beta"),
            because: "arg_beta is absent, wanted \"yes\"".to_owned(),
        }];
        if !request.target.starts_with("/speaker/") {
            return Explanation {
                passed_over,
                answer: Some("404 Route Not Found".to_owned()),
                ..Explanation::default()
            };
        }
        Explanation {
            route: Some(route("speaker")),
            passed_over,
            plugins: vec!["limit-count (access, header_filter)".to_owned()],
            upstream: Some(UpstreamName {
                id: Some("api".to_owned()),
                nodes: vec![("10.0.0.1:80".to_owned(), 1), ("10.0.0.2:80".to_owned(), 2)],
                next: Some("10.0.0.2:80".to_owned()),
            }),
            answer: None,
        }
    }

    fn series(&self, ask: &Ask) -> Traffic {
        self.0.traffic.lock().unwrap().push(ask.clone());
        let one = Measure {
            requests: 1,
            by_class: [0, 0, 0, 1, 0],
            received_bytes: 10,
            sent_bytes: 20,
            took: Some(Latency {
                mean_ms: 9.0,
                upstream_mean_ms: 0.0,
                p50_ms: 9.0,
                p95_ms: 9.5,
                p99_ms: 9.9,
            }),
        };
        let key = ask.by.iter().map(|by| if *by == By::Route { "speaker" } else { "key-auth" }.to_owned());
        let points = if ask.points > 0 { vec![one, Measure::default()] } else { Vec::new() };
        let row = Row { key: key.collect(), total: one, points };
        Traffic {
            from: ask.from,
            to: ask.to,
            step: 300,
            since: Some(1),
            total: one,
            rows: vec![row],
            more: 0,
        }
    }

    fn listeners(&self) -> Vec<SocketAddr> {
        vec!["127.0.0.1:9080".parse().unwrap()]
    }
}

/// All plugins of these tests.
pub(crate) static PLUGINS: &[&Spec] = &[&LIMIT, &KEY_AUTH];

static LIMIT: Spec = Spec::of::<Limit>();
static KEY_AUTH: Spec = Spec::of::<KeyAuth>().auth::<KeyCredential>();

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct LimitConfig {
    #[schemars(range(min = 1))]
    count: u32,
    redis_password: Option<Secret<String>>,
}

struct Limit;

impl Plugin for Limit {
    const NAME: &'static str = "limit-count";
    const PRIORITY: i32 = 1002;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = LimitConfig;

    fn build(_: LimitConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

#[derive(Deserialize, JsonSchema)]
struct NoConfig {}

struct KeyAuth;

#[derive(Deserialize, JsonSchema)]
struct KeyCredential {
    key: Secret<String>,
}

impl Credential for KeyCredential {
    const UNIQUE: &'static str = "key";

    fn unique(&self) -> &str {
        self.key.expose()
    }
}

impl Plugin for KeyAuth {
    const NAME: &'static str = "key-auth";
    const PRIORITY: i32 = 2500;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = NoConfig;

    fn build(_: NoConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}
