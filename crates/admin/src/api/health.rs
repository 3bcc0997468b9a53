//! `health`: the nodes of upstreams as their checks see them, asked of the running proxy.

use schemars::JsonSchema;
use serde::Serialize;
use usher_model::live::UpstreamHealth;

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;

/// Upstreams that are told of at most.
const MOST: usize = 1000;

/// What is known of nodes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Health")]
pub(super) struct Checks {
    /// The upstreams that have health checks and were used, by name; the first thousand. Empty for who has a scope.
    upstreams: Vec<UpstreamShape>,
}

/// An upstream with checks.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CheckedUpstream")]
struct UpstreamShape {
    /// The object it is written in, such as `/apisix/upstreams/1`.
    name: String,
    /// How it is checked: `http`, `https` or `tcp`.
    check: String,
    /// Its nodes.
    nodes: Vec<NodeShape>,
}

/// A node with checks.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CheckedNode")]
struct NodeShape {
    /// `address:port`.
    address: String,
    /// The name that probes go by.
    host: String,
    /// `healthy`, `mostly_healthy`, `mostly_unhealthy` or `unhealthy`.
    status: String,
    /// Whether it gets requests.
    up: bool,
}

/// `GET /health`.
pub(super) async fn read(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Checks>, Refusal> {
    let all = if call.who.scope.is_all() { call.service.live().health() } else { Vec::new() };
    Ok(Answer::ok(Checks { upstreams: all.into_iter().take(MOST).map(UpstreamShape::of).collect() }))
}

impl UpstreamShape {
    fn of(health: UpstreamHealth) -> Self {
        let nodes = health.nodes.into_iter().map(|node| NodeShape {
            address: if node.ip.contains(':') {
                format!("[{}]:{}", node.ip, node.port)
            } else {
                format!("{}:{}", node.ip, node.port)
            },
            up: node.is_up(),
            host: node.hostname,
            status: node.status,
        });
        Self { nodes: nodes.collect(), name: health.name, check: health.kind }
    }
}
