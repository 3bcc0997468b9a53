//! Services of a Nacos: the healthy instances of one service in a namespace and group (APISIX's `discovery/nacos`).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use usher_model::resource::Node;
use usher_model::secret::Secret;

use super::web::{Question, Web, escaped, json as json_of};
use super::{Asked, Cursor, Look, Registry, settings};

/// A token isn't used any more this long before its end.
const BEFORE_END: Duration = Duration::from_secs(30);

/// A Nacos.
pub(super) struct Nacos {
    servers: Vec<Web>,
    settings: settings::Nacos,
    token: Mutex<Option<(Secret<String>, Instant)>>,
}

impl Nacos {
    pub(super) fn new(settings: &settings::Nacos, own: &Arc<[SocketAddr]>) -> Result<Self, String> {
        if !settings.access_key.expose().is_empty() || !settings.secret_key.expose().is_empty() {
            return Err(
                "discovery.nacos.access_key and secret_key are not supported by this version of Usher; write `user:password@` into `host`"
                    .to_owned(),
            );
        }
        let servers =
            settings.host.iter().map(|url| Web::new(url.expose(), own)).collect::<Result<Vec<_>, _>>();
        let servers = servers.map_err(|reason| format!("discovery.nacos.host: {reason}"))?;
        if servers.is_empty() {
            return Err("discovery.nacos.host: it names no server".to_owned());
        }
        Ok(Self { servers, settings: settings.clone(), token: Mutex::default() })
    }

    fn within(&self) -> Duration {
        let timeout = self.settings.timeout;
        Duration::from_millis(timeout.connect.saturating_add(timeout.send).saturating_add(timeout.read))
    }

    /// The path of a question.
    fn path(&self, rest: &str) -> String {
        format!("/{}/{rest}", self.settings.prefix.trim_matches('/'))
    }

    async fn nodes(&self, asked: &Asked, cursor: &mut Cursor) -> Result<Look, String> {
        let count = self.servers.len().max(1);
        let server = self.servers.get(cursor.server % count).ok_or("no server")?;
        // Any of them knows all: another one is asked next time.
        let value =
            self.ask(server, asked).await.inspect_err(|_| cursor.server = (cursor.server + 1) % count)?;
        let hosts = value.get("hosts").and_then(Value::as_array).into_iter().flatten();
        let nodes = hosts.filter_map(|host| node_of(host, self.settings.weight)).collect();
        Ok(Look { nodes: Some(nodes), again: Duration::from_secs(self.settings.fetch_interval.max(1)) })
    }

    async fn ask(&self, server: &Web, asked: &Asked) -> Result<Value, String> {
        let mut path =
            self.path(&format!("ns/instance/list?healthyOnly=true&serviceName={}", escaped(&asked.name)));
        for (name, value) in
            [("namespaceId", &asked.args.namespace_id), ("groupName", &asked.args.group_name)]
        {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", escaped(value)));
            }
        }
        if let Some(token) = self.token(server).await? {
            path.push_str(&format!("&accessToken={}", escaped(token.expose())));
        }
        let answer = server.ask(Question::get(&path, self.within())).await?;
        if matches!(answer.status, 401 | 403) {
            // Taken back before its time; the next question begins with another.
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        json_of("Nacos", &answer)
    }

    /// A token, where the server's URL names a user.
    async fn token(&self, server: &Web) -> Result<Option<Secret<String>>, String> {
        let Some((name, password)) = server.user() else { return Ok(None) };
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((token, until)) = known
            && until > Instant::now()
        {
            return Ok(Some(token));
        }
        let body = format!("username={}&password={}", escaped(name), escaped(password.expose()));
        let path = self.path("auth/login");
        let question = Question {
            method: "POST",
            fields: &[("Content-Type", "application/x-www-form-urlencoded")],
            body: body.as_bytes(),
            ..Question::get(&path, self.within())
        };
        let value = json_of("Nacos' login", &server.ask(question).await?)?;
        let token =
            value.get("accessToken").and_then(Value::as_str).ok_or("Nacos' login gave no accessToken")?;
        let token = Secret::new(token.to_owned());
        let lasts =
            Duration::from_secs(value.get("tokenTtl").and_then(Value::as_u64).unwrap_or(300).min(86_400));
        let until = Instant::now() + lasts.saturating_sub(BEFORE_END);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some((token.clone(), until));
        Ok(Some(token))
    }
}

impl Registry for Nacos {
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

fn node_of(host: &Value, weight: u32) -> Option<Node> {
    let is = |member: &str| host.get(member).and_then(Value::as_bool).unwrap_or(true);
    if !is("healthy") || !is("enabled") {
        return None;
    }
    let port = u16::try_from(host.get("port")?.as_u64()?).ok()?;
    let weight = match host.get("weight").and_then(Value::as_f64) {
        // Nacos writes fractions; one that is above 0 gets some requests.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "casts of floats saturate"
        )]
        Some(found) if found > 0.0 => (found.round() as u32).max(1),
        Some(_) => 0,
        None => weight,
    };
    Some(Node { host: host.get("ip")?.as_str()?.to_owned(), port: Some(port), weight, priority: 0 })
}
