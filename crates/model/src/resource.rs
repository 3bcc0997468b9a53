//! Resources as the gateway uses them: typed, with their defaults, made from values that were checked.
//!
//! What a user wrote stays a JSON value; it crosses over to these types once, when the proxy takes it up.

mod checks;
mod node;
mod upstream;
mod whole;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

pub use checks::{ActiveChecks, CheckKind, Checks, HealthBounds, PassiveChecks};
pub use node::Node;
pub use upstream::{
    Balancer, DiscoveryArgs, HashOn, KeepalivePool, PassHost, Scheme, Timeouts, Upstream, UpstreamTls,
};

/// A value that is no resource of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadResource(String);

impl BadResource {
    fn new(error: &serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// An id, which may be written as a number.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<Value>::deserialize(deserializer)? {
        Some(id) => Some(crate::kind::id_text(&id).ok_or_else(|| {
            serde::de::Error::custom(format!("an id is a text or a whole number, not {id}"))
        })?),
        None => None,
    })
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
    texts.iter().map(|text| network(text).map_err(serde::de::Error::custom)).collect()
}

fn one_network<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpNet>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| network(&text).map_err(serde::de::Error::custom)).transpose()
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("\"{text}\" is neither an IP address nor a network such as 10.0.0.0/8"))
}

/// A route.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Route {
    /// Its name.
    pub name: Option<String>,
    uri: Option<String>,
    #[serde(default)]
    uris: Vec<String>,
    /// Decides among routes with the same path; higher first.
    #[serde(default, deserialize_with = "whole::priority")]
    pub priority: i64,
    /// The methods taken; empty takes all.
    #[serde(default)]
    pub methods: Vec<String>,
    host: Option<String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default, deserialize_with = "one_network")]
    remote_addr: Option<IpNet>,
    #[serde(default, deserialize_with = "networks")]
    remote_addrs: Vec<IpNet>,
    /// The condition, if any.
    pub vars: Option<Value>,
    /// A condition written in Luau: `function(vars, opts) ... end`.
    pub filter_func: Option<String>,
    /// Timeouts that win over the upstream's.
    pub timeout: Option<Timeouts>,
    /// Plugin bodies by name.
    #[serde(default)]
    pub plugins: Map<String, Value>,
    /// A plugin config to add plugins from.
    #[serde(default, deserialize_with = "id")]
    pub plugin_config_id: Option<String>,
    /// The upstream, written in place; still a value, because what is stored may be sealed.
    pub upstream: Option<Value>,
    /// An upstream by id; wins over `upstream`.
    #[serde(default, deserialize_with = "id")]
    pub upstream_id: Option<String>,
    /// A service to start from.
    #[serde(default, deserialize_with = "id")]
    pub service_id: Option<String>,
    /// Whether WebSocket upgrades pass; the service's unless set.
    pub enable_websocket: Option<bool>,
    #[serde(default = "one", deserialize_with = "whole::status")]
    status: u8,
}

const fn one() -> u8 {
    1
}

impl Route {
    /// A route from its value.
    ///
    /// # Errors
    /// The member that has a wrong shape.
    pub fn from_value(value: &Value) -> Result<Self, BadResource> {
        Self::deserialize(value).map_err(|error| BadResource::new(&error))
    }

    /// The path patterns.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.uri.as_deref().into_iter().chain(self.uris.iter().map(String::as_str))
    }

    /// The host patterns; empty takes every host.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.host.as_deref().into_iter().chain(self.hosts.iter().map(String::as_str))
    }

    /// The client networks; empty takes every client.
    pub fn remote_addrs(&self) -> impl Iterator<Item = IpNet> {
        self.remote_addr.into_iter().chain(self.remote_addrs.iter().copied())
    }

    /// Whether the route is served at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.status != 0
    }
}

/// A service.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: Option<String>,
    /// Host patterns for routes that have none.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Plugin bodies by name.
    #[serde(default)]
    pub plugins: Map<String, Value>,
    /// The upstream, written in place.
    pub upstream: Option<Value>,
    /// An upstream by id; wins over `upstream`.
    #[serde(default, deserialize_with = "id")]
    pub upstream_id: Option<String>,
    /// Whether WebSocket upgrades pass.
    pub enable_websocket: Option<bool>,
}

impl Service {
    /// A service from its value.
    ///
    /// # Errors
    /// The member that has a wrong shape.
    pub fn from_value(value: &Value) -> Result<Self, BadResource> {
        Self::deserialize(value).map_err(|error| BadResource::new(&error))
    }
}

/// A consumer.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Consumer {
    /// Its name and identity.
    pub username: String,
    /// Its group.
    #[serde(default, deserialize_with = "id")]
    pub group_id: Option<String>,
    /// Its labels; `custom_id` is passed to upstreams.
    #[serde(default)]
    pub labels: Map<String, Value>,
    /// Its credentials and the plugins that win over a route's.
    #[serde(default)]
    pub plugins: Map<String, Value>,
}

impl Consumer {
    /// A consumer from its value.
    ///
    /// # Errors
    /// The member that has a wrong shape.
    pub fn from_value(value: &Value) -> Result<Self, BadResource> {
        Self::deserialize(value).map_err(|error| BadResource::new(&error))
    }
}

/// A set of plugins: a plugin config, a global rule, or a credential.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Plugins {
    /// Plugin bodies by name.
    #[serde(default)]
    pub plugins: Map<String, Value>,
}

impl Plugins {
    /// The plugins of a value.
    ///
    /// # Errors
    /// The member that has a wrong shape.
    pub fn from_value(value: &Value) -> Result<Self, BadResource> {
        Self::deserialize(value).map_err(|error| BadResource::new(&error))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{PassHost, Route, Scheme, Upstream};

    #[test]
    fn a_route_gets_its_defaults_and_joins_singular_and_plural() {
        let route = Route::from_value(&json!({ "uri": "/a", "hosts": ["x", "y"], "service_id": 7, "remote_addrs": ["10.0.0.0/8", "::1"] })).unwrap();
        assert_eq!(route.uris().collect::<Vec<_>>(), ["/a"]);
        assert_eq!(route.hosts().collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(route.service_id.as_deref(), Some("7"));
        assert_eq!(route.remote_addrs().count(), 2);
        assert!(route.is_on());
        assert!(!Route::from_value(&json!({ "uri": "/a", "status": 0 })).unwrap().is_on());
    }

    #[test]
    fn nodes_are_read_in_both_forms() {
        let map = Upstream::from_value(&json!({ "nodes": { "a.example:8080": 3, "[::1]:80": 1, "b": 0 } }))
            .unwrap();
        let list = Upstream::from_value(&json!({ "scheme": "https", "pass_host": "node", "nodes": [
            { "host": "a.example", "port": 8080, "weight": 3 }, { "host": "[::1]", "port": 80, "weight": 1 }, { "host": "b", "weight": 0, "priority": -1 },
        ] })).unwrap();
        assert_eq!(map.nodes.len(), 3);
        assert_eq!(
            (map.nodes[0].host.as_str(), map.nodes[0].port, map.nodes[0].weight),
            ("a.example", Some(8080), 3)
        );
        assert_eq!(map.nodes[1], list.nodes[1]);
        assert_eq!(map.nodes[1].host, "::1");
        assert_eq!(list.nodes[2].priority, -1);
        assert_eq!((map.scheme, list.scheme), (Scheme::Http, Scheme::Https));
        assert_eq!((map.pass_host, list.pass_host), (PassHost::Pass, PassHost::Node));
        assert_eq!(map.keepalive_pool.size, 320);
    }
}
