//! Services in DNS: `host[:port]`, by SRV where there is one, by addresses otherwise (APISIX's `discovery/dns`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use usher_model::resource::Node;

use super::{Asked, Cursor, Look, Registry, settings};
use crate::options;
use crate::resolve::{Asker, Resolver};

/// Where names are asked.
pub(super) struct Dns {
    resolver: Arc<Resolver>,
    by_service: bool,
    settings: settings::Dns,
}

impl Dns {
    pub(super) fn new(
        settings: &settings::Dns,
        resolver: &Arc<Resolver>,
        runtime: &Handle,
    ) -> Result<Self, String> {
        let mut servers = Vec::new();
        for text in &settings.servers {
            servers.push(server(text).ok_or_else(|| {
                format!(
                    "discovery.dns.servers: {text:?} is no address of a name server, such as 127.0.0.1:8600"
                )
            })?);
        }
        if let Some(path) = &settings.resolv_conf {
            servers.extend(of_file(path)?);
        }
        let resolver = if servers.is_empty() {
            Arc::clone(resolver)
        } else {
            let dns = options::Dns { servers, ..options::Dns::default() };
            Arc::new(Resolver::new(Asker::new(&dns, runtime.clone())))
        };
        let by_service = settings.order.iter().any(|kind| kind.eq_ignore_ascii_case("SRV"));
        Ok(Self { resolver, by_service, settings: settings.clone() })
    }

    async fn nodes(&self, asked: &Asked) -> Result<Look, String> {
        let (host, port) = match asked.name.rsplit_once(':') {
            Some((host, port)) => {
                let port = port.parse::<u16>().map_err(|_| format!("{port:?} is no port"))?;
                (host, Some(port))
            }
            None => (asked.name.as_str(), None),
        };
        let asker = self.resolver.asker();
        if self.by_service {
            let (records, valid) = asker.services(host).await?;
            if !records.is_empty() {
                let nodes = records.into_iter().map(|record| Node {
                    host: record.host,
                    port: port.or((record.port > 0).then_some(record.port)),
                    // 0 means "hardly ever" there and "never" here.
                    weight: u32::from(record.weight.max(1)),
                    // The lowest comes first there, the highest here.
                    priority: -i64::from(record.priority),
                });
                return Ok(Look { nodes: Some(nodes.collect()), again: valid });
            }
        }
        let found = asker.addresses(host).await?;
        let nodes =
            found.all.iter().map(|ip| Node { host: ip.to_string(), port, weight: 1, priority: 0 }).collect();
        Ok(Look { nodes: Some(nodes), again: found.valid })
    }
}

impl Registry for Dns {
    fn look<'a>(&'a self, asked: &'a Asked, _: &'a mut Cursor) -> BoxFuture<'a, Result<Look, String>> {
        async move {
            let mut look = self.nodes(asked).await?;
            look.again = look.again.max(Duration::from_secs(1));
            Ok(look)
        }
        .boxed()
    }

    fn shown(&self) -> Value {
        json!({ "servers": self.settings.servers, "order": self.settings.order })
    }
}

fn server(text: &str) -> Option<SocketAddr> {
    text.parse::<SocketAddr>().ok().or_else(|| Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, 53)))
}

fn of_file(path: &str) -> Result<Vec<SocketAddr>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("discovery.dns.resolv_conf: {path} can't be read: {error}"))?;
    let servers: Vec<_> =
        text.lines().filter_map(|line| server(line.trim().strip_prefix("nameserver")?.trim())).collect();
    if servers.is_empty() {
        return Err(format!("discovery.dns.resolv_conf: {path} names no server"));
    }
    Ok(servers)
}
