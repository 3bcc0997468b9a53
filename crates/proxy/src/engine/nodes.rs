//! An upstream's nodes as one worker uses them: addresses parsed, names known, idle connections at hand, nothing made per request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Instant;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use usher_model::resource::{Node, PassHost, Scheme};
use usher_pipeline::env::Target;

use super::http2::Trunk;
use super::pool::Idle;
use crate::config::{Fleet, Links, Upstream};
use crate::resolve::{Name, Resolver};

/// An upstream in whichever way a request came by it.
#[derive(Clone, Copy)]
pub(super) enum Chosen<'a> {
    /// An object of the configuration.
    Configured(&'a Arc<Upstream>),
    /// One that is written inside a plugin.
    Inline(&'a Arc<dyn Target>, &'a Upstream),
}

impl Chosen<'_> {
    pub(super) fn upstream(&self) -> &Upstream {
        match self {
            Self::Configured(upstream) => upstream,
            Self::Inline(_, upstream) => upstream,
        }
    }
}

/// One node, ready to be called.
pub(super) struct Endpoint {
    pub(super) place: Place,
    pub(super) port: u16,
    /// The node's own `Host`: with a port where that isn't the scheme's.
    pub(super) authority: Box<str>,
    pub(super) tls: Option<Tls>,
    pub(super) idle: Rc<Idle>,
    /// The connections of HTTP/2 to it, where it is spoken to by that.
    pub(super) trunk: Option<Rc<Trunk>>,
    /// Where it is noted whether it takes connections, of a node of an upstream.
    pub(super) links: Option<Arc<Links>>,
}

/// Where a node is.
pub(super) enum Place {
    /// At an address.
    Address(IpAddr),
    /// Where its name says.
    Name(Arc<Name>),
}

impl Place {
    /// Whether an idle connection to this address still goes there: a name may have moved.
    pub(super) fn is_at(&self, address: SocketAddr, now: Instant) -> bool {
        match self {
            Self::Address(_) => true,
            Self::Name(name) => name.may_be(address.ip(), now),
        }
    }
}

/// How a node is spoken to over TLS.
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    /// The name that its certificate has to have; `None` where no name can be made of what is written.
    pub(super) name: Option<ServerName<'static>>,
    /// The node is written as an address and passes the client's `Host` on: that is the name then.
    pub(super) follows_host: bool,
}

/// The nodes of all upstreams that a worker has used.
#[derive(Default)]
pub(super) struct Nodes {
    /// By the upstream's place in memory, which is its identity as long as somebody holds it; the weak reference keeps the place taken.
    known: RefCell<HashMap<usize, Known, BuildHasherDefault<Address>>>,
    idle: RefCell<HashMap<Key, Rc<Idle>>>,
    trunks: RefCell<HashMap<Key, Rc<Trunk>>>,
    all_idle: Rc<Cell<usize>>,
}

struct Known {
    alive: Alive,
    nodes: Rc<Members>,
}

/// The nodes of an upstream as they were when they were last looked at.
pub(super) struct Members {
    /// Which of them is next.
    pub(super) fleet: Arc<Fleet>,
    /// In the order of the fleet's nodes.
    pub(super) endpoints: Box<[Endpoint]>,
}

enum Alive {
    Configured(Weak<Upstream>),
    Inline(Weak<dyn Target>),
}

/// Connections are shared between upstreams where this is equal.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    pool: u64,
    host: Box<str>,
    port: u16,
}

impl Nodes {
    /// The nodes of this upstream as they are now.
    pub(super) fn of(&self, chosen: Chosen<'_>, resolver: &Resolver) -> Rc<Members> {
        let upstream = chosen.upstream();
        let place = std::ptr::from_ref(upstream) as usize;
        if let Some(known) = self.known.borrow().get(&place)
            && upstream.is_current(&known.nodes.fleet)
        {
            return Rc::clone(&known.nodes);
        }
        let fleet = upstream.fleet();
        let endpoints = fleet
            .nodes()
            .iter()
            .enumerate()
            .map(|(at, node)| Endpoint {
                links: fleet.links(at),
                ..self.endpoint(upstream, node, fleet.port(node), resolver)
            })
            .collect();
        let nodes = Rc::new(Members { fleet, endpoints });
        let alive = match chosen {
            Chosen::Configured(upstream) => Alive::Configured(Arc::downgrade(upstream)),
            Chosen::Inline(target, _) => Alive::Inline(Arc::downgrade(target)),
        };
        self.known.borrow_mut().insert(place, Known { alive, nodes: Rc::clone(&nodes) });
        nodes
    }

    fn endpoint(&self, upstream: &Upstream, node: &Node, port: u16, resolver: &Resolver) -> Endpoint {
        let spec = &upstream.spec;
        let address = node.host.parse::<IpAddr>().ok();
        let tls = upstream.tls.as_ref().map(|config| {
            let written = match (&spec.upstream_host, spec.pass_host) {
                (Some(host), PassHost::Rewrite) => super::ingress::split_host(host).0,
                _ => &node.host,
            };
            Tls {
                connector: TlsConnector::from(Arc::clone(config)),
                name: ServerName::try_from(written.to_owned()).ok(),
                follows_host: address.is_some() && spec.pass_host == PassHost::Pass,
            }
        });
        Endpoint {
            place: address.map_or_else(|| Place::Name(resolver.name(&node.host)), Place::Address),
            port,
            authority: authority(&node.host, port, spec.scheme).into(),
            tls,
            idle: self.idle(upstream.pool, &node.host, port, spec.keepalive_pool),
            trunk: spec
                .scheme
                .is_grpc()
                .then(|| self.trunk(upstream.pool, &node.host, port, spec.keepalive_pool)),
            links: None,
        }
    }

    fn trunk(
        &self,
        pool: u64,
        host: &str,
        port: u16,
        rules: usher_model::resource::KeepalivePool,
    ) -> Rc<Trunk> {
        let key = Key { pool, host: host.into(), port };
        let mut all = self.trunks.borrow_mut();
        let trunk = all.entry(key).or_insert_with(|| Rc::new(Trunk::new(rules)));
        trunk.keep_by(rules);
        Rc::clone(trunk)
    }

    /// The idle connections of one node.
    pub(super) fn idle(
        &self,
        pool: u64,
        host: &str,
        port: u16,
        rules: usher_model::resource::KeepalivePool,
    ) -> Rc<Idle> {
        let key = Key { pool, host: host.into(), port };
        let mut all = self.idle.borrow_mut();
        let idle = all.entry(key).or_insert_with(|| Rc::new(Idle::new(rules, Rc::clone(&self.all_idle))));
        idle.keep_by(rules);
        Rc::clone(idle)
    }

    /// Forgets upstreams that are gone, and closes connections that are old.
    pub(super) fn sweep(&self, now_ms: u64) {
        self.known.borrow_mut().retain(|_, known| match &known.alive {
            Alive::Configured(upstream) => upstream.strong_count() > 0,
            Alive::Inline(target) => target.strong_count() > 0,
        });
        self.idle.borrow_mut().retain(|_, idle| {
            idle.sweep(now_ms);
            Rc::strong_count(idle) > 1 || !idle.is_empty()
        });
        self.trunks.borrow_mut().retain(|_, trunk| {
            trunk.sweep(now_ms);
            Rc::strong_count(trunk) > 1 || !trunk.is_empty()
        });
    }

    /// Closes everything.
    pub(super) fn clear(&self) {
        self.known.borrow_mut().clear();
        self.idle.borrow_mut().clear();
        self.trunks.borrow_mut().clear();
    }
}

/// A node as it stands in `Host`.
pub(super) fn authority(host: &str, port: u16, scheme: Scheme) -> String {
    let bracketed = host.contains(':');
    let host = if bracketed { format!("[{host}]") } else { host.to_owned() };
    if port == scheme.port() { host } else { format!("{host}:{port}") }
}

/// The address itself is a fine hash of an address: only its low bits, which alignment keeps at zero, are mixed away.
#[derive(Default)]
struct Address(u64);

impl Hasher for Address {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte) ^ usize::try_from(self.0).unwrap_or(0));
        }
    }

    fn write_usize(&mut self, value: usize) {
        // Fibonacci hashing (Knuth, volume 3, section 6.4): high bits decide in hashbrown, low bits find the bucket.
        self.0 = (value as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}
