//! `health`: the nodes of upstreams as their checks see them, asked of the running proxy.

use schemars::JsonSchema;
use serde::Serialize;
use usher_model::live::{RefusingNode, UpstreamHealth};

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;

/// Upstreams that are told of at most.
const MOST: usize = 1000;

/// Nodes that refuse, told of at most.
const MOST_REFUSING: usize = 100;

/// What is known of nodes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Health")]
pub(super) struct Checks {
    /// The upstreams that have health checks and were used, by name; the first thousand. Empty for who has a scope.
    upstreams: Vec<UpstreamShape>,
    /// The nodes that refused the gateway's last connection to them, or didn't take it in time, within the last quarter of an hour, whether they have
    /// health checks or not; the first hundred. Empty for who has a scope.
    refusing: Vec<RefusingShape>,
}

/// A node that refused the last connection.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RefusingNode")]
struct RefusingShape {
    /// The object that its upstream is written in, such as `/apisix/upstreams/1`.
    upstream: String,
    /// `host:port`, as it is written.
    address: String,
    /// Connections that it refused.
    refused: u32,
    /// Of so many, the last ones; at most 32.
    of: u32,
    /// When it last did, in milliseconds since 1970.
    unix_ms: u64,
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
    if !call.who.scope.is_all() {
        return Ok(Answer::ok(Checks { upstreams: Vec::new(), refusing: Vec::new() }));
    }
    let live = call.service.live();
    Ok(Answer::ok(Checks {
        upstreams: live.health().into_iter().take(MOST).map(UpstreamShape::of).collect(),
        refusing: live.refusing(MOST_REFUSING).into_iter().map(RefusingShape::of).collect(),
    }))
}

impl RefusingShape {
    fn of(node: RefusingNode) -> Self {
        let RefusingNode { upstream, address, refused, of, unix_ms } = node;
        Self { upstream, address, refused, of, unix_ms }
    }
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
