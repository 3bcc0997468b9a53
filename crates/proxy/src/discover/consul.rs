//! Services of a Consul: the passing nodes of one service, by questions that wait until something changes there (blocking queries).
//!
//! Several servers are several datacentres, each with services of its own, as in APISIX: the first that knows nodes of a service is stayed with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use usher_model::resource::Node;
use usher_model::secret::Secret;

use super::settings::{ConsulDefault, ConsulTimeout};
use super::web::{Question, Web, escaped, json as json_of};
use super::{Asked, Cursor, Look, Registry, settings};
use crate::ask::Answer;

/// Between two questions that wait, so that a Consul which always answers at once isn't asked all the time.
const BREATH: Duration = Duration::from_millis(50);

/// The servers, and what is common to both ways of using them.
pub(super) struct Servers {
    all: Vec<Web>,
    token: Option<Secret<String>>,
    timeout: ConsulTimeout,
    /// Whether questions wait.
    waits: bool,
    interval: Duration,
}

/// What one server told.
pub(super) struct Told {
    /// The value; `None` for 404.
    pub(super) value: Option<Value>,
    /// When to ask again.
    pub(super) again: Duration,
}

impl Servers {
    pub(super) fn new(
        urls: &[String],
        token: Option<&Secret<String>>,
        timeout: ConsulTimeout,
        waits: bool,
        interval: u64,
        own: &Arc<[SocketAddr]>,
    ) -> Result<Self, String> {
        if urls.is_empty() {
            return Err("a Consul has at least one server; name it in `servers`".to_owned());
        }
        let all = urls.iter().map(|url| Web::new(url, own)).collect::<Result<_, _>>()?;
        Ok(Self {
            all,
            token: token.cloned(),
            timeout,
            waits,
            interval: Duration::from_secs(interval.max(1)),
        })
    }

    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    /// The server at this URL, if it is one of ours.
    pub(super) fn find(&self, url: &str) -> Option<usize> {
        self.all
            .iter()
            .position(|server| url.strip_prefix(server.base()).is_some_and(|rest| rest.starts_with('/')))
    }

    pub(super) fn shown(&self) -> Vec<&str> {
        self.all.iter().map(Web::base).collect()
    }

    /// Asks the cursor's server; waits for a change where one was seen before.
    pub(super) async fn ask(&self, path: &str, cursor: &mut Cursor) -> Result<Told, String> {
        let count = self.all.len().max(1);
        let server = self.all.get(cursor.server % count).ok_or("no server")?;
        let seen = cursor.seen.take().filter(|_| self.waits);
        let mut within = Duration::from_millis(self.timeout.connect.saturating_add(self.timeout.read));
        let mut path = path.to_owned();
        if let Some(index) = &seen {
            let mark = if path.contains('?') { '&' } else { '?' };
            path.push_str(&format!("{mark}index={index}&wait={}s", self.timeout.wait));
            // Consul adds up to a sixteenth, so that not all questions end at once.
            within += Duration::from_secs(self.timeout.wait) * 17 / 16;
        }
        let token = self.token.as_ref().map(|token| ("X-Consul-Token", token.expose().as_str()));
        let question = Question { fields: token.as_slice(), ..Question::get(&path, within) };
        let answer = match server.ask(question).await {
            Ok(answer) => answer,
            Err(reason) => {
                cursor.server = (cursor.server + 1) % count;
                return Err(reason);
            }
        };
        let value = match answer.status {
            404 => None,
            _ => Some(
                json_of("Consul", &answer).inspect_err(|_| cursor.server = (cursor.server + 1) % count)?,
            ),
        };
        let index = index_of(&answer);
        // One that went back means that Consul began anew, and one of 0 would not wait (Consul's rules for blocking queries).
        let before = seen.as_deref().and_then(|seen| seen.parse::<u64>().ok()).unwrap_or_default();
        cursor.seen = index.filter(|index| *index >= before && *index > 0).map(|index| index.to_string());
        let again = if self.waits && cursor.seen.is_some() { BREATH } else { self.interval };
        Ok(Told { value, again })
    }
}

fn index_of(answer: &Answer) -> Option<u64> {
    answer.fields.get_str("x-consul-index")?.trim().parse().ok()
}

/// Consul's catalogue.
pub(super) struct Consul {
    servers: Servers,
    settings: settings::Consul,
}

impl Consul {
    pub(super) fn new(settings: &settings::Consul, own: &Arc<[SocketAddr]>) -> Result<Self, String> {
        let servers = Servers::new(
            &settings.servers,
            settings.token.as_ref(),
            settings.timeout,
            settings.keepalive,
            settings.fetch_interval,
            own,
        )
        .map_err(|reason| format!("discovery.consul.servers: {reason}"))?;
        Ok(Self { servers, settings: settings.clone() })
    }

    async fn nodes(&self, asked: &Asked, cursor: &mut Cursor) -> Result<Look, String> {
        if self.settings.skip_services.contains(&asked.name) {
            let nodes = or_default(Vec::new(), self.settings.default_service.as_ref(), self.settings.weight);
            return Ok(Look { nodes: Some(nodes), again: Duration::from_secs(3600) });
        }
        let path = format!("/v1/health/service/{}?passing=true", escaped(&asked.name));
        let mut left = self.servers.len();
        loop {
            let is_first = cursor.seen.is_none();
            let told = self.servers.ask(&path, cursor).await?;
            let nodes =
                told.value.as_ref().map_or_else(Vec::new, |value| nodes_of(value, self.settings.weight));
            left = left.saturating_sub(1);
            if nodes.is_empty() && is_first && left > 0 {
                // Perhaps it is a service of the next one.
                cursor.server = (cursor.server + 1) % self.servers.len().max(1);
                cursor.seen = None;
                continue;
            }
            let again = if nodes.is_empty() && self.servers.len() > 1 {
                cursor.seen = None;
                self.servers.interval
            } else {
                told.again
            };
            let nodes = or_default(nodes, self.settings.default_service.as_ref(), self.settings.weight);
            return Ok(Look { nodes: Some(nodes), again });
        }
    }
}

impl Registry for Consul {
    fn look<'a>(&'a self, asked: &'a Asked, cursor: &'a mut Cursor) -> BoxFuture<'a, Result<Look, String>> {
        self.nodes(asked, cursor).boxed()
    }

    fn shown(&self) -> Value {
        json!({
            "servers": self.servers.shown(), "weight": self.settings.weight, "fetch_interval": self.settings.fetch_interval,
            "keepalive": self.settings.keepalive, "skip_services": self.settings.skip_services,
        })
    }
}

/// The nodes, or the one that stands for them.
pub(super) fn or_default(nodes: Vec<Node>, default: Option<&ConsulDefault>, weight: u32) -> Vec<Node> {
    match default.filter(|_| nodes.is_empty()) {
        Some(node) => vec![Node { host: node.host.clone(), port: Some(node.port), weight, priority: 0 }],
        None => nodes,
    }
}

fn nodes_of(value: &Value, weight: u32) -> Vec<Node> {
    let text = |entry: &Value, pointer: &str| {
        entry.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let entries = value.as_array().into_iter().flatten();
    entries
        .filter_map(|entry| {
            let host = text(entry, "/Service/Address").or_else(|| text(entry, "/Node/Address"))?;
            let port = entry.pointer("/Service/Port").and_then(Value::as_u64).unwrap_or_default();
            let port = u16::try_from(port).ok()?;
            Some(Node { host, port: (port > 0).then_some(port), weight, priority: 0 })
        })
        .collect()
}
