//! Where the nodes of an upstream come from: they are written down, or a registry tells them and they may be others by the next request.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use usher_model::resource::{Balancer, Node};

use super::balance::{Fleet, Made};
use super::kept::Kept;
use crate::discover::Service;

/// The nodes of one upstream.
pub(super) struct Members {
    kept: Arc<Kept>,
    balancer: Balancer,
    port: u16,
    checked: bool,
    kind: Kind,
}

enum Kind {
    Written(Arc<Fleet>),
    /// Made anew when the registry tells of others.
    Found {
        service: Arc<Service>,
        fleet: ArcSwap<Fleet>,
    },
}

/// How a fleet is made of nodes.
pub(super) struct Plan {
    pub(super) kept: Arc<Kept>,
    pub(super) balancer: Balancer,
    /// The port of nodes that name none.
    pub(super) port: u16,
    pub(super) checked: bool,
}

impl Members {
    pub(super) fn written(nodes: Vec<Node>, plan: Plan) -> Self {
        let fleet = Arc::new(make(&plan, nodes, 0));
        Self::of(plan, Kind::Written(fleet))
    }

    pub(super) fn found(service: Arc<Service>, plan: Plan) -> Self {
        let (version, nodes) = service.nodes();
        let fleet = ArcSwap::from_pointee(make(&plan, nodes, version));
        Self::of(plan, Kind::Found { service, fleet })
    }

    fn of(plan: Plan, kind: Kind) -> Self {
        let Plan { kept, balancer, port, checked } = plan;
        Self { kept, balancer, port, checked, kind }
    }

    /// The nodes as they are now.
    pub(super) fn fleet(&self) -> Arc<Fleet> {
        match &self.kind {
            Kind::Written(fleet) => Arc::clone(fleet),
            Kind::Found { service, fleet } => {
                let known = fleet.load_full();
                if known.version == service.version() {
                    return known;
                }
                let plan = Plan {
                    kept: Arc::clone(&self.kept),
                    balancer: self.balancer,
                    port: self.port,
                    checked: self.checked,
                };
                let (version, nodes) = service.nodes();
                let made = Arc::new(make(&plan, nodes, version));
                fleet.store(Arc::clone(&made));
                made
            }
        }
    }

    /// Whether this still is the list of nodes.
    pub(super) fn is_current(&self, fleet: &Fleet) -> bool {
        match &self.kind {
            Kind::Written(_) => true,
            Kind::Found { service, .. } => fleet.version == service.version(),
        }
    }

    /// Waits for the first word of the registry, where there was none yet.
    pub(super) async fn wait(&self, within: Duration) {
        if let Kind::Found { service, .. } = &self.kind {
            service.wait(within).await;
        }
    }

    /// Whether the registry has said anything.
    pub(super) fn is_known(&self) -> bool {
        match &self.kind {
            Kind::Written(_) => true,
            Kind::Found { service, .. } => service.version() > 0,
        }
    }
}

fn make(plan: &Plan, nodes: Vec<Node>, version: u64) -> Fleet {
    let kept = &plan.kept;
    Fleet::of(Made {
        version,
        nodes,
        port: plan.port,
        balancer: plan.balancer,
        checked: plan.checked,
        state: &mut |node| {
            let state = kept.node(node, node.port.unwrap_or(plan.port));
            if !plan.checked {
                // What was found by checks that are gone says nothing any more.
                state.health.reset();
            }
            state
        },
        taken: &mut |priority| kept.taken(priority),
    })
}
