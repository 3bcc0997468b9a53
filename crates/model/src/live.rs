//! What admin and chat may ask of the running proxy, without knowing it.
//!
//! `proxy` implements the trait and `gateway` hands it in, so that the rooms that change the configuration never import the one that uses it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use serde::Serialize;
use serde_json::Value;

use crate::traffic::{Ask, Portion, Traffic};

/// The running proxy as others see it.
pub trait Live: Send + Sync + 'static {
    /// The newest store revision that requests are served by.
    fn revision(&self) -> u64;

    /// Waits until `revision` or a later one is in force on every worker.
    ///
    /// # Errors
    /// [`NotInForce`] when `within` passes first, or when the proxy has stopped.
    fn wait_in_force(&self, revision: u64, within: Duration) -> BoxFuture<'_, Result<(), NotInForce>>;

    /// The objects that couldn't be built from the store; their last good version serves.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// Which route a request would take and why, without sending anything.
    fn explain(&self, _request: &Sketch) -> Explanation {
        Explanation::default()
    }

    /// What has been served per route since the start, busiest first; at most `limit` rows.
    fn traffic(&self, _limit: usize) -> Vec<RouteTraffic> {
        Vec::new()
    }

    /// What is known of the nodes of upstreams that have health checks and were used, by name.
    fn health(&self) -> Vec<UpstreamHealth> {
        Vec::new()
    }

    /// The nodes that refused the gateway's last connection to them, within the last quarter of an hour, checked or not; at most `limit`.
    fn refusing(&self, _limit: usize) -> Vec<RefusingNode> {
        Vec::new()
    }

    /// What a registry of services (`dns`, `consul` and so on) has told, as the Control API shows it; `None` where it isn't set up.
    fn discovered(&self, _kind: &str) -> Option<Value> {
        None
    }

    /// The last requests that were served, as far as they are kept: some hundreds a worker.
    fn recent(&self, _filter: &RecentFilter) -> Recent {
        Recent::default()
    }

    /// Watches the next request that comes over a connection from this address: what became of it, which plugins ran and how long each took. Watched
    /// from the call on, and ready once the request has ended; dropped, it is watched no more. `None`: nobody can watch it.
    fn watch(&self, _client: SocketAddr) -> BoxFuture<'static, Option<Watched>> {
        ready(None).boxed()
    }

    /// What the gateway's own time series say; empty where there are none. May take a tenth of a second.
    fn series(&self, _ask: &Ask) -> Traffic {
        Traffic::default()
    }

    /// The same with what other gateways add to it ([`Live::portion`]).
    fn series_with(&self, ask: &Ask, _others: &[Portion]) -> Traffic {
        self.series(ask)
    }

    /// What this gateway adds to the answer of another one. May take a tenth of a second.
    fn portion(&self, _ask: &Ask) -> Portion {
        Portion::default()
    }

    /// Where the gateway listens; nowhere where nobody says more.
    fn listeners(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    /// Whether every worker serves.
    ///
    /// # Errors
    /// How many don't, as a sentence.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A revision did not come into force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revision {wanted} is stored, but the proxy still serves revision {served}")]
pub struct NotInForce {
    /// The revision that was waited for.
    pub wanted: u64,
    /// The revision that is served.
    pub served: u64,
}

/// An object that the proxy couldn't use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its key, such as `/apisix/routes/1`.
    pub key: String,
    /// The revision that brought it.
    pub revision: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// A request as somebody describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// `GET` and so on.
    pub method: String,
    /// The `Host` header; may be empty.
    pub host: String,
    /// Path and query, such as `/speaker/1?x=y`.
    pub target: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The client's address; loopback when absent.
    pub client: Option<std::net::IpAddr>,
}

/// Why a request takes the route it takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Explanation {
    /// The route taken, if any.
    pub route: Option<RouteName>,
    /// Routes that came near, each with the condition that turned it down; nearest first, at most ten.
    pub passed_over: Vec<PassedOver>,
    /// The plugins that would run, in order, global rules first; each `name (phases)`.
    pub plugins: Vec<String>,
    /// The upstream's name or id, and its nodes as `host:port weight`.
    pub upstream: Option<UpstreamName>,
    /// What the gateway would answer by itself, such as `404 Route Not Found`.
    pub answer: Option<String>,
}

/// A route as a person knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteName {
    /// Its id.
    pub id: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The path pattern that matched.
    pub uri: String,
}

/// A route that was considered and not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// The route.
    pub route: RouteName,
    /// The condition that failed, with what was wanted and what was there.
    pub because: String,
}

/// An upstream as a person knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamName {
    /// Its id; `None` when it is written inside a route or service.
    pub id: Option<String>,
    /// Its nodes, each `host:port` with its weight.
    pub nodes: Vec<(String, u32)>,
    /// The node whose turn it is, `host:port`: it would get the request, if it were sent next. `None` where no node is in use.
    pub next: Option<String>,
}

/// The nodes of an upstream as its health checks see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamHealth {
    /// The key of the object that it is written in, such as `/apisix/upstreams/1`.
    pub name: String,
    /// `http`, `https` or `tcp`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its nodes, in the order written.
    pub nodes: Vec<NodeHealth>,
    /// When nodes became healthy or unhealthy, the newest first; bounded.
    #[serde(skip)]
    pub changes: Vec<HealthChange>,
}

/// A node that refused the gateway's last connection to it, or didn't take it in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusingNode {
    /// The key of the object that its upstream is written in, such as `/apisix/upstreams/1`.
    pub upstream: String,
    /// `host:port`, as it is written.
    pub address: String,
    /// Connections that it refused.
    pub refused: u32,
    /// Of so many, the last ones; at most 32.
    pub of: u32,
    /// When it last did, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// A node as health checks see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeHealth {
    /// Its address: that of the last probe where it is a name.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// The name that probes go by.
    pub hostname: String,
    /// `healthy`, `mostly_healthy`, `mostly_unhealthy` or `unhealthy`.
    pub status: String,
    /// What was counted.
    pub counter: HealthCounters,
}

impl NodeHealth {
    /// Whether it gets requests.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.status.as_str(), "healthy" | "mostly_healthy")
    }
}

/// Signs counted of a node since the last that said the contrary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HealthCounters {
    /// Good ones.
    pub success: u8,
    /// Bad answers.
    pub http_failure: u8,
    /// Broken connections.
    pub tcp_failure: u8,
    /// Timeouts.
    pub timeout_failure: u8,
}

/// A node became healthy or unhealthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthChange {
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The node, `host:port`.
    pub node: String,
    /// What it is since then: `healthy` or `unhealthy`.
    pub status: String,
    /// What showed it.
    pub because: String,
}

/// Which of the last requests are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecentFilter {
    /// Only those behind this place, which is [`Recent::next`] of an earlier look.
    pub after: Option<String>,
    /// At most so many, the newest ones.
    pub limit: usize,
    /// Only those that took the route of this id or name; an empty text means those that took none.
    pub route: Option<String>,
    /// Only those whose answer's status lies between these two, both included.
    pub status: Option<(u16, u16)>,
    /// Only those of this consumer.
    pub consumer: Option<String>,
    /// Only those of this method.
    pub method: Option<String>,
    /// Only those whose path begins so.
    pub path: Option<String>,
    /// Only those that the gateway answered for this cause, such as `connect-timeout`.
    pub cause: Option<String>,
}

/// The last requests, as somebody asked for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Recent {
    /// The requests, oldest first.
    pub requests: Vec<RecentRequest>,
    /// Where to go on from.
    pub next: String,
    /// How many came since `after` and are no longer kept.
    pub missed: u64,
    /// Since when requests are remembered, in milliseconds since 1970: the start of this gateway, because they are kept in memory alone.
    pub since_ms: u64,
}

/// A request that was served. Bodies, header fields and queries are not in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RecentRequest {
    /// When its head was complete, in milliseconds since 1970.
    pub at_ms: u64,
    /// The method.
    pub method: String,
    /// The host that was asked for, without port.
    pub host: String,
    /// The path that was asked for, without query; at most 256 bytes.
    pub path: String,
    /// The answer's status; 499 for a client that left before it had one.
    pub status: u16,
    /// The route's id.
    pub route: Option<String>,
    /// The route's name.
    pub route_name: Option<String>,
    /// The consumer's name.
    pub consumer: Option<String>,
    /// The client's address.
    pub client: String,
    /// The node that was last tried.
    pub node: Option<String>,
    /// The status that the node gave; 502 and 504 stand for connections that failed.
    pub upstream_status: Option<u16>,
    /// The same of all nodes that were tried, in order; the last one is that of `node`.
    pub tries: Vec<u16>,
    /// `upstream` or `gateway`.
    pub answered_by: &'static str,
    /// Why the gateway gave an answer of its own, in one word.
    pub cause: Option<&'static str>,
    /// The plugin that answered, where one did.
    pub plugin: Option<&'static str>,
    /// Who failed then: `client`, `upstream` or `gateway`.
    pub failed_by: Option<&'static str>,
    /// Whether the request may then be sent again, because the upstream has certainly not acted upon it.
    pub retry_safe: Option<bool>,
    /// From the complete head to the last byte of the answer, in milliseconds.
    pub took_ms: f64,
    /// Of that, what the upstream took.
    pub upstream_took_ms: Option<f64>,
    /// Bytes of the request, head and body.
    pub received_bytes: u64,
    /// Bytes of the answer, head and body.
    pub sent_bytes: u64,
}

/// A request that was watched on its way.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Watched {
    /// What became of it.
    pub request: RecentRequest,
    /// The plugins that ran, in order, each once a phase; those of bodies are not among them.
    pub plugins: Vec<PluginRun>,
    /// From the complete head to the first try of a node, in milliseconds.
    pub upstream_began_ms: Option<f64>,
}

/// A plugin that ran in one phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PluginRun {
    /// Its name.
    pub name: &'static str,
    /// The phase.
    pub phase: &'static str,
    /// From the complete head to its beginning, in milliseconds.
    pub began_ms: f64,
    /// How long it took, waiting included; `None` where it was cut short.
    pub took_ms: Option<f64>,
}

/// What one route has served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteTraffic {
    /// The route's id; empty for requests that matched none.
    pub route: String,
    /// Requests answered.
    pub requests: u64,
    /// Answers by class: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub by_class: [u64; 5],
}
