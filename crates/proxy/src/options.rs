//! What the proxy is started with. Every default stands here, once.

mod tls;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use usher_http1::limits::Limits;
use usher_model::compat::Compat;

pub use crate::discover::Registries;
use crate::handed::Inherited;
use crate::proofs::Proofs;
pub(crate) use tls::cipher_name;
pub use tls::{Cipher, Tls, TlsVersions};

/// Everything the proxy is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes a free one. Default `0.0.0.0:9080`.
    pub listen: Vec<SocketAddr>,
    /// Listening sockets of an earlier process, which are gone on with instead of new ones. Default none.
    pub inherited: Arc<Inherited>,
    /// Whether no connection is taken before [`crate::Proxy::open`]. Default no.
    pub waits: bool,
    /// TLS towards clients.
    pub tls: Tls,
    /// Proofs for certificate authorities, which are answered before any route. Default none.
    pub proofs: Arc<Proofs>,
    /// Where connections begin with the PROXY protocol of a load balancer; its word on where the client is is believed there, and only there.
    pub behind_balancer: BehindBalancer,
    /// Where stream routes are served.
    pub streams: Streams,
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
    /// One line a connection of stream routes. Default off.
    pub stream_access_log: Option<AccessLog>,
    /// The file that what is remembered of the traffic outlives a restart in. Default none: it doesn't.
    pub series: Option<PathBuf>,
    /// How names of upstream nodes are looked up.
    pub dns: Dns,
    /// Whether upstreams' health checks are on (`apisix.disable_upstream_healthcheck`). Default on.
    pub health_checks: bool,
    /// The registries of services that upstreams may name. Default none.
    pub discovery: Registries,
    /// How routes are found. Default [`RouterMode::HostUri`].
    pub router: RouterMode,
    /// How paths are read before routes look at them. Default: as they are.
    pub paths: PathRules,
    /// Whether every answer says the upstream's status in `X-APISIX-Upstream-Status`, and not only those of 500 and above. Default no.
    pub show_upstream_status: bool,
    /// Whether every answer says in `Apisix-Plugins` which plugins ran in which phase. Default no.
    pub debug: bool,
    /// Peers whose `X-Forwarded-*` are believed. Default none.
    pub trusted_addresses: Vec<IpNet>,
    /// Whether clients may speak HTTP/2: on a plain port those that begin with its preface. Default yes.
    pub http2: bool,
    /// Bounds of one head.
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
            inherited: Arc::default(),
            waits: false,
            tls: Tls::default(),
            proofs: Arc::default(),
            behind_balancer: BehindBalancer::default(),
            streams: Streams::default(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            server: concat!("Usher/", env!("CARGO_PKG_VERSION")).to_owned(),
            compat: Compat::NONE,
            forbidden: Vec::new(),
            access_log: None,
            stream_access_log: None,
            series: None,
            dns: Dns::default(),
            health_checks: true,
            discovery: Registries::default(),
            router: RouterMode::HostUri,
            paths: PathRules::default(),
            show_upstream_status: false,
            debug: false,
            trusted_addresses: Vec::new(),
            http2: true,
            head: Limits::default(),
            patience: Patience::default(),
            bounds: Bounds::default(),
        }
    }
}

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Name servers (`apisix.dns_resolver`). Empty, the default: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// How long an answer is good (`apisix.dns_resolver_valid`), at least 1 s. Default: what the answer itself says.
    pub valid: Option<Duration>,
    /// How long one name server has (`apisix.resolver_timeout`). Default 5 s.
    pub timeout: Duration,
    /// Whether `search` and `domain` of `/etc/resolv.conf` are used (`apisix.enable_resolv_search_opt`). Default yes.
    pub search: bool,
    /// Whether names without an IPv4 address are looked up in IPv6 (`apisix.enable_ipv6`). Default yes.
    pub ipv6: bool,
}

impl Default for Dns {
    fn default() -> Self {
        Self { servers: Vec::new(), valid: None, timeout: Duration::from_secs(5), search: true, ipv6: true }
    }
}

/// Listeners behind a load balancer that speaks the PROXY protocol. Default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BehindBalancer {
    /// For HTTP.
    pub listen: Vec<SocketAddr>,
    /// For HTTP inside of TLS.
    pub tls_listen: Vec<SocketAddr>,
}

/// Listeners of stream routes. Default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// For TCP; port 0 takes a free one.
    pub tcp: Vec<StreamListen>,
    /// For UDP.
    pub udp: Vec<SocketAddr>,
    /// Every TCP listener of these is behind a load balancer that speaks the PROXY protocol.
    pub proxy_protocol: bool,
    /// Upstreams are told where the client is by the PROXY protocol, version 1.
    pub proxy_protocol_to_upstreams: bool,
}

/// One listener of stream routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamListen {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether TLS is spoken, with the certificates of ssls.
    pub tls: bool,
}

/// Where the access log goes and how its lines look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLog {
    /// The file, appended to; stdout when absent.
    pub path: Option<PathBuf>,
    /// A line with `$variables`, as APISIX's `access_log_format`; APISIX's default format, of requests or of connections, when absent.
    pub format: Option<String>,
    /// How values are written. Default [`Escape::Plain`].
    pub escape: Escape,
}

/// How values are written into a line of the access log (APISIX's `access_log_format_escape`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// Quotes, backslashes and what isn't printable as `\xXX`; `-` for what is absent.
    #[default]
    Plain,
    /// As in a JSON string; nothing for what is absent.
    Json,
    /// Only what would end the line is escaped; nothing for what is absent.
    None,
}

/// How paths are read before routes look at them (APISIX's settings of these names).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// `delete_uri_tail_slash`: routes see the path without one slash at its end. It is forwarded with it.
    pub delete_tail_slash: bool,
    /// `normalize_uri_like_servlet`: `;parameters` of segments are taken out of the path, for routes, plugins and the upstream alike, so that what
    /// was judged is what is served.
    pub like_servlet: bool,
    /// `match_uri_encoded_slash`: routes and plugins see `%2F` and `%5C` as the client wrote them. Without it `%2F` is judged as a slash, forwarded as it
    /// came, and `%5C` is refused.
    pub encoded_slash: bool,
}

/// How routes are found (APISIX's `apisix.router.http`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouterMode {
    /// `radixtree_host_uri`: the most specific host first, the path within it.
    #[default]
    HostUri,
    /// `radixtree_uri`: the most specific path first; the host is only a condition.
    Uri,
    /// `radixtree_uri_with_parameter`: the same, and `:name` in a path stands for one segment of it.
    UriWithParameter,
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
    /// Connections of one client (an IPv6 client is its /64), over all workers; `None` sets no bound. Default `None`.
    pub connections_per_client: Option<usize>,
    /// Bytes of memory that the process may hold: from 85% of it on it takes less and less. Default: what its container may use, if it is in one.
    pub memory_bytes: Option<u64>,
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
            connections_per_client: None,
            memory_bytes: None,
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
