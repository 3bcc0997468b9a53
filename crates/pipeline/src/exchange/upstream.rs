//! What an exchange knows of its upstream's side.

use std::net::SocketAddr;

/// What is known of the upstream's side of an exchange.
#[derive(Debug, Default)]
pub struct UpstreamFacts {
    /// The node that was last tried.
    pub address: Option<SocketAddr>,
    /// The nodes of the tries before it, in order.
    pub earlier: Vec<SocketAddr>,
    /// The statuses of all tries, in order; 502 and 504 stand for connections that failed.
    pub statuses: Vec<u16>,
    /// The upstream's scheme.
    pub scheme: &'static str,
    /// The `Host` that was sent.
    pub host: String,
    /// The name of the node that was last tried, before anybody resolved it; empty where it is written as an address.
    pub node_name: String,
}

impl UpstreamFacts {
    /// The nodes of all tries, in order; `None` where there was none.
    #[must_use]
    pub fn addresses(&self) -> Option<String> {
        let last = self.address?;
        let all: Vec<String> = self.earlier.iter().chain([&last]).map(SocketAddr::to_string).collect();
        Some(all.join(", "))
    }
}
