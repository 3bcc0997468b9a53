//! What outlives every snapshot: the pointer to the one in force, counters, and what was made of routes and consumers together.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use moka::sync::Cache;
use tokio::sync::watch;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::consumer::Consumer;
use usher_pipeline::registry::Registry;

use super::traffic::AllTraffic;
use super::{Snapshot, Traffic};

/// Pairs of route and consumer kept at most; a pair that is not there is laid together anew, which costs microseconds.
const MOST_OVERLAYS: u64 = 8192;

/// Everything that outlives a snapshot.
pub(crate) struct Shared {
    snapshot: Arc<ArcSwap<Snapshot>>,
    in_force: watch::Receiver<u64>,
    traffic: Arc<AllTraffic>,
    not_found: Traffic,
    overlays: Cache<Overlay, Arc<Pipeline>>,
    registry: Arc<Registry>,
    own: Arc<[SocketAddr]>,
}

/// A build of a route, and one of a consumer.
#[derive(PartialEq, Eq, Hash)]
struct Overlay {
    route: u64,
    consumer: u64,
}

/// What a [`Shared`] is made of.
pub(super) struct Parts {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) in_force: watch::Receiver<u64>,
    pub(super) traffic: Arc<AllTraffic>,
    pub(super) workers: usize,
    pub(super) registry: Arc<Registry>,
    pub(super) own: Arc<[SocketAddr]>,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            snapshot: parts.snapshot,
            in_force: parts.in_force,
            traffic: parts.traffic,
            not_found: Traffic::new(parts.workers),
            overlays: Cache::new(MOST_OVERLAYS),
            registry: parts.registry,
            own: parts.own,
        }
    }

    /// The snapshot in force.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The pointer to the snapshot in force, for a worker's own `arc_swap::Cache`.
    pub(crate) fn snapshots(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.snapshot)
    }

    /// The revision in force, to be waited for. Ends when nobody follows the store any more.
    pub(crate) fn in_force(&self) -> watch::Receiver<u64> {
        self.in_force.clone()
    }

    /// What was served to requests that matched no route.
    pub(crate) const fn not_found(&self) -> &Traffic {
        &self.not_found
    }

    /// What all routes have served.
    pub(crate) fn traffic(&self) -> &AllTraffic {
        &self.traffic
    }

    /// All plugins there are.
    pub(crate) const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Usher's own other listeners, for `config::forbidden`.
    pub(crate) fn own_listeners(&self) -> &[SocketAddr] {
        &self.own
    }

    /// What was made of this build of a route and this consumer, or is made now.
    pub(super) fn overlay(
        &self,
        route: u64,
        consumer: &Consumer,
        make: impl FnOnce() -> Pipeline,
    ) -> Arc<Pipeline> {
        let key = Overlay { route, consumer: consumer.build };
        if let Some(found) = self.overlays.get(&key) {
            return found;
        }
        let made = Arc::new(make());
        self.overlays.insert(key, Arc::clone(&made));
        made
    }
}
