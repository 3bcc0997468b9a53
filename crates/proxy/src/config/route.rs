//! A route, merged with its service and plugin config and ready to serve.

use std::sync::Arc;

use usher_model::resource::Timeouts;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::consumer::Consumer;
use usher_pipeline::exchange::RouteFacts;

use super::router::Rule;
use super::{Shared, Traffic, Upstream};

/// A route as requests use it.
pub(crate) struct Route {
    /// What is said of it.
    pub(crate) facts: Arc<RouteFacts>,
    /// Its plugins, its plugin config's and its service's in one.
    pub(crate) pipeline: Arc<Pipeline>,
    /// Where its requests go, unless a plugin chooses.
    pub(crate) upstream: Origin,
    /// Timeouts that win over the upstream's.
    pub(crate) timeouts: Option<Timeouts>,
    /// Whether WebSocket upgrades pass.
    pub(crate) websocket: bool,
    /// Why it can't be served, for a route that only keeps its place: its pipeline answers every request, so that none falls to a wider route.
    pub(crate) refused: Option<Refused>,
    /// What it has served.
    pub(crate) traffic: Arc<Traffic>,
    /// What it asks of requests.
    pub(super) rule: Rule,
    /// Which build this is: no two routes have the same one, nor the same route before and after an edit.
    pub(super) build: u64,
}

/// Where a route's requests go.
#[derive(Clone)]
pub(crate) enum Origin {
    /// Nowhere: a plugin answers or chooses, or the answer is 503.
    None,
    /// To the upstream written in the route or its service.
    Own(Arc<Upstream>),
    /// To the upstream of this id, looked up at each request: its edit touches no route.
    Id(Arc<str>),
}

/// How a route that can't be served answers.
pub(crate) struct Refused {
    /// The status of its answers: 404 where its service is not there, 503 otherwise.
    pub(crate) status: u16,
    /// Why it can't be served.
    pub(crate) reason: String,
}

impl Route {
    /// The route's plugins with the consumer's laid over them; made at the first use and kept in a bounded cache. Nothing is built: the plugins
    /// are the route's and the consumer's own, and so is their state.
    pub(crate) fn with_consumer(&self, consumer: &Arc<Consumer>, shared: &Shared) -> Arc<Pipeline> {
        if consumer.pipeline.is_neutral() {
            return Arc::clone(&self.pipeline);
        }
        shared.overlay(self.build, consumer, || self.pipeline.under(&consumer.pipeline))
    }
}
