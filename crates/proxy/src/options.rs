//! What the proxy is started with. Every default stands here, once.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use usher_http1::limits::Limits;
use usher_model::compat::Compat;

/// Everything the proxy is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes a free one. Default `0.0.0.0:9080`.
    pub listen: Vec<SocketAddr>,
    /// Worker threads, at least one. Default: the number of cores.
    pub workers: usize,
    /// The `Server` of every answer, also the name on error pages. Default `Usher/<version>`.
    pub server: String,
    /// Which of APISIX's unsafe or cosmetic behaviours are on. Default none.
    pub compat: Compat,
    /// Usher's own other listeners, which no upstream node may be. Default none.
    pub forbidden: Vec<SocketAddr>,
    /// One line a request. Default off.
    pub access_log: Option<AccessLog>,
    /// How routes are found. Default [`RouterMode::HostUri`].
    pub router: RouterMode,
    /// Peers whose `X-Forwarded-*` are believed. Default none.
    pub trusted_addresses: Vec<IpNet>,
    /// Bounds of one HTTP/1 head.
    pub head: Limits,
    /// How long a client may take.
    pub patience: Patience,
    /// How much of anything there may be.
    pub bounds: Bounds,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 9080))],
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            server: concat!("Usher/", env!("CARGO_PKG_VERSION")).to_owned(),
            compat: Compat::NONE,
            forbidden: Vec::new(),
            access_log: None,
            router: RouterMode::HostUri,
            trusted_addresses: Vec::new(),
            head: Limits::default(),
            patience: Patience::default(),
            bounds: Bounds::default(),
        }
    }
}

/// Where the access log goes and how its lines look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLog {
    /// The file, appended to; stdout when absent.
    pub path: Option<PathBuf>,
    /// A line with `$variables`, as APISIX's `access_log_format`; APISIX's default format when absent.
    pub format: Option<String>,
}

/// How routes are found (APISIX's `apisix.router.http`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouterMode {
    /// `radixtree_host_uri`: the most specific host first, the path within it.
    #[default]
    HostUri,
    /// `radixtree_uri`: the most specific path first; the host is only a condition.
    Uri,
}

/// How long a client may take for each step (reliability rule D2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From a request's first byte to its complete head. Default 10 s.
    pub head: Duration,
    /// Between two reads of a request's body. Default 30 s.
    pub body: Duration,
    /// Between two requests of one connection. Default 60 s.
    pub idle: Duration,
    /// Between two writes of an answer. Default 30 s.
    pub write: Duration,
    /// The age after which a connection is closed behind its next answer. Default 1 h.
    pub age: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(30),
            age: Duration::from_secs(3600),
        }
    }
}

/// How much of anything there may be (reliability rule D2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections of clients, over all workers. Default 20,000.
    pub connections: usize,
    /// Requests that one connection serves. Default 10,000.
    pub requests_per_connection: u64,
    /// Bytes of a request's body that streams through; `None` sets no bound, as in APISIX. Default `None`.
    pub body_bytes: Option<u64>,
    /// Bytes of a body that is held as a whole for a plugin. Default 1 MiB.
    pub buffered_body_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 20_000,
            requests_per_connection: 10_000,
            body_bytes: None,
            buffered_body_bytes: 1 << 20,
        }
    }
}

/// A text that is no address and no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct BadNetwork(String);

/// An address, or a network such as `10.0.0.0/8`.
///
/// # Errors
/// The text is neither.
pub fn network(text: &str) -> Result<IpNet, BadNetwork> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| BadNetwork(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn an_address_is_a_network_of_one() {
        assert_eq!(network("10.0.0.0/8").unwrap().prefix_len(), 8);
        assert_eq!(network("10.1.2.3").unwrap().prefix_len(), 32);
        assert_eq!(network("::1").unwrap().prefix_len(), 128);
        assert!(network("10.0.0").unwrap_err().to_string().contains("\"10.0.0\""));
    }
}
