//! What admin and chat may ask of the running proxy: what is in force, what couldn't be, which route a request takes, what was served.

mod explain;
mod sketch;

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use usher_model::live::{Explanation, Live, NotInForce, Problem, RouteTraffic, Sketch};

use crate::config::Shared;
use crate::engine::Serving;
#[cfg(test)]
pub(crate) use sketch::exchange;

/// The running proxy as others see it.
pub(crate) struct LiveProxy {
    shared: Arc<Shared>,
    listeners: Vec<SocketAddr>,
    serving: Serving,
}

impl LiveProxy {
    /// `listeners` are where the engine listens, `serving` which of its workers do.
    pub(crate) const fn new(shared: Arc<Shared>, listeners: Vec<SocketAddr>, serving: Serving) -> Self {
        Self { shared, listeners, serving }
    }
}

impl Live for LiveProxy {
    fn revision(&self) -> u64 {
        self.shared.current().revision()
    }

    fn wait_in_force(&self, wanted: u64, within: Duration) -> BoxFuture<'_, Result<(), NotInForce>> {
        let mut seen = self.shared.in_force();
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
        self.shared.current().problems()
    }

    fn explain(&self, request: &Sketch) -> Explanation {
        explain::explain(&self.shared.current(), request)
    }

    fn traffic(&self, limit: usize) -> Vec<RouteTraffic> {
        let row = |(route, by_class): (String, [u64; 5])| RouteTraffic {
            route,
            requests: by_class.iter().sum(),
            by_class,
        };
        let routes = self.shared.traffic().served().into_iter().map(|(id, served)| (id.to_string(), served));
        let not_found = (String::new(), self.shared.not_found().by_class());
        let mut rows: Vec<_> =
            routes.chain([not_found]).map(row).filter(|row: &RouteTraffic| row.requests > 0).collect();
        rows.sort_by(|a, b| (Reverse(a.requests), &a.route).cmp(&(Reverse(b.requests), &b.route)));
        rows.truncate(limit);
        rows
    }

    fn listeners(&self) -> Vec<SocketAddr> {
        self.listeners.clone()
    }

    fn ready(&self) -> Result<(), String> {
        match self.serving.missing() {
            0 => Ok(()),
            missing => Err(format!("{missing} of {} workers don't serve", self.serving.wanted())),
        }
    }
}

#[cfg(test)]
mod tests;
