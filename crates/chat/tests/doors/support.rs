//! A chat side on a free port: store in memory, a proxy that is only described, two small plugins.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use usher_admin::http::{Form, admin_paths};
use usher_admin::keys::ephemeral_keyring;
use usher_admin::service::{Parts, Rules, Service, Wanted};
use usher_chat::{ChatParts, Toolset, router};
use usher_model::change::{Door, Edit, Principal, Role};
use usher_model::compat::Compat;
use usher_model::kind::{Key, Kind};
use usher_model::live::{
    Explanation, Live, NotInForce, PassedOver, Problem, Recent, RecentFilter, RecentRequest, RouteName,
    RouteTraffic, Sketch, UpstreamHealth, UpstreamName,
};
use usher_model::secret::Secret;
use usher_model::traffic::{Ask, Traffic};
use usher_pipeline::env::{AnyTarget, Env, Process};
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::registry::Registry;
use usher_pipeline::spec::{Credential, Spec};
use usher_store::Store as _;
use usher_store::memory::Memory;

/// A running chat side; stopped when dropped.
pub(crate) struct Side {
    pub(crate) address: SocketAddr,
    pub(crate) service: Arc<Service>,
    pub(crate) live: Arc<Described>,
    store: Arc<Memory>,
    task: JoinHandle<()>,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Side {
    pub(crate) async fn start() -> Self {
        Self::with(Rules::default()).await
    }

    pub(crate) async fn with(rules: Rules) -> Self {
        Self::made(rules, Registry::new(&[&LIMIT, &KEY]), Vec::new()).await
    }

    /// One with every plugin there is, and with these sets of tools.
    pub(crate) async fn with_toolsets(toolsets: Vec<Toolset>) -> Self {
        Self::made(Rules::default(), Registry::new(usher_plugins::all()), toolsets).await
    }

    async fn made(rules: Rules, registry: Registry, toolsets: Vec<Toolset>) -> Self {
        install_crypto();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let store = Arc::new(Memory::new());
        let live = Arc::new(Described::default());
        let parts = Parts {
            store: store.clone(),
            live: live.clone(),
            registry: Arc::new(registry),
            process: Arc::new(Process::new(Map::new(), Compat::NONE, Box::new(AnyTarget))),
            keyring: Arc::new(ephemeral_keyring().unwrap()),
            rules,
        };
        let service = Arc::new(Service::start(parts).await.unwrap());
        let local = Principal::new("local-plugin", Role::Chat, Door::Plugin);
        let chat = router(ChatParts {
            service: Arc::clone(&service),
            public_url: format!("http://localhost:{}", address.port()),
            admin_paths: admin_paths(Arc::clone(&service), local, Form::default()),
            allowed_hosts: vec![format!("127.0.0.1:{}", address.port())],
            token_required: false,
            verification_tokens: Vec::new(),
            console: axum::Router::new(),
            oauth: None,
            oidc: None,
            limits: usher_chat::Limits::default(),
            toolsets,
        });
        let task = tokio::spawn(async move { axum::serve(listener, chat).await.unwrap() });
        Self { address, service, live, store, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The store's newest revision.
    pub(crate) fn revision(&self) -> u64 {
        self.store.revision()
    }

    /// What is there before a test begins, written by somebody else.
    pub(crate) async fn put(&self, kind: Kind, id: &str, value: Value) {
        self.put_all(vec![Edit { key: Key::new(kind, id), after: Some(value) }]).await;
    }

    /// The same for many at once.
    pub(crate) async fn put_all(&self, edits: Vec<Edit>) {
        let who = Principal::new("setup", Role::Admin, Door::AdminApi);
        self.service.write(&who, Wanted { edits, ..Wanted::default() }).await.unwrap();
    }
}

/// The clients of these tests speak no TLS, but the library wants to know whose it would be.
pub(crate) fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap());
}

/// A proxy that is only described: every revision is in force, and one route takes `/speaker/`.
#[derive(Default)]
pub(crate) struct Described {
    pub(crate) listeners: Mutex<Vec<SocketAddr>>,
    pub(crate) problems: Mutex<Vec<Problem>>,
    pub(crate) health: Mutex<Vec<UpstreamHealth>>,
    pub(crate) recent: Mutex<Vec<RecentRequest>>,
    /// What is told of the traffic, whatever is asked.
    pub(crate) traffic: Mutex<Traffic>,
    pub(crate) asked: Mutex<Vec<Ask>>,
}

impl Live for Described {
    fn revision(&self) -> u64 {
        u64::MAX
    }

    fn wait_in_force(&self, _: u64, _: Duration) -> BoxFuture<'_, Result<(), NotInForce>> {
        async { Ok(()) }.boxed()
    }

    fn problems(&self) -> Vec<Problem> {
        self.problems.lock().unwrap().clone()
    }

    fn explain(&self, request: &Sketch) -> Explanation {
        let route = RouteName {
            id: "speaker".to_owned(),
            name: Some("Speakers\u{202e}".to_owned()),
            uri: "/speaker/*".to_owned(),
        };
        if request.target.starts_with("/speaker/") {
            let upstream = UpstreamName {
                id: Some("conference-api".to_owned()),
                nodes: vec![("127.0.0.1:3000".to_owned(), 1)],
                next: Some("127.0.0.1:3000".to_owned()),
            };
            return Explanation {
                route: Some(route),
                plugins: vec!["test-limit (access)".to_owned()],
                upstream: Some(upstream),
                ..Explanation::default()
            };
        }
        let because = "the path is /Speaker/1, wanted /speaker/*".to_owned();
        Explanation {
            passed_over: vec![PassedOver { route, because }],
            answer: Some("404 Route Not Found".to_owned()),
            ..Explanation::default()
        }
    }

    fn traffic(&self, limit: usize) -> Vec<RouteTraffic> {
        let row = RouteTraffic { route: "speaker".to_owned(), requests: 7, by_class: [0, 5, 0, 2, 0] };
        vec![row].into_iter().take(limit).collect()
    }

    fn health(&self) -> Vec<UpstreamHealth> {
        self.health.lock().unwrap().clone()
    }

    fn recent(&self, filter: &RecentFilter) -> Recent {
        let mut requests = self.recent.lock().unwrap().clone();
        requests.truncate(filter.limit);
        Recent { requests, ..Recent::default() }
    }

    fn series(&self, ask: &Ask) -> Traffic {
        self.asked.lock().unwrap().push(ask.clone());
        Traffic { from: ask.from, to: ask.to, ..self.traffic.lock().unwrap().clone() }
    }

    fn listeners(&self) -> Vec<SocketAddr> {
        self.listeners.lock().unwrap().clone()
    }
}

static LIMIT: Spec = Spec::of::<TestLimit>();
static KEY: Spec = Spec::of::<TestKey>().auth::<TestKeyCredential>();

/// Admits a number of requests. It does nothing here.
#[derive(Deserialize, JsonSchema)]
struct LimitConfig {
    /// How many, at least 1.
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "read by the schema alone")]
    count: u64,
    /// Shown to nobody.
    #[expect(dead_code, reason = "read by the schema alone")]
    token: Option<Secret<String>>,
}

struct TestLimit;

impl Plugin for TestLimit {
    const NAME: &'static str = "test-limit";
    const PRIORITY: i32 = 100;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = LimitConfig;

    fn build(_: LimitConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

/// Lets in who has a key.
#[derive(Deserialize, JsonSchema)]
struct KeyConfig {}

/// A key.
#[derive(Deserialize, JsonSchema)]
struct TestKeyCredential {
    /// The key itself.
    key: Secret<String>,
}

impl Credential for TestKeyCredential {
    const UNIQUE: &'static str = "key";

    fn unique(&self) -> &str {
        self.key.expose()
    }
}

struct TestKey;

impl Plugin for TestKey {
    const NAME: &'static str = "test-key";
    const PRIORITY: i32 = 200;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = KeyConfig;

    fn build(_: KeyConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}
