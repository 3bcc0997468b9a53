//! Services kept as keys of a Consul: `<prefix>/<service>/<host>:<port>`, each with its weight in JSON (APISIX's `discovery/consul_kv`).

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use usher_model::resource::Node;

use super::consul::{Servers, or_default};
use super::web::escaped_path;
use super::{Asked, Cursor, Look, Registry, settings};

/// Keys and values of a Consul.
pub(super) struct ConsulKv {
    servers: Servers,
    settings: settings::ConsulKv,
}

impl ConsulKv {
    pub(super) fn new(settings: &settings::ConsulKv, own: &Arc<[SocketAddr]>) -> Result<Self, String> {
        let servers = Servers::new(
            &settings.servers,
            settings.token.as_ref(),
            settings.timeout,
            settings.keepalive,
            settings.fetch_interval,
            own,
        )
        .map_err(|reason| format!("discovery.consul_kv.servers: {reason}"))?;
        Ok(Self { servers, settings: settings.clone() })
    }

    /// The folder of a service, and its server where the name says one: APISIX's names are whole URLs.
    fn folder(&self, name: &str) -> Result<(Option<usize>, String), String> {
        let name = name.trim_end_matches('/');
        if !name.contains("://") {
            return Ok((None, format!("{}/{name}/", self.settings.prefix.trim_matches('/'))));
        }
        let server = self.servers.find(name).ok_or_else(|| {
            format!("{name} is at none of the servers that discovery.consul_kv.servers names")
        })?;
        let (_, folder) = name
            .split_once("/v1/kv/")
            .ok_or_else(|| format!("{name} is no URL of keys: it has no /v1/kv/"))?;
        Ok((Some(server), format!("{folder}/")))
    }

    async fn nodes(&self, asked: &Asked, cursor: &mut Cursor) -> Result<Look, String> {
        let (server, folder) = self.folder(&asked.name)?;
        if let Some(server) = server {
            cursor.server = server;
        }
        let path = format!("/v1/kv/{}?recurse=true", escaped_path(&folder));
        let told = self.servers.ask(&path, cursor).await?;
        let found = told.value.as_ref().and_then(Value::as_array).into_iter().flatten();
        let nodes = found.filter_map(|entry| self.node(&folder, entry)).collect();
        let nodes = or_default(nodes, self.settings.default_server.as_ref(), self.settings.weight);
        Ok(Look { nodes: Some(nodes), again: told.again })
    }

    /// The node of a key; `None` for folders, for what is passed over, and for what is no node or says nothing of it.
    fn node(&self, folder: &str, entry: &Value) -> Option<Node> {
        let key = entry.get("Key")?.as_str()?;
        // A key, or the folder that it is in.
        if self.settings.skip_keys.iter().any(|skipped| skipped == key || skipped == folder) {
            return None;
        }
        let (host, port) = key.strip_prefix(folder)?.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let value =
            entry.get("Value").and_then(Value::as_str).and_then(|value| STANDARD.decode(value).ok())?;
        // A key that says nothing of its node, or nothing that can be read, is not yet written to its end.
        let Ok(value) = serde_json::from_slice::<Map<String, Value>>(&value) else {
            tracing::warn!(
                key,
                "left out a node of Consul whose value is no object of JSON, such as {{\"weight\": 1}}"
            );
            return None;
        };
        // Whoever watches over the nodes has written so.
        if value.get("check_status").is_some_and(|up| *up == json!(false) || *up == json!("false")) {
            return None;
        }
        let weight = value.get("weight").and_then(Value::as_u64);
        let weight = weight.map_or(self.settings.weight, |weight| u32::try_from(weight).unwrap_or(u32::MAX));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (!host.is_empty() && !host.contains('/')).then_some(Node {
            host,
            port: Some(port),
            weight,
            priority: 0,
        })
    }
}

impl Registry for ConsulKv {
    fn look<'a>(&'a self, asked: &'a Asked, cursor: &'a mut Cursor) -> BoxFuture<'a, Result<Look, String>> {
        self.nodes(asked, cursor).boxed()
    }

    fn shown(&self) -> Value {
        json!({
            "servers": self.servers.shown(), "prefix": self.settings.prefix, "weight": self.settings.weight,
            "fetch_interval": self.settings.fetch_interval, "keepalive": self.settings.keepalive,
        })
    }

    fn services_are(&self) -> &'static str {
        "upstreams"
    }
}
