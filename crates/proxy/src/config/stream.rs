//! Stream routes: which connection that isn't HTTP goes where (data plane contract, section 12).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;
use usher_pipeline::stream::StreamPipeline;

use super::route::Origin;
use super::tree::Tree;

/// A stream route, merged with its service.
pub(crate) struct StreamRoute {
    /// Its id.
    pub(crate) id: Arc<str>,
    /// Its name; empty where it has none.
    pub(crate) name: Arc<str>,
    /// Its plugins and its service's.
    pub(crate) plugins: StreamPipeline,
    /// Where its connections go.
    pub(crate) upstream: Origin,
    /// It can't be built: its connections are closed.
    pub(crate) closed: bool,
    /// Which connections it takes.
    pub(super) rule: Rule,
}

/// Which connections a stream route takes.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// The name that TLS clients ask for, in lower case; `*.` in front stands for any number of labels.
    pub(super) sni: Option<Box<str>>,
    remote: Option<IpNet>,
    server: Option<IpNet>,
    port: Option<u16>,
}

impl Rule {
    /// What is written in the route.
    ///
    /// # Errors
    /// The member that can't be read.
    pub(super) fn of(value: &Value) -> Result<Self, String> {
        let text = |member: &str| value.get(member).and_then(Value::as_str);
        let network = |member: &str| text(member).map(|text| network(member, text)).transpose();
        let port = value.get("server_port").and_then(Value::as_u64);
        Ok(Self {
            sni: text("sni").map(|sni| super::ssl::canonical(sni).into()),
            remote: network("remote_addr")?,
            server: network("server_addr")?,
            port: port
                .map(|port| u16::try_from(port).map_err(|_| format!("`server_port` {port} is no port")))
                .transpose()?,
        })
    }

    fn takes(&self, asked: &AskedStream<'_>) -> bool {
        let within =
            |network: Option<IpNet>, ip: IpAddr| network.is_none_or(|net| net.contains(&ip.to_canonical()));
        self.port.is_none_or(|port| port == asked.server.port())
            && within(self.remote, asked.client)
            && within(self.server, asked.server.ip())
    }
}

fn network(member: &str, text: &str) -> Result<IpNet, String> {
    crate::options::network(text).map_err(|error| format!("`{member}`: {error}"))
}

/// What is known of a connection when its route is looked for.
pub(crate) struct AskedStream<'a> {
    /// The name that a TLS client asks for.
    pub(crate) sni: Option<&'a str>,
    /// Where the client is.
    pub(crate) client: IpAddr,
    /// Where it came to.
    pub(crate) server: SocketAddr,
}

/// Stream routes of one name, or of none, in the order in which they are tried.
pub(super) type Tried = Arc<[Arc<StreamRoute>]>;

/// All stream routes.
#[derive(Clone)]
pub(crate) struct StreamRoutes {
    pub(super) by_sni: Tree<Tried>,
    pub(super) others: Tried,
}

impl Default for StreamRoutes {
    fn default() -> Self {
        Self { by_sni: Tree::default(), others: Arc::from([]) }
    }
}

impl StreamRoutes {
    /// The route that a connection takes: by its name, then by the longest wildcard over it, then one that asks for no name.
    pub(crate) fn find(&self, asked: &AskedStream<'_>) -> Option<&Arc<StreamRoute>> {
        let first =
            |tried: &'_ Tried| -> Option<usize> { tried.iter().position(|route| route.rule.takes(asked)) };
        if let Some(sni) = asked.sni.filter(|_| !self.by_sni.is_empty()) {
            let sni = super::ssl::canonical(sni);
            let mut key = sni.clone();
            let mut rest = sni.as_str();
            loop {
                if let Some(tried) = self.by_sni.get(key.as_bytes())
                    && let Some(route) = first(tried).and_then(|at| tried.get(at))
                {
                    return Some(route);
                }
                let Some((_, below)) = rest.split_once('.') else { break };
                rest = below;
                key = format!("*.{rest}");
            }
        }
        first(&self.others).and_then(|at| self.others.get(at))
    }
}
