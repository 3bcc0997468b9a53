//! The bench: a service with a handful of plugins, a store, and a proxy that says what a test wants it to say.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use usher_admin::service::{Applied, Approval, Parts, Plan, Rules, Service, ServiceError, Wanted};
use usher_model::change::{Door, Edit, Principal, Role};
use usher_model::compat::Compat;
use usher_model::kind::{Key, Kind};
use usher_model::live::{Live, NotInForce, Problem};
use usher_model::seal::Keyring;
use usher_model::secret::Secret;
use usher_pipeline::env::{Env, Process, Target, Targets};
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::registry::Registry;
use usher_pipeline::spec::{Credential, Spec};
use usher_store::Store;
use usher_store::memory::Memory;

use crate::deciders::{FORWARD_AUTH, IP_RESTRICTION};

/// A limit, with bounds of its own.
struct Limit;

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only checked, never run")]
struct LimitConfig {
    #[schemars(range(min = 1))]
    count: u64,
    time_window: u64,
    key: Option<String>,
    rejected_code: Option<u16>,
}

impl Plugin for Limit {
    const NAME: &'static str = "limit-count";
    const PRIORITY: i32 = 1002;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = LimitConfig;

    fn build(_: LimitConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

/// An auth plugin.
struct KeyAuth;

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only checked, never run")]
struct KeyAuthConfig {
    header: Option<String>,
    anonymous_consumer: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct KeyAuthCredential {
    #[schemars(length(min = 3), regex(pattern = "^[a-z0-9-]+$"))]
    key: Secret<String>,
}

impl Credential for KeyAuthCredential {
    const UNIQUE: &'static str = "key";

    fn unique(&self) -> &str {
        self.key.expose()
    }
}

impl Plugin for KeyAuth {
    const NAME: &'static str = "key-auth";
    const PRIORITY: i32 = 2500;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = KeyAuthConfig;

    fn build(_: KeyAuthConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

/// A plugin with secrets in several shapes.
struct Caller;

#[derive(Deserialize, JsonSchema)]
struct CallerConfig {
    token: Option<Secret<String>>,
    #[serde(default)]
    #[expect(dead_code, reason = "only checked, never run")]
    brokers: Vec<Broker>,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only checked, never run")]
struct Broker {
    host: String,
    password: Secret<String>,
}

impl Plugin for Caller {
    const NAME: &'static str = "caller";
    const PRIORITY: i32 = 10;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = CallerConfig;

    fn build(config: CallerConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        match config.token {
            // An error that repeats what it should not.
            Some(token) if token.expose().contains("refuse") => {
                Err(BuildError::new(format!("the token {} is refused", token.expose())))
            }
            _ => Ok(Self),
        }
    }
}

/// A plugin with upstreams inside.
struct Split;

#[derive(Deserialize, JsonSchema)]
struct SplitConfig {
    #[serde(default)]
    #[expect(dead_code, reason = "only checked, never run")]
    rules: Vec<Value>,
}

impl Plugin for Split {
    const NAME: &'static str = "traffic-split";
    const PRIORITY: i32 = 966;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = SplitConfig;

    fn build(_: SplitConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

static LIMIT: Spec = Spec::of::<Limit>();
static KEY_AUTH: Spec = Spec::of::<KeyAuth>().auth::<KeyAuthCredential>();
static CALLER: Spec = Spec::of::<Caller>();
static SPLIT: Spec = Spec::of::<Split>();

/// Makes every upstream, unless its private key says that it is none.
struct Keyed;

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

/// A proxy that follows at once, unless told otherwise.
#[derive(Default)]
pub(crate) struct Pretended {
    pub(crate) stuck: AtomicBool,
    pub(crate) problems: Mutex<Vec<Problem>>,
}

impl Live for Pretended {
    fn revision(&self) -> u64 {
        0
    }

    fn wait_in_force(&self, wanted: u64, _: Duration) -> BoxFuture<'_, Result<(), NotInForce>> {
        let stuck = self.stuck.load(Ordering::Relaxed);
        ready(if stuck { Err(NotInForce { wanted, served: 0 }) } else { Ok(()) }).boxed()
    }

    fn problems(&self) -> Vec<Problem> {
        self.problems.lock().unwrap().clone()
    }
}

/// A service with everything around it.
pub(crate) struct Bench {
    pub(crate) service: Arc<Service>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) live: Arc<Pretended>,
    pub(crate) keyring: Arc<Keyring>,
}

impl Bench {
    /// On an empty store in memory.
    pub(crate) async fn new() -> Self {
        Self::with(Arc::new(Memory::new()), Rules::default()).await
    }

    pub(crate) async fn with_rules(rules: Rules) -> Self {
        Self::with(Arc::new(Memory::new()), rules).await
    }

    pub(crate) async fn with(store: Arc<dyn Store>, rules: Rules) -> Self {
        let keyring = Arc::new(Keyring::generate().unwrap().0);
        Self::started(store, rules, keyring).await
    }

    pub(crate) async fn started(store: Arc<dyn Store>, rules: Rules, keyring: Arc<Keyring>) -> Self {
        Self::try_started(store, rules, keyring).await.unwrap()
    }

    /// The same, where it may be refused.
    pub(crate) async fn try_started(
        store: Arc<dyn Store>,
        rules: Rules,
        keyring: Arc<Keyring>,
    ) -> Result<Self, ServiceError> {
        let live = Arc::new(Pretended::default());
        let parts = Parts {
            store: Arc::clone(&store),
            live: Arc::clone(&live) as Arc<dyn Live>,
            registry: Arc::new(Registry::new(&[
                &LIMIT,
                &KEY_AUTH,
                &CALLER,
                &SPLIT,
                &FORWARD_AUTH,
                &IP_RESTRICTION,
            ])),
            process: Arc::new(Process::new(Map::new(), Compat::NONE, Box::new(Keyed))),
            keyring: Arc::clone(&keyring),
            rules,
        };
        let service = Arc::new(Service::start(parts).await?);
        Ok(Self { service, store, live, keyring })
    }

    /// A second service on the same store, as after a restart.
    pub(crate) async fn restarted(&self) -> Self {
        Self::started(Arc::clone(&self.store), Rules::default(), Arc::clone(&self.keyring)).await
    }

    /// Writes as the admin.
    pub(crate) async fn put(&self, key: Key, value: Value) -> Result<Applied, ServiceError> {
        self.service.write(&admin(), wanted([put(key, value)])).await
    }

    pub(crate) async fn delete(&self, key: Key) -> Result<Applied, ServiceError> {
        self.service.write(&admin(), wanted([Edit { key, after: None }])).await
    }

    /// Plans as an agent over MCP.
    pub(crate) async fn plan<const N: usize>(&self, edits: [Edit; N]) -> Result<Plan, ServiceError> {
        self.service.plan(&agent(), wanted(edits)).await
    }

    /// Applies with a person's agreement.
    pub(crate) async fn agree(&self, plan: &Plan) -> Result<Applied, ServiceError> {
        self.service.apply(&agent(), &plan.id, Approval::Person("asked in a test".to_owned())).await
    }

    /// The sentence with which a write is refused.
    pub(crate) async fn refusal(&self, key: Key, value: Value) -> String {
        self.put(key, value).await.unwrap_err().to_string()
    }

    /// Every resource's bytes, as the store has them.
    pub(crate) async fn bytes(&self) -> Vec<(String, Vec<u8>)> {
        let listing = self.store.list("/apisix/").await.unwrap();
        listing.entries.into_iter().map(|entry| (entry.key.to_string(), entry.value.to_vec())).collect()
    }

    pub(crate) async fn value(&self, key: Key) -> Value {
        self.service.get(&admin(), &key).await.unwrap().unwrap().value
    }
}

pub(crate) fn admin() -> Principal {
    Principal::new("ops", Role::Admin, Door::AdminApi)
}

pub(crate) fn agent() -> Principal {
    Principal::new("local-plugin", Role::Chat, Door::Mcp)
}

pub(crate) fn plugin() -> Principal {
    Principal::new("local-plugin", Role::Chat, Door::Plugin)
}

pub(crate) fn viewer() -> Principal {
    Principal::new("dashboards", Role::Viewer, Door::AdminApi)
}

pub(crate) fn wanted(edits: impl IntoIterator<Item = Edit>) -> Wanted {
    Wanted { edits: edits.into_iter().collect(), ..Wanted::default() }
}

pub(crate) fn put(key: Key, value: Value) -> Edit {
    Edit { key, after: Some(value) }
}

pub(crate) fn gone(key: Key) -> Edit {
    Edit { key, after: None }
}

pub(crate) fn route(id: &str) -> Key {
    Key::new(Kind::Route, id)
}

pub(crate) fn service(id: &str) -> Key {
    Key::new(Kind::Service, id)
}

pub(crate) fn upstream(id: &str) -> Key {
    Key::new(Kind::Upstream, id)
}

pub(crate) fn consumer(name: &str) -> Key {
    Key::new(Kind::Consumer, name)
}

pub(crate) fn plugin_config(id: &str) -> Key {
    Key::new(Kind::PluginConfig, id)
}

pub(crate) fn global_rule(id: &str) -> Key {
    Key::new(Kind::GlobalRule, id)
}

pub(crate) fn nodes() -> Value {
    json!({ "nodes": { "127.0.0.1:8080": 1 } })
}

/// A traffic-split that names this upstream.
pub(crate) fn split(id: &str) -> Value {
    json!({ "traffic-split": { "rules": [{ "weighted_upstreams": [{ "upstream_id": id, "weight": 1 }] }] } })
}

/// A consumer with this key.
pub(crate) fn jack(name: &str, key: &str) -> Value {
    json!({ "username": name, "plugins": { "key-auth": { "key": key } } })
}
