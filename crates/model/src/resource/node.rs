//! A node of an upstream, in the two forms in which APISIX writes nodes.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// Its port; the scheme's own when absent.
    pub port: Option<u16>,
    /// Its share of the requests; 0 gets none.
    pub weight: u32,
    /// Higher is tried first.
    pub priority: i64,
}

#[derive(Deserialize)]
struct Listed {
    host: String,
    port: Option<u16>,
    weight: u32,
    #[serde(default)]
    priority: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Map(Map<String, Value>),
    List(Vec<Listed>),
}

pub(super) fn nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Node>, D::Error> {
    match Written::deserialize(deserializer)? {
        Written::Map(map) => map
            .iter()
            .map(|(address, weight)| {
                let weight = weight.as_f64().filter(|weight| {
                    weight.fract() == 0.0 && *weight >= 0.0 && *weight <= f64::from(u32::MAX)
                });
                let weight = weight.ok_or_else(|| {
                    serde::de::Error::custom(format!("the weight of {address} is no whole number from 0 on"))
                })?;
                let (host, port) = split(address).map_err(serde::de::Error::custom)?;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked to be a whole number in range"
                )]
                let weight = weight as u32;
                Ok(Node { host, port, weight, priority: 0 })
            })
            .collect(),
        Written::List(list) => {
            let bare = |host: String| {
                host.strip_prefix('[')
                    .and_then(|host| host.strip_suffix(']'))
                    .map(str::to_owned)
                    .unwrap_or(host)
            };
            Ok(list
                .into_iter()
                .map(|node| Node {
                    host: bare(node.host),
                    port: node.port,
                    weight: node.weight,
                    priority: node.priority,
                })
                .collect())
        }
    }
}

fn split(address: &str) -> Result<(String, Option<u16>), String> {
    let bad = || format!("\"{address}\" is no host or host:port");
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
            (host, rest.strip_prefix(':'))
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port = port.map(|port| port.parse::<u16>().map_err(|_| bad())).transpose()?;
    if host.is_empty() { Err(bad()) } else { Ok((host.to_owned(), port)) }
}
