//! What admin and chat may ask of the running proxy: what is in force, what couldn't be, which route a request takes, what was served.

mod explain;
mod sketch;

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::{BoxFuture, FutureExt as _};
use serde_json::Value;
use usher_model::live::{
    Explanation, Live, NotInForce, Problem, Recent, RecentFilter, RefusingNode, RouteTraffic, Sketch,
    UpstreamHealth, Watched,
};
use usher_model::traffic::{Ask, Portion, Traffic};

use crate::config::{Keeper, Shared};
use crate::discover::Discovery;
use crate::engine::{Serving, Watches, recent};
use crate::options::PathRules;
use crate::series::Series;
#[cfg(test)]
pub(crate) use sketch::exchange;

/// The running proxy as others see it.
pub(crate) struct LiveProxy {
    parts: Parts,
}

/// Whom it asks.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    /// Where the engine listens.
    pub(crate) listeners: RwLock<Vec<SocketAddr>>,
    /// Which of its workers do.
    pub(crate) serving: Serving,
    /// What is remembered of upstreams.
    pub(crate) keeper: Arc<Keeper>,
    /// How it reads paths.
    pub(crate) paths: PathRules,
    /// Where services are found.
    pub(crate) discovery: Arc<Discovery>,
    /// What is remembered of the traffic.
    pub(crate) series: Arc<Series>,
}

impl LiveProxy {
    pub(crate) const fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// The engine listens elsewhere now.
    pub(crate) fn listens(&self, listeners: Vec<SocketAddr>) {
        *self.parts.listeners.write().unwrap_or_else(PoisonError::into_inner) = listeners;
    }
}

impl Live for LiveProxy {
    fn revision(&self) -> u64 {
        self.parts.shared.current().revision()
    }

    fn wait_in_force(&self, wanted: u64, within: Duration) -> BoxFuture<'_, Result<(), NotInForce>> {
        let mut seen = self.parts.shared.in_force();
        let wait = async move { seen.wait_for(|revision| *revision >= wanted).await.is_ok() };
        async move {
            match tokio::time::timeout(within, wait).await {
                Ok(true) => Ok(()),
                // Too late, or nobody follows the store any more.
                Ok(false) | Err(_) => Err(NotInForce { wanted, served: self.revision() }),
            }
        }
        .boxed()
    }

    fn problems(&self) -> Vec<Problem> {
        self.parts.shared.current().problems()
    }

    fn explain(&self, request: &Sketch) -> Explanation {
        explain::explain(&self.parts.shared.current(), request, self.parts.paths)
    }

    fn traffic(&self, limit: usize) -> Vec<RouteTraffic> {
        let row = |(route, by_class): (String, [u64; 5])| RouteTraffic {
            route,
            requests: by_class.iter().sum(),
            by_class,
        };
        let routes =
            self.parts.shared.traffic().served().into_iter().map(|(id, served)| (id.to_string(), served));
        let not_found = (String::new(), self.parts.shared.not_found().by_class());
        let mut rows: Vec<_> =
            routes.chain([not_found]).map(row).filter(|row: &RouteTraffic| row.requests > 0).collect();
        rows.sort_by(|a, b| (Reverse(a.requests), &a.route).cmp(&(Reverse(b.requests), &b.route)));
        rows.truncate(limit);
        rows
    }

    fn health(&self) -> Vec<UpstreamHealth> {
        self.parts.keeper.health()
    }

    fn refusing(&self, limit: usize) -> Vec<RefusingNode> {
        self.parts.keeper.refusing(limit)
    }

    fn discovered(&self, kind: &str) -> Option<Value> {
        self.parts.discovery.shown(kind)
    }

    fn recent(&self, filter: &RecentFilter) -> Recent {
        let shared = &self.parts.shared;
        let since = shared.since().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Recent { since_ms, ..recent(shared.rings(), filter) }
    }

    fn watch(&self, client: SocketAddr) -> BoxFuture<'static, Option<Watched>> {
        Watches::add(self.parts.shared.watches(), client)
    }

    fn series(&self, ask: &Ask) -> Traffic {
        self.parts.series.answer(ask, &[])
    }

    fn series_with(&self, ask: &Ask, others: &[Portion]) -> Traffic {
        self.parts.series.answer(ask, others)
    }

    fn portion(&self, ask: &Ask) -> Portion {
        self.parts.series.portion(ask)
    }

    fn listeners(&self) -> Vec<SocketAddr> {
        self.parts.listeners.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ready(&self) -> Result<(), String> {
        match self.parts.serving.missing() {
            0 => Ok(()),
            missing => Err(format!("{missing} of {} workers don't serve", self.parts.serving.wanted())),
        }
    }
}

#[cfg(test)]
mod tests;
