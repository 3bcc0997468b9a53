//! Services in DNS: `host[:port]`, by SRV where there is one, by addresses otherwise (APISIX's `discovery/dns`).
//!
//! What an SRV record points to is asked of the same name servers: names of a Consul or a cluster's DNS are often known to nobody else.

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
use crate::resolve::{Addresses, Asker, Resolver, ServiceRecord};

/// Weights are made whole by this factor at most, so that many targets with different numbers of addresses stay small numbers.
const MOST_SCALE: u32 = 1_000;

/// When a service is asked for again one of whose targets had no address.
const FAILED_AGAIN: Duration = Duration::from_secs(5);

/// Where names are asked.
pub(super) struct Dns {
    resolver: Arc<Resolver>,
    order: Vec<Ask>,
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
        let order = order(&settings.order)?;
        Ok(Self { resolver, order, settings: settings.clone() })
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
        let mut found = Err("it has no record of the kinds that are asked for".to_owned());
        for ask in &self.order {
            found = match ask {
                Ask::Services => match asker.services(host).await? {
                    (records, _) if records.is_empty() => continue,
                    (records, valid) => return targets(asker, records, port, valid).await,
                },
                Ask::Addresses => asker.addresses(host).await.map(|found| {
                    let node = |ip: &IpAddr| Node { host: ip.to_string(), port, weight: 1, priority: 0 };
                    Look { nodes: Some(found.all.iter().map(node).collect()), again: found.valid }
                }),
            };
            if found.is_ok() {
                break;
            }
        }
        found
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Services,
    Addresses,
}

/// What is asked for, in order: addresses at the place of the first kind of them, and last where none is named.
fn order(kinds: &[String]) -> Result<Vec<Ask>, String> {
    const KNOWN: [&str; 5] = ["last", "SRV", "A", "AAAA", "CNAME"];
    let mut order = Vec::new();
    for (at, kind) in kinds.iter().enumerate() {
        let is_known = KNOWN.iter().any(|known| known.eq_ignore_ascii_case(kind));
        if !is_known || kinds.iter().take(at).any(|before| before.eq_ignore_ascii_case(kind)) {
            return Err(format!(
                "discovery.dns.order: {kind:?} is no kind of record, or stands there twice; write some of {}, each once",
                KNOWN.join(", ")
            ));
        }
        let ask = match kind.to_ascii_uppercase().as_str() {
            "SRV" => Ask::Services,
            "A" | "AAAA" => Ask::Addresses,
            _ => continue,
        };
        if !order.contains(&ask) {
            order.push(ask);
        }
    }
    if !order.contains(&Ask::Addresses) {
        order.push(Ask::Addresses);
    }
    Ok(order)
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

/// The nodes of a service. A target that has no address is left out while another has one.
async fn targets(
    asker: &Asker,
    records: Vec<ServiceRecord>,
    port: Option<u16>,
    valid: Duration,
) -> Result<Look, String> {
    let asked = records.into_iter().map(|record| async move {
        let found = match record.host.parse::<IpAddr>() {
            Ok(ip) => Ok(Addresses { all: vec![ip], valid }),
            Err(_) => asker.addresses(&record.host).await,
        };
        (record, found)
    });
    let (mut found, mut failed, mut again) = (Vec::new(), None, valid);
    for (record, answer) in futures_util::future::join_all(asked).await {
        match answer {
            Ok(addresses) => {
                again = again.min(addresses.valid);
                found.push((record, addresses.all));
            }
            Err(error) => {
                tracing::warn!(host = %record.host, %error, "the target of an SRV record has no address");
                again = again.min(FAILED_AGAIN);
                failed = Some(format!("{}: {error}", record.host));
            }
        }
    }
    if let (true, Some(failed)) = (found.is_empty(), failed) {
        return Err(failed);
    }
    Ok(Look { nodes: Some(shared(&found, port)), again })
}

/// A record's weight is that of all its addresses together.
fn shared(found: &[(ServiceRecord, Vec<IpAddr>)], port: Option<u16>) -> Vec<Node> {
    let count = |all: &[IpAddr]| u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
    let scale = found.iter().try_fold(1, |scale, (_, all)| {
        let both = multiple(scale, count(all));
        (both <= MOST_SCALE).then_some(both)
    });
    let nodes = found.iter().flat_map(|(record, all)| {
        let part = scale.map_or(1, |scale| scale / count(all));
        all.iter().map(move |ip| Node {
            host: ip.to_string(),
            port: port.or((record.port > 0).then_some(record.port)),
            // 0 means "hardly ever" there and "never" here.
            weight: u32::from(record.weight.max(1)).saturating_mul(part),
            // The lowest comes first there, the highest here.
            priority: -i64::from(record.priority),
        })
    });
    nodes.collect()
}

/// The least that both are a part of.
fn multiple(a: u32, b: u32) -> u32 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Ask, ServiceRecord, order, shared};

    #[test]
    fn kinds_are_asked_for_in_the_order_that_is_written() {
        let of = |kinds: &[&str]| order(&kinds.iter().map(ToString::to_string).collect::<Vec<_>>());
        for (kinds, wanted) in [
            (&["last", "SRV", "A", "AAAA", "CNAME"][..], &[Ask::Services, Ask::Addresses][..]),
            (&["A", "SRV"], &[Ask::Addresses, Ask::Services]),
            (&["AAAA", "srv", "A"], &[Ask::Addresses, Ask::Services]),
            (&["A"], &[Ask::Addresses]),
            (&["SRV"], &[Ask::Services, Ask::Addresses]),
            (&[], &[Ask::Addresses]),
        ] {
            assert_eq!(of(kinds).unwrap(), wanted, "{kinds:?}");
        }
        for bad in [&["B", "SRV"][..], &["SRV", "SRV"]] {
            assert!(of(bad).unwrap_err().contains("discovery.dns.order: "), "{bad:?}");
        }
    }

    #[test]
    fn the_addresses_of_a_target_share_its_weight() {
        let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
        let record =
            |host: &str, weight, port| ServiceRecord { host: host.to_owned(), port, priority: 2, weight };
        let found = [
            (record("a", 10, 80), vec![ip(1)]),
            (record("b", 0, 0), vec![ip(2), ip(3)]),
            (record("c", 3, 81), vec![ip(4), ip(5), ip(6)]),
        ];
        let nodes = shared(&found, None);
        let weights: Vec<u32> = nodes.iter().map(|node| node.weight).collect();
        assert_eq!(weights, [60, 3, 3, 6, 6, 6]);
        let ports: Vec<Option<u16>> = nodes.iter().map(|node| node.port).collect();
        assert_eq!(ports, [Some(80), None, None, Some(81), Some(81), Some(81)]);
        assert!(nodes.iter().all(|node| node.priority == -2));
        assert!(shared(&found, Some(9)).iter().all(|node| node.port == Some(9)));
    }
}
