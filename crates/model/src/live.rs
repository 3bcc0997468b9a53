//! What admin and chat may ask of the running proxy, without knowing it.
//!
//! `proxy` implements the trait and `gateway` hands it in, so that the rooms that change the configuration never import the one that uses it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;

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
    fn problems(&self) -> Vec<Problem>;

    /// Which route a request would take and why, without sending anything.
    fn explain(&self, request: &Sketch) -> Explanation;

    /// What has been served per route since the start, busiest first; at most `limit` rows.
    fn traffic(&self, limit: usize) -> Vec<RouteTraffic>;

    /// Where the gateway listens.
    fn listeners(&self) -> Vec<SocketAddr>;

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
