//! What outlives every snapshot: the pointer to the one in force, counters, and what was made of routes and consumers together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use moka::sync::Cache;
use tokio::sync::watch;
use usher_pipeline::cause::Causes;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::consumer::Consumer;
use usher_pipeline::front::Front;
use usher_pipeline::registry::Registry;

use super::traffic::AllTraffic;
use super::{Snapshot, Traffic};
use crate::engine::{Ring, Watches};

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
    front: Arc<Front>,
    rings: Box<[Arc<Ring>]>,
    since: SystemTime,
    causes: Arc<Causes>,
    watches: Arc<Watches>,
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
    pub(super) front: Arc<Front>,
    pub(super) causes: Arc<Causes>,
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
            front: parts.front,
            rings: (0..parts.workers.max(1)).map(|_| Arc::default()).collect(),
            since: SystemTime::now(),
            causes: parts.causes,
            watches: Arc::default(),
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

    /// The last requests of this worker.
    pub(crate) fn ring(&self, worker: usize) -> Arc<Ring> {
        self.rings.get(worker).map(Arc::clone).unwrap_or_default()
    }

    /// The last requests of each worker.
    pub(crate) fn rings(&self) -> &[Arc<Ring>] {
        &self.rings
    }

    /// Since when they are kept.
    pub(crate) const fn since(&self) -> SystemTime {
        self.since
    }

    /// How often the gateway had to answer by itself, by cause.
    pub(crate) fn causes(&self) -> &Causes {
        &self.causes
    }

    /// The requests that somebody watches.
    pub(crate) const fn watches(&self) -> &Arc<Watches> {
        &self.watches
    }

    /// All plugins there are.
    pub(crate) const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What is counted in front of every request.
    pub(crate) fn front(&self) -> &Front {
        &self.front
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
