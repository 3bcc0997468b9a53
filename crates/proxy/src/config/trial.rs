//! A store, a follower and a few plugins, for the tests of this room.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use usher_model::compat::Compat;
use usher_model::live::{Live as _, Problem, Sketch};
use usher_model::seal::Keyring;
use usher_model::secret::Secret;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::env::{Env, Process};
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::registry::Registry;
use usher_pipeline::spec::{Credential, Spec};
use usher_store::memory::Memory;
use usher_store::{Store as _, Transaction};

use super::{Asked, BodyWord, Follower, Keeper, Route, Shared, Ways};
use crate::discover::Discovery;
use crate::engine::Serving;
use crate::live::{LiveProxy, Parts, exchange};
use crate::options::{Options, PathRules};
use crate::resolve::{Asker, Resolver};
use crate::series::Series;

/// A proxy without an engine, on a store in memory.
pub(crate) struct Trial {
    pub(crate) store: Arc<Memory>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) live: LiveProxy,
    pub(crate) follower: Follower,
}

impl Trial {
    pub(crate) async fn start() -> Self {
        Self::start_with(Options { workers: 2, ..Options::default() }).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        Self::over(options, Arc::new(Memory::new()), Arc::new(Keyring::generate().unwrap().0)).await
    }

    async fn over(options: Options, store: Arc<Memory>, keyring: Arc<Keyring>) -> Self {
        let kept: Arc<Memory> = Arc::clone(&store);
        let keeper = Arc::<Keeper>::default();
        let resolver = Arc::new(Resolver::new(Asker::System));
        let own: Arc<[std::net::SocketAddr]> = Arc::from([]);
        let runtime = tokio::runtime::Handle::current();
        let discovery = Arc::new(Discovery::new(&options.discovery, &resolver, &own, runtime).unwrap());
        keeper.begin(Ways { discovery: Arc::clone(&discovery), checks: options.health_checks });
        let (shared, follower) =
            super::start(&options, registry(), process(), kept, Arc::clone(&keyring), Arc::clone(&keeper))
                .await
                .unwrap();
        let parts = Parts {
            shared: Arc::clone(&shared),
            listeners: std::sync::RwLock::default(),
            serving: Serving::new(0),
            keeper,
            paths: PathRules::default(),
            discovery,
            series: Arc::new(Series::open(None, Arc::default())),
        };
        let live = LiveProxy::new(parts);
        Self { store, keyring, shared, live, follower }
    }

    /// Writes and deletes in one transaction, and waits until it is in force. Keys begin behind `/apisix/`.
    pub(crate) async fn change(&self, edits: &[(&str, Option<Value>)]) -> u64 {
        let mut transaction = Transaction::default();
        for (key, value) in edits {
            let key = format!("/apisix/{key}");
            transaction = match value {
                Some(value) => transaction.put(key, value.to_string()),
                None => transaction.delete(key),
            };
        }
        let revision = self.store.commit(transaction).await.unwrap().revision;
        self.live.wait_in_force(revision, Duration::from_secs(30)).await.unwrap();
        revision
    }

    pub(crate) async fn put(&self, key: &str, value: Value) -> u64 {
        self.change(&[(key, Some(value))]).await
    }

    pub(crate) async fn delete(&self, key: &str) -> u64 {
        self.change(&[(key, None)]).await
    }

    /// The route that a GET of this path takes.
    pub(crate) fn taken(&self, path: &str) -> Option<Arc<Route>> {
        let exchange = asking(path);
        let asked = Asked::of(&exchange, exchange.request.path(), BodyWord::Read);
        self.shared.current().take(&asked).map(|candidate| Arc::clone(&candidate.route))
    }

    /// What the plugins `mark-a` and `mark-b` say on the route that a GET of this path takes.
    pub(crate) fn marks(&self, path: &str) -> String {
        self.taken(path).map_or_else(|| "no route".to_owned(), |route| marks(&route.pipeline))
    }

    /// The status that the route answers by itself on which a GET of this path is taken: 0 where it does not, `None` where there is no route.
    pub(crate) fn answered(&self, path: &str) -> Option<u16> {
        let route = self.taken(path)?;
        let mut exchange = asking(path);
        match route.pipeline.rewrite(&mut exchange).now_or_never() {
            Some(Flow::Reply(reply)) => Some(reply.head.status()),
            _ => Some(0),
        }
    }

    /// The same store, behind a restart of the proxy.
    pub(crate) async fn restart(self) -> Self {
        self.follower.stop().await;
        let Self { store, keyring, .. } = self;
        Self::over(Options { workers: 2, ..Options::default() }, store, keyring).await
    }

    pub(crate) fn live_problems(&self) -> Vec<Problem> {
        self.live.problems()
    }

    /// Each key with its reason.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        self.live.problems().into_iter().map(|problem| (problem.key, problem.reason)).collect()
    }
}

/// A GET of this path.
fn asking(path: &str) -> Exchange {
    let sketch = Sketch { method: "GET".into(), target: path.into(), ..Sketch::default() };
    exchange(&sketch, PathRules::default()).unwrap()
}

/// What `mark-a` and `mark-b` say in this pipeline, in order.
pub(crate) fn marks(pipeline: &Pipeline) -> String {
    let mut exchange = asking("/");
    assert!(matches!(pipeline.access(&mut exchange).now_or_never(), Some(Flow::Continue)));
    let all: Vec<_> = exchange.request.head.get_all("x-mark").map(String::from_utf8_lossy).collect();
    all.join(" ")
}

pub(crate) fn registry() -> Arc<Registry> {
    static SPECS: [&Spec; 4] = [
        &Spec::of::<Mark<'a'>>(),
        &Spec::of::<Mark<'b'>>(),
        &Spec::of::<Gate>().auth::<GateKey>(),
        &Spec::of::<Told>().metadata::<MarkConfig>(),
    ];
    Arc::new(Registry::new(&SPECS))
}

pub(crate) fn process() -> Arc<Process> {
    Arc::new(Process::new(serde_json::Map::new(), Compat::NONE, crate::targets()))
}

/// `mark-a` and `mark-b` leave a text in the request. The texts `refuse` and `panic` can't be built, nor what begins with `refuse `, which the error
/// quotes.
struct Mark<const NAME: char>(String);

#[derive(Deserialize, JsonSchema)]
struct MarkConfig {
    text: String,
}

impl<const NAME: char> Plugin for Mark<NAME> {
    const NAME: &'static str = if NAME == 'a' { "mark-a" } else { "mark-b" };
    const PRIORITY: i32 = if NAME == 'a' { 20 } else { 10 };
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Now(Self::mark)), ..Phases::NONE };
    type Config = MarkConfig;

    fn build(config: MarkConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        assert!(config.text != "panic", "asked to");
        if config.text == "refuse" {
            return Err(BuildError::new("this text is refused"));
        }
        if config.text.starts_with("refuse ") {
            return Err(BuildError::new(format!("the text \"{}\" is refused", config.text)));
        }
        Ok(Self(format!("{NAME}={}", config.text)))
    }
}

impl<const NAME: char> Mark<NAME> {
    fn mark(&self, exchange: &mut Exchange) -> Flow {
        exchange.request.head.append("x-mark", &self.0).unwrap();
        Flow::Continue
    }
}

/// `told` leaves the text of its metadata in the request.
struct Told(String);

impl Plugin for Told {
    const NAME: &'static str = "told";
    const PRIORITY: i32 = 5;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Now(Self::mark)), ..Phases::NONE };
    type Config = GateConfig;

    fn build(_: GateConfig, env: &Env<'_>) -> Result<Self, BuildError> {
        let metadata: Option<MarkConfig> = env.metadata()?;
        Ok(Self(metadata.map_or_else(|| "nothing".to_owned(), |metadata| metadata.text)))
    }
}

impl Told {
    fn mark(&self, exchange: &mut Exchange) -> Flow {
        exchange.request.head.append("x-mark", format!("told={}", self.0)).unwrap();
        Flow::Continue
    }
}

/// `gate` has credentials, and does nothing else.
struct Gate;

#[derive(Deserialize, JsonSchema)]
struct GateConfig {}

#[derive(Deserialize, JsonSchema)]
struct GateKey {
    key: Secret<String>,
}

impl Credential for GateKey {
    const UNIQUE: &'static str = "key";

    fn unique(&self) -> &str {
        self.key.expose()
    }
}

impl Plugin for Gate {
    const NAME: &'static str = "gate";
    const PRIORITY: i32 = 2500;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(|_, _| Flow::Continue)), ..Phases::NONE };
    type Config = GateConfig;

    fn build(_: GateConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}
