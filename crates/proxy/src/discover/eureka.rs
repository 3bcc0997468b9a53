//! Services of a Eureka: the instances of one application that are up (APISIX's `discovery/eureka`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use usher_model::resource::Node;

use super::web::{Question, Web, ask_in_turn, escaped, json as json_of};
use super::{Asked, Cursor, Look, Registry, settings};

/// A Eureka.
pub(super) struct Eureka {
    servers: Vec<Web>,
    settings: settings::Eureka,
}

impl Eureka {
    pub(super) fn new(settings: &settings::Eureka, own: &Arc<[SocketAddr]>) -> Result<Self, String> {
        let servers =
            settings.host.iter().map(|url| Web::new(url.expose(), own)).collect::<Result<Vec<_>, _>>();
        let servers = servers.map_err(|reason| format!("discovery.eureka.host: {reason}"))?;
        if servers.is_empty() {
            return Err("discovery.eureka.host: it names no server".to_owned());
        }
        Ok(Self { servers, settings: settings.clone() })
    }

    async fn nodes(&self, asked: &Asked, cursor: &mut Cursor) -> Result<Look, String> {
        let nodes = ask_in_turn(&self.servers, &mut cursor.server, |server| self.ask(server, asked)).await?;
        Ok(Look { nodes: Some(nodes), again: Duration::from_secs(self.settings.fetch_interval.max(1)) })
    }

    async fn ask(&self, server: &Web, asked: &Asked) -> Result<Vec<Node>, String> {
        let prefix = self.settings.prefix.trim_matches('/');
        let path = format!("/{prefix}/apps/{}", escaped(&asked.name));
        let timeout = self.settings.timeout;
        let within =
            Duration::from_millis(timeout.connect.saturating_add(timeout.send).saturating_add(timeout.read));
        let basic = server.basic();
        let fields = basic.as_deref().map(|basic| ("Authorization", basic));
        let question = Question { fields: fields.as_slice(), ..Question::get(&path, within) };
        let answer = server.ask(question).await?;
        match answer.status {
            404 => Ok(Vec::new()),
            _ => Ok(nodes_of(&json_of("Eureka", &answer)?, self.settings.weight)),
        }
    }
}

impl Registry for Eureka {
    fn look<'a>(&'a self, asked: &'a Asked, cursor: &'a mut Cursor) -> BoxFuture<'a, Result<Look, String>> {
        self.nodes(asked, cursor).boxed()
    }

    fn shown(&self) -> Value {
        let hosts: Vec<_> = self.servers.iter().map(Web::base).collect();
        json!({
            "host": hosts, "prefix": self.settings.prefix, "weight": self.settings.weight,
            "fetch_interval": self.settings.fetch_interval,
        })
    }
}

fn nodes_of(value: &Value, weight: u32) -> Vec<Node> {
    let instances = match value.pointer("/application/instance") {
        Some(Value::Array(list)) => list.as_slice(),
        // Eureka's JSON writes a list of one as the one.
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    instances.iter().filter_map(|instance| node_of(instance, weight)).collect()
}

fn node_of(instance: &Value, weight: u32) -> Option<Node> {
    // What an operator has said of an instance counts more than what it says of itself.
    let said = ["overriddenStatus", "overriddenstatus"].iter().find_map(|name| instance.get(*name)?.as_str());
    let status = said.filter(|said| *said != "UNKNOWN").or_else(|| instance.get("status")?.as_str())?;
    if status != "UP" {
        return None;
    }
    let port = |member: &str| {
        let port = instance.get(member)?;
        let on = match port.get("@enabled")? {
            Value::String(text) => text == "true",
            other => other.as_bool()?,
        };
        let number = match port.get("$")? {
            Value::String(text) => text.parse().ok()?,
            other => other.as_u64()?,
        };
        u16::try_from(number).ok().filter(|number| on && *number > 0)
    };
    let weight = match instance.pointer("/metadata/weight") {
        Some(Value::String(text)) => text.parse().unwrap_or(weight),
        Some(other) => other.as_u64().and_then(|found| u32::try_from(found).ok()).unwrap_or(weight),
        None => weight,
    };
    let host = instance.get("ipAddr").or_else(|| instance.get("hostName"))?.as_str()?.to_owned();
    Some(Node { host, port: Some(port("securePort").or_else(|| port("port"))?), weight, priority: 0 })
}
