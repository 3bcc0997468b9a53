//! A node of an upstream, in the two forms in which APISIX writes nodes.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::whole::whole;

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

pub(super) fn nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Node>, D::Error> {
    let nodes = match Value::deserialize(deserializer)? {
        Value::Object(map) => map.iter().map(|(address, weight)| mapped(address, weight)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(at, node)| listed(at, node)).collect(),
        _ => Err("`nodes` has to be an object of addresses and weights, or a list of objects".to_owned()),
    };
    nodes.map_err(serde::de::Error::custom)
}

fn mapped(address: &str, weight: &Value) -> Result<Node, String> {
    let weight = whole(format_args!("the weight of {address:?}"), weight)?;
    let (host, port) = split(address)?;
    Ok(Node { host, port, weight, priority: 0 })
}

fn listed(at: usize, node: &Value) -> Result<Node, String> {
    let member = |name: &str| node.get(name).filter(|value| !value.is_null());
    let missing = |name: &str| format!("`nodes[{at}].{name}` is missing");
    let host = member("host").ok_or_else(|| missing("host"))?;
    let host = host.as_str().ok_or_else(|| format!("`nodes[{at}].host` has to be a text"))?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = member("port").map(|port| whole(format_args!("`nodes[{at}].port`"), port)).transpose()?;
    let weight = member("weight").ok_or_else(|| missing("weight"))?;
    let priority = member("priority").map(|priority| whole(format_args!("`nodes[{at}].priority`"), priority));
    Ok(Node {
        host: bare.to_owned(),
        port,
        weight: whole(format_args!("`nodes[{at}].weight`"), weight)?,
        priority: priority.transpose()?.unwrap_or_default(),
    })
}

fn split(address: &str) -> Result<(String, Option<u16>), String> {
    let bad = || format!("{address:?} is no host or host:port");
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
