//! `opa` asks an Open Policy Agent whether a request may pass.
//!
//! The agent sees the request, and route, service and consumer where that is asked for; it answers whether to allow it. Everything else fails
//! closed: an agent that is away, slow or talks nonsense refuses. What the agent may tell the upstream comes from the agent alone.
//!
//! Example: `{"host": "http://127.0.0.1:8181", "policy": "gateway/allow", "send_headers_upstream": ["X-User-ID"]}`

mod input;

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::Call;

use crate::addresses;
use crate::schema::{Keepalive, number, yes};
use crate::spoofed::drop_copies;
use crate::stranger::header_name;

/// `opa`.
pub(crate) static PLUGIN: Spec = Spec::of::<Opa>();

/// The largest decision that is taken, in bytes.
const MAX_DECISION_BYTES: u64 = 1 << 20;

/// Asks an Open Policy Agent whether a request may pass.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The agent: `http://` or `https://`, host and port.
    host: String,
    /// Whether the agent's certificate is verified.
    #[serde(default = "yes")]
    ssl_verify: bool,
    /// The policy's path below `/v1/data/`, such as `gateway/allow`.
    policy: String,
    /// Milliseconds for the whole call, 1 to 60000.
    #[serde(default = "number::<3000>")]
    #[schemars(range(min = 1, max = 60000))]
    timeout: u64,
    #[serde(flatten)]
    #[expect(dead_code, reason = "the worker's pool decides")]
    keepalive: Keepalive,
    /// Tells the agent about the route.
    #[serde(default)]
    with_route: bool,
    /// Tells the agent about the service.
    #[serde(default)]
    with_service: bool,
    /// Tells the agent about the consumer: name, group, labels. Never its credentials.
    #[serde(default)]
    with_consumer: bool,
    /// Headers of the decision that the upstream gets. A client's own copies never reach the upstream.
    #[serde(default)]
    #[schemars(length(min = 1))]
    send_headers_upstream: Option<Vec<String>>,
}

struct Opa {
    url: String,
    verify: bool,
    timeout: Duration,
    with: input::With,
    headers: Vec<String>,
}

/// What the agent answers.
#[derive(Deserialize)]
struct Answered {
    result: Option<Decision>,
}

/// What the policy decided.
#[derive(Deserialize)]
struct Decision {
    #[serde(default)]
    allow: bool,
    status_code: Option<u16>,
    #[serde(default)]
    headers: Map<String, Value>,
    reason: Option<Value>,
}

impl Plugin for Opa {
    const NAME: &'static str = "opa";
    const PRIORITY: i32 = 2001;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Later(Self::ask)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        addresses::check_url("host", &config.host, env)?;
        let url = format!("{}/v1/data/{}", config.host.trim_end_matches('/'), config.policy);
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(BuildError::new(format!(
                "property \"policy\" validation failed: {:?} is no path; write something like gateway/allow",
                config.policy
            )));
        }
        let headers = config.send_headers_upstream.unwrap_or_default();
        headers.iter().try_for_each(|name| header_name("send_headers_upstream", name))?;
        Ok(Self {
            url,
            verify: config.ssl_verify,
            timeout: Duration::from_millis(config.timeout),
            with: input::With {
                route: config.with_route,
                service: config.with_service,
                consumer: config.with_consumer,
            },
            headers,
        })
    }

    fn passed_over(&self, exchange: &mut Exchange) {
        self.drop_client_copies(exchange);
    }
}

impl Opa {
    fn ask<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let mut fields = Head::empty();
            if fields.set("Content-Type", "application/json").is_err() {
                return Reply::new(500).into();
            }
            let call = Call {
                method: "POST".to_owned(),
                url: self.url.clone(),
                fields,
                body: Bytes::from(input::of(exchange, self.with).to_string()),
                timeout: self.timeout,
                verify: self.verify,
                max_answer_bytes: MAX_DECISION_BYTES,
            };
            match exchange.worker().fetch(call).await {
                Ok(answer) if answer.head.status() == 200 => self.decide(exchange, &answer.body),
                Ok(answer) => {
                    tracing::warn!(status = answer.head.status(), "the policy agent did not decide");
                    Reply::new(503).into()
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to ask the policy agent");
                    Reply::new(403).into()
                }
            }
        }
        .boxed_local()
    }

    fn decide(&self, exchange: &mut Exchange, body: &[u8]) -> Flow {
        let decision = serde_json::from_slice::<Answered>(body).ok().and_then(|answered| answered.result);
        let Some(Decision { allow, status_code, headers, reason }) = decision else {
            tracing::warn!("the policy agent's answer is no decision");
            return Reply::new(503).into();
        };
        if allow {
            self.tell_upstream(exchange, &headers);
            return Flow::Continue;
        }
        let status = status_code.filter(|status| (200..600).contains(status)).unwrap_or(403);
        let mut reply = match reason {
            None | Some(Value::Null) => Reply::new(status),
            Some(Value::String(text)) => Reply::text(status, "text/plain; charset=utf-8", text),
            Some(other) => Reply::json(status, &other),
        };
        for (name, value) in &headers {
            if name.eq_ignore_ascii_case("content-type") {
                reply.head.remove("content-type");
            }
            for value in values(value) {
                reply = reply.with(name, value);
            }
        }
        reply.into()
    }

    fn tell_upstream(&self, exchange: &mut Exchange, told: &Map<String, Value>) {
        self.drop_client_copies(exchange);
        for name in &self.headers {
            let found = told.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            for value in found.into_iter().flat_map(|(_, value)| values(value)) {
                if let Err(error) = exchange.request.head.append(name, value) {
                    tracing::warn!(%error, "left out a header of the policy agent that can't be sent");
                }
            }
        }
    }

    fn drop_client_copies(&self, exchange: &mut Exchange) {
        drop_copies(&mut exchange.request.head, self.headers.iter().map(String::as_str));
    }
}

/// A header's value, or several in a list.
fn values(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(_) | Value::Bool(_) => vec![value.to_string()],
        Value::Array(list) => list.iter().filter(|item| !item.is_array()).flat_map(values).collect(),
        Value::Null | Value::Object(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
