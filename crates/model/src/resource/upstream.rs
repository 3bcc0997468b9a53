//! An upstream: nodes and how they are reached.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::node::{Node, nodes};
use super::{BadResource, whole};
use crate::secret::Secret;

/// A set of nodes, how one is chosen and how it is spoken to.
#[derive(Clone, Debug, Deserialize)]
pub struct Upstream {
    /// Its name.
    pub name: Option<String>,
    /// The nodes, in the order written.
    #[serde(deserialize_with = "nodes")]
    pub nodes: Vec<Node>,
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
        Self::deserialize(value).map_err(|error| BadResource::new(&error))
    }
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
}

impl Scheme {
    /// The port of a node that names none.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
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
