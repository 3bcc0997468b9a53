//! An upstream: nodes and how they are reached.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::checks::{Checks, checks};
use super::node::{Node, nodes};
use super::{BadResource, whole};
use crate::secret::Secret;

/// A set of nodes, how one is chosen and how it is spoken to.
#[derive(Clone, Debug, Deserialize)]
pub struct Upstream {
    /// Its name.
    pub name: Option<String>,
    /// The nodes, in the order written; none where they are discovered.
    #[serde(default, deserialize_with = "nodes")]
    pub nodes: Vec<Node>,
    /// How a node is chosen; round robin unless set.
    #[serde(default, rename = "type")]
    pub balancer: Balancer,
    /// What [`Balancer::Chash`] goes by.
    #[serde(default)]
    pub hash_on: HashOn,
    /// The variable, header, cookie or template of [`Upstream::hash_on`].
    pub key: Option<String>,
    /// Health checks; none when absent.
    #[serde(default, deserialize_with = "checks")]
    pub checks: Option<Checks>,
    /// Where nodes are looked up: `dns`, `consul` and the like.
    pub discovery_type: Option<String>,
    /// What is looked up there.
    pub service_name: Option<String>,
    /// Where in it.
    #[serde(default)]
    pub discovery_args: DiscoveryArgs,
    /// Further tries after a failed one; nodes - 1 when absent.
    #[serde(default, deserialize_with = "whole::retries")]
    pub retries: Option<u32>,
    /// Seconds after which no further try is made; 0 sets no bound.
    #[serde(default)]
    pub retry_timeout: f64,
    /// Timeouts; 60 s each when absent.
    pub timeout: Option<Timeouts>,
    /// The protocol; http unless set.
    #[serde(default)]
    pub scheme: Scheme,
    /// Which `Host` the nodes see; the client's unless set.
    #[serde(default)]
    pub pass_host: PassHost,
    /// The `Host` for [`PassHost::Rewrite`].
    pub upstream_host: Option<String>,
    /// How connections are kept.
    #[serde(default)]
    pub keepalive_pool: KeepalivePool,
    /// TLS towards the nodes.
    #[serde(default)]
    pub tls: UpstreamTls,
}

impl Upstream {
    /// An upstream from its value.
    ///
    /// # Errors
    /// The member that has a wrong shape.
    pub fn from_value(value: &Value) -> Result<Self, BadResource> {
        let upstream = Self::deserialize(value).map_err(|error| BadResource::new(&error))?;
        let is_complete = value.get("nodes").is_some()
            || (upstream.discovery_type.is_some() && upstream.service_name.is_some());
        if is_complete { Ok(upstream) } else { Err(BadResource("missing field `nodes`".to_owned())) }
    }
}

/// How a node is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balancer {
    /// In turn, by weight.
    #[default]
    Roundrobin,
    /// By a key, so that equal keys meet the same node.
    Chash,
    /// The one with the fewest requests under way for its weight.
    LeastConn,
    /// The one that answers sooner of two taken at random.
    Ewma,
}

/// What consistent hashing goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashOn {
    /// A variable.
    #[default]
    Vars,
    /// A header of the request.
    Header,
    /// A cookie.
    Cookie,
    /// The consumer's name.
    Consumer,
    /// A text with variables in it.
    VarsCombinations,
}

/// Where in a registry a service is looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct DiscoveryArgs {
    /// Nacos' namespace.
    pub namespace_id: Option<String>,
    /// Nacos' group.
    pub group_name: Option<String>,
}

/// How long each step towards a node may take.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Timeouts {
    /// For the connection, TLS included.
    #[serde(deserialize_with = "seconds")]
    pub connect: Duration,
    /// Between two writes.
    #[serde(deserialize_with = "seconds")]
    pub send: Duration,
    /// Between two reads.
    #[serde(deserialize_with = "seconds")]
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { connect: minute, send: minute, read: minute }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    // More than a year is as good as none, and keeps sums within range.
    Duration::try_from_secs_f64(seconds.min(31_536_000.0)).map_err(serde::de::Error::custom)
}

/// The protocol towards the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// Bytes of stream routes.
    Tcp,
    /// The same inside of TLS.
    Tls,
    /// Datagrams of stream routes.
    Udp,
    /// gRPC: HTTP/2 by prior knowledge.
    Grpc,
    /// gRPC over TLS.
    Grpcs,
}

impl Scheme {
    /// The port of a node that names none; 0 where a node has to name one.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http | Self::Grpc => 80,
            Self::Https | Self::Grpcs => 443,
            Self::Tcp | Self::Tls | Self::Udp => 0,
        }
    }

    /// Whether nodes are spoken to over TLS.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs | Self::Tls)
    }

    /// Whether it is for stream routes alone.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::Udp)
    }

    /// As upstreams write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
        }
    }

    /// Whether nodes are spoken to by HTTP/2.
    #[must_use]
    pub const fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs)
    }
}

/// Which `Host` the nodes see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassHost {
    /// The client's.
    #[default]
    Pass,
    /// The node's own name.
    Node,
    /// `upstream_host`.
    Rewrite,
}

/// How connections to a node are kept for later requests; per worker.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct KeepalivePool {
    /// Idle connections at most.
    #[serde(deserialize_with = "whole::pool_size")]
    pub size: usize,
    /// Seconds an idle connection is kept; 0 keeps it.
    pub idle_timeout: f64,
    /// Requests that one connection serves at most.
    #[serde(deserialize_with = "whole::pool_requests")]
    pub requests: u64,
}

impl Default for KeepalivePool {
    fn default() -> Self {
        Self { size: 320, idle_timeout: 60.0, requests: 1000 }
    }
}

/// TLS towards the nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UpstreamTls {
    /// The `ssl` object of type `client` that holds the certificate shown to nodes, and its key.
    #[serde(deserialize_with = "super::id")]
    pub client_cert_id: Option<String>,
    /// The certificate shown to nodes, PEM.
    pub client_cert: Option<String>,
    /// Its key, PEM.
    pub client_key: Option<Secret<String>>,
    /// Whether a node's certificate is verified; it is, unless this says `false`.
    pub verify: Option<bool>,
}
