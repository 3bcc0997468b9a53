//! Whether upstream nodes that are new in a plan answer at all: a typing error in an address is best found before it is applied.
//!
//! A few nodes are tried at once and for a moment only, and nothing is ever refused for what is found.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::net::TcpStream;
use usher_model::kind::Kind;
use usher_model::resource::Upstream;

use super::Service;
use super::check::refused_node;
use super::escape::plain;
use super::world::World;

/// Nodes that are tried at most.
const MOST: usize = 10;

/// How long all of it may take.
const WITHIN: Duration = Duration::from_millis(300);

/// Edits that are looked through at most: in a large set nobody misses a single address.
const LOOKED_AT: usize = 100;

type Node = (String, u16);

impl Service {
    /// A warning for each new node that doesn't answer.
    pub(super) async fn unreachable(&self, world: &World<'_>) -> Vec<String> {
        if !self.parts.rules.probe_nodes {
            return Vec::new();
        }
        let mut nodes = BTreeSet::new();
        for draft in world.drafts.iter().take(LOOKED_AT) {
            let Some(after) = &draft.after else { continue };
            let before =
                draft.before.as_ref().map(|held| nodes_of(draft.key.kind, &held.value)).unwrap_or_default();
            nodes.extend(nodes_of(draft.key.kind, after).difference(&before).cloned());
        }
        let tried = nodes.into_iter().take(MOST).map(|node| self.trial(node));
        join_all(tried).await.into_iter().flatten().collect()
    }

    async fn trial(&self, (host, port): Node) -> Option<String> {
        let outcome = tokio::time::timeout(WITHIN, self.connect(&host, port)).await;
        let why = match outcome {
            Ok(Ok(())) => return None,
            Ok(Err(why)) => why,
            Err(_) => format!("it doesn't answer within {} ms", WITHIN.as_millis()),
        };
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Some(format!("the node {} can't be reached from here: {why}", plain(&address)))
    }

    async fn connect(&self, host: &str, port: u16) -> Result<(), String> {
        let found = tokio::net::lookup_host((host, port)).await;
        let found: Vec<SocketAddr> = found.map_err(|_| "its name is not known".to_owned())?.collect();
        // What a name leads to is judged as if it stood there: nothing is tried that no gateway may call.
        let own = &self.parts.rules.forbidden_nodes;
        let allowed =
            found.into_iter().find(|found| refused_node(own, &found.ip().to_string(), port).is_none());
        let address =
            allowed.ok_or_else(|| "its name leads to an address that no gateway may call".to_owned())?;
        TcpStream::connect(address).await.map(drop).map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "it refuses the connection".to_owned(),
            _ => "no connection can be made".to_owned(),
        })
    }
}

/// The nodes of an upstream, wherever a resource has one of its own. Those of weight 0 are switched off.
fn nodes_of(kind: Kind, value: &Value) -> BTreeSet<Node> {
    let upstream = match kind {
        Kind::Upstream => Some(value),
        Kind::Route | Kind::Service => value.get("upstream"),
        _ => None,
    };
    let Some(upstream) = upstream.and_then(|value| Upstream::from_value(value).ok()) else {
        return BTreeSet::new();
    };
    let usual = upstream.scheme.port();
    let nodes = upstream.nodes.iter().filter(|node| node.weight > 0);
    nodes.map(|node| (node.host.trim_matches(['[', ']']).to_owned(), node.port.unwrap_or(usual))).collect()
}
