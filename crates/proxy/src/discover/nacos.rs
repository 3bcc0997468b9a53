//! Services of a Nacos: the healthy instances of one service in a namespace and group (APISIX's `discovery/nacos`).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use usher_model::resource::Node;
use usher_model::secret::Secret;

use super::web::{Question, Web, ask_in_turn, escaped, json as json_of};
use super::{Asked, Cursor, Look, Registry, settings};

/// The group of services that name none.
const DEFAULT_GROUP: &str = "DEFAULT_GROUP";
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
        let value = ask_in_turn(&self.servers, &mut cursor.server, |server| self.ask(server, asked)).await?;
        let hosts = value.get("hosts").and_then(Value::as_array).into_iter().flatten();
        let nodes = hosts.filter_map(|host| node_of(host, self.settings.weight, asked.by_grpc)).collect();
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
        path.push_str(&self.signature(asked));
        let answer = server.ask(Question::get(&path, self.within())).await?;
        if matches!(answer.status, 401 | 403) {
            // Taken back before its time; the next question begins with another.
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        json_of("Nacos", &answer)
    }

    /// The arguments that prove who asks, where there is an access key; as Nacos' own clients sign.
    fn signature(&self, asked: &Asked) -> String {
        let (access, secret) = (self.settings.access_key.expose(), self.settings.secret_key.expose());
        if access.is_empty() || secret.is_empty() {
            return String::new();
        }
        let group = asked.args.group_name.as_deref().unwrap_or(DEFAULT_GROUP);
        let data = format!("{}@@{group}@@{}", jiff::Timestamp::now().as_millisecond(), asked.name);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, data.as_bytes()));
        format!("&ak={}&data={}&signature={}", escaped(access), escaped(&data), escaped(&signature))
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

fn node_of(host: &Value, weight: u32, by_grpc: bool) -> Option<Node> {
    let is = |member: &str| host.get(member).and_then(Value::as_bool).unwrap_or(true);
    if !is("healthy") || !is("enabled") {
        return None;
    }
    // Instances that speak both tell their port for gRPC beside the usual one.
    let port = match host.pointer("/metadata/gRPC_port").filter(|_| by_grpc) {
        Some(Value::String(text)) => text.parse().ok()?,
        Some(other) => u16::try_from(other.as_u64()?).ok()?,
        None => u16::try_from(host.get("port")?.as_u64()?).ok()?,
    };
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
