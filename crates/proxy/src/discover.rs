//! Where upstreams find their nodes by the name of a service: one follower for each service that an upstream uses, in whichever registry.
//!
//! A registry answers one question, "what are the nodes now, and when do I ask again"; everything else is here, once for all of them: the last good
//! list stays while the registry is away, questions come slower the longer it is, and nobody is asked for what no upstream uses any more.

mod consul;
mod consul_kv;
mod dns;
mod eureka;
mod kubernetes;
mod nacos;
mod settings;
mod web;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use usher_model::resource::{DiscoveryArgs, Node, Scheme};

use crate::resolve::Resolver;
pub use settings::Registries;

/// How long is waited behind a failure, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Nodes that are taken of one service.
const MOST_NODES: usize = 4_096;
/// Failures that are told of: the first, and then each so-many-th.
const TOLD_EACH: u32 = 30;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    kind: String,
    /// The service, as the registry spells it.
    pub(crate) name: String,
    /// Where in it.
    pub(crate) args: DiscoveryArgs,
    /// Whether its instances' ports for gRPC are meant, where the registry tells them apart.
    pub(crate) by_grpc: bool,
}

/// The nodes of one service, kept up to date as long as anybody holds it.
pub(crate) struct Service {
    asked: Asked,
    known: ArcSwap<Known>,
    version: AtomicU64,
    told: Notify,
    /// Why it isn't known, or may be out of date.
    trouble: Mutex<Option<String>>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Known {
    version: u64,
    nodes: Vec<Node>,
}

/// What one look at a registry came to.
struct Look {
    /// The nodes; `None`: those that were known.
    nodes: Option<Vec<Node>>,
    /// When to look again.
    again: Duration,
}

/// What a registry left behind at its last look at a service, so that the next one goes on there.
#[derive(Default)]
struct Cursor {
    /// Which of several servers is asked.
    server: usize,
    /// The registry's own word for what was seen: an index, a version.
    seen: Option<String>,
}

/// A kind of registry, ready to be asked.
trait Registry: Send + Sync + 'static {
    /// Looks at one service; may wait until something changes there.
    ///
    /// # Errors
    /// Why it could not be looked at.
    fn look<'a>(&'a self, asked: &'a Asked, cursor: &'a mut Cursor) -> BoxFuture<'a, Result<Look, String>>;

    /// How it is set up, without secrets.
    fn shown(&self) -> Value;

    /// What the Control API calls its services.
    fn services_are(&self) -> &'static str {
        "services"
    }
}

/// All registries that are set up.
pub(crate) struct Discovery {
    registries: BTreeMap<&'static str, Arc<dyn Registry>>,
    services: Mutex<HashMap<Asked, Weak<Service>>>,
    runtime: Handle,
}

impl Discovery {
    /// The registries of the settings.
    ///
    /// # Errors
    /// The sentence of what is wrong with them.
    pub(crate) fn new(
        settings: &Registries,
        resolver: &Arc<Resolver>,
        own: &Arc<[SocketAddr]>,
        runtime: Handle,
    ) -> Result<Self, String> {
        let mut registries: BTreeMap<&'static str, Arc<dyn Registry>> = BTreeMap::new();
        if let Some(dns) = &settings.dns {
            registries.insert("dns", Arc::new(dns::Dns::new(dns, resolver, &runtime)?));
        }
        if let Some(consul) = &settings.consul {
            registries.insert("consul", Arc::new(consul::Consul::new(consul, own)?));
        }
        if let Some(consul) = &settings.consul_kv {
            registries.insert("consul_kv", Arc::new(consul_kv::ConsulKv::new(consul, own)?));
        }
        if let Some(eureka) = &settings.eureka {
            registries.insert("eureka", Arc::new(eureka::Eureka::new(eureka, own)?));
        }
        if let Some(nacos) = &settings.nacos {
            registries.insert("nacos", Arc::new(nacos::Nacos::new(nacos, own)?));
        }
        if let Some(kubernetes) = &settings.kubernetes {
            registries.insert("kubernetes", Arc::new(kubernetes::Kubernetes::new(kubernetes, own)?));
        }
        Ok(Self { registries, services: Mutex::default(), runtime })
    }

    /// A service, followed from now on.
    ///
    /// # Errors
    /// There is no such registry.
    pub(crate) fn service(
        &self,
        kind: &str,
        name: &str,
        args: &DiscoveryArgs,
        scheme: Scheme,
    ) -> Result<Arc<Service>, String> {
        let registry = self.registries.get(kind).ok_or_else(|| {
            format!("`discovery_type` \"{kind}\" is not set up; add `discovery.{kind}` to config.yaml")
        })?;
        let by_grpc = kind == "nacos" && matches!(scheme, Scheme::Grpc | Scheme::Grpcs);
        let asked = Asked { kind: kind.to_owned(), name: name.to_owned(), args: args.clone(), by_grpc };
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = services.get(&asked).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let stop = CancellationToken::new();
        let service = Arc::new(Service {
            asked: asked.clone(),
            known: ArcSwap::default(),
            version: AtomicU64::new(0),
            told: Notify::new(),
            trouble: Mutex::default(),
            _stop: stop.clone().drop_guard(),
        });
        if services.len() == services.capacity() {
            services.retain(|_, service| service.strong_count() > 0);
        }
        services.insert(asked.clone(), Arc::downgrade(&service));
        let following = follow(Arc::clone(registry), asked, Arc::downgrade(&service));
        self.runtime.spawn(async move {
            // It ends with the service, which has nobody left who would want to hear of it.
            stop.run_until_cancelled(following).await;
        });
        Ok(service)
    }

    /// What a registry has told, as the Control API shows it; `None` where it isn't set up.
    pub(crate) fn shown(&self, kind: &str) -> Option<Value> {
        let registry = self.registries.get(kind)?;
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let known: BTreeMap<String, Value> = services
            .iter()
            .filter(|(asked, _)| asked.kind == kind)
            .filter_map(|(asked, service)| Some((asked.name.clone(), service.upgrade()?.shown())))
            .collect();
        let mut all = Map::new();
        all.insert("config".to_owned(), registry.shown());
        all.insert(registry.services_are().to_owned(), known.into_iter().collect::<Map<_, _>>().into());
        Some(all.into())
    }
}

impl Service {
    /// Which list of nodes is known; 0: none yet.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The nodes, and which list that is.
    pub(crate) fn nodes(&self) -> (u64, Vec<Node>) {
        let known = self.known.load();
        (known.version, known.nodes.clone())
    }

    /// Waits for the first word, or for the first failure; not for longer than this.
    pub(crate) async fn wait(&self, within: Duration) {
        let heard = async {
            loop {
                // Begun before the look, so that a word in between is not missed.
                let told = self.told.notified();
                if self.version() > 0 || self.trouble().is_some() {
                    return;
                }
                told.await;
            }
        };
        // Too late or not at all: the caller looks for itself.
        let _ = tokio::time::timeout(within, heard).await;
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn settle(&self, mut nodes: Vec<Node>) {
        if nodes.len() > MOST_NODES {
            tracing::warn!(
                service = self.asked.name,
                nodes = nodes.len(),
                taken = MOST_NODES,
                "a service has more nodes than are used"
            );
            nodes.truncate(MOST_NODES);
        }
        // Registries tell the same nodes in any order, and an order that changes would begin the turns anew.
        nodes.sort_by(|a, b| (&a.host, a.port, a.priority).cmp(&(&b.host, b.port, b.priority)));
        nodes.dedup_by(|a, b| (&a.host, a.port) == (&b.host, b.port));
        let known = self.known.load();
        if known.version == 0 || known.nodes != nodes {
            let version = known.version + 1;
            tracing::info!(
                service = self.asked.name,
                kind = self.asked.kind,
                nodes = nodes.len(),
                "discovered nodes"
            );
            self.known.store(Arc::new(Known { version, nodes }));
            self.version.store(version, Ordering::Release);
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.told.notify_waiters();
    }

    fn fail(&self, reason: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        self.told.notify_waiters();
    }

    fn shown(&self) -> Value {
        let known = self.known.load();
        let nodes = known.nodes.iter().map(|node| {
            let mut shown = json!({ "host": node.host, "port": node.port, "weight": node.weight });
            if let (true, Some(shown)) = (node.priority != 0, shown.as_object_mut()) {
                shown.insert("priority".to_owned(), node.priority.into());
            }
            shown
        });
        nodes.collect()
    }
}

async fn follow(registry: Arc<dyn Registry>, asked: Asked, service: Weak<Service>) {
    let mut cursor = Cursor::default();
    let (mut pause, mut failures) = (PAUSES.0, 0_u32);
    loop {
        let looked = registry.look(&asked, &mut cursor).await;
        let Some(service) = service.upgrade() else { return };
        let again = match looked {
            Ok(look) => {
                if failures > 0 {
                    tracing::info!(service = asked.name, kind = asked.kind, "the registry answers again");
                }
                (pause, failures) = (PAUSES.0, 0);
                if let Some(nodes) = look.nodes {
                    service.settle(nodes);
                }
                look.again
            }
            Err(reason) => {
                if failures % TOLD_EACH == 0 {
                    let kept = service.nodes().1.len();
                    tracing::warn!(
                        service = asked.name,
                        kind = asked.kind,
                        reason,
                        kept,
                        "a service could not be looked up; its last nodes stay in use"
                    );
                }
                failures = failures.saturating_add(1);
                service.fail(reason);
                let now = pause.mul_f64(0.5 + fastrand::f64());
                pause = (pause * 2).min(PAUSES.1);
                now
            }
        };
        drop(service);
        tokio::time::sleep(again).await;
    }
}
