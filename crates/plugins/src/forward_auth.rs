//! `forward-auth` asks another service whether a request may pass.
//!
//! The service sees where the request goes and the headers it was promised, and answers below 300 to let it pass. Everything else fails closed: a
//! service that is away, slow or talks nonsense refuses unless `allow_degradation` says otherwise. What the service may tell the upstream comes
//! from the service alone: a client's own copies of `upstream_headers` are dropped on every path, also where `_meta.filter` passes the plugin over.
//!
//! Example: `{"uri": "http://127.0.0.1:9000/auth", "request_headers": ["Authorization"], "upstream_headers": ["X-User-ID"], "client_headers": ["Location"]}`

mod config;

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use usher_http1::head::Head;
use usher_pipeline::body::{Body, BodyError};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::{Answer, Call};

use crate::spoofed::drop_copies;
use crate::text::Text;
use config::{Config, Method};

/// `forward-auth`.
pub(crate) static PLUGIN: Spec = Spec::of::<ForwardAuth>();

/// The largest answer that is taken from the service: it may become the client's answer.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

struct ForwardAuth {
    uri: String,
    method: Method,
    request_headers: Vec<String>,
    extra_headers: Vec<(String, Text)>,
    upstream_headers: Vec<String>,
    client_headers: Vec<String>,
    timeout: Duration,
    verify: bool,
    allow_degradation: bool,
    status_on_error: u16,
    max_body_bytes: u64,
}

impl Plugin for ForwardAuth {
    const NAME: &'static str = "forward-auth";
    const PRIORITY: i32 = 2002;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Later(Self::ask)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        config.check(env)?;
        let extra = config.extra_headers.unwrap_or_default();
        Ok(Self {
            uri: config.uri,
            method: config.request_method,
            request_headers: config.request_headers,
            extra_headers: extra.iter().map(|(name, text)| (name.clone(), Text::parse(text))).collect(),
            upstream_headers: config.upstream_headers,
            client_headers: config.client_headers,
            timeout: Duration::from_millis(config.timeout),
            verify: config.ssl_verify,
            allow_degradation: config.allow_degradation,
            status_on_error: config.status_on_error,
            max_body_bytes: config.max_req_body_size,
        })
    }

    fn passed_over(&self, exchange: &mut Exchange) {
        self.drop_client_copies(exchange);
    }
}

impl ForwardAuth {
    fn ask<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let body = match self.method {
                Method::Get => Bytes::new(),
                Method::Post => match exchange.request.body.read_whole(self.max_body_bytes).await {
                    Ok(body) => body,
                    Err(error) => return refuse_body(&error),
                },
            };
            let call = self.call(exchange, body);
            match exchange.worker().fetch(call).await {
                Ok(answer) if answer.head.status() >= 300 => self.refuse(&answer).into(),
                Ok(answer) => {
                    self.tell_upstream(exchange, &answer.head);
                    Flow::Continue
                }
                Err(error) if self.allow_degradation => {
                    tracing::warn!(%error, "let a request pass that could not be authorized");
                    self.drop_client_copies(exchange);
                    Flow::Continue
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to process forward auth");
                    Reply::new(self.status_on_error).into()
                }
            }
        }
        .boxed_local()
    }

    fn call(&self, exchange: &Exchange, body: Bytes) -> Call {
        let request = &exchange.request;
        let mut fields = Head::empty();
        let client = exchange.client.ip().to_canonical().to_string();
        let uri = match request.original_query() {
            Some(query) => format!("{}?{query}", request.original_path()),
            None => request.original_path().to_owned(),
        };
        put(&mut fields, "X-Forwarded-Proto", request.scheme().as_bytes());
        put(&mut fields, "X-Forwarded-Method", request.method().as_bytes());
        put(&mut fields, "X-Forwarded-Host", request.host().as_bytes());
        put(&mut fields, "X-Forwarded-Uri", uri.as_bytes());
        put(&mut fields, "X-Forwarded-For", client.as_bytes());
        if self.method == Method::Post
            && let Some(encoding) = request.head.get("content-encoding")
        {
            put(&mut fields, "Content-Encoding", encoding);
        }
        for (name, text) in &self.extra_headers {
            put(&mut fields, name, &text.render(exchange));
        }
        for name in &self.request_headers {
            // What the gateway says of a request is not the client's to say.
            if !fields.contains(name) {
                for value in request.head.get_all(name) {
                    append(&mut fields, name, value);
                }
            }
        }
        Call {
            method: self.method.name().to_owned(),
            url: self.uri.clone(),
            fields,
            body,
            timeout: self.timeout,
            verify: self.verify,
            max_answer_bytes: MAX_ANSWER_BYTES,
        }
    }

    fn refuse(&self, answer: &Answer) -> Reply {
        let mut reply = Reply::new(answer.head.status());
        for name in &self.client_headers {
            for value in answer.head.get_all(name) {
                reply = reply.with(name, value);
            }
        }
        if !answer.body.is_empty() {
            if !reply.head.contains("content-type") {
                reply = reply.with("Content-Type", "text/plain; charset=utf-8");
            }
            reply.body = Body::Full(answer.body.clone());
        }
        reply
    }

    fn tell_upstream(&self, exchange: &mut Exchange, answer: &Head) {
        self.drop_client_copies(exchange);
        for name in &self.upstream_headers {
            for value in answer.get_all(name) {
                append(&mut exchange.request.head, name, value);
            }
        }
    }

    /// Whatever the client sent under these names, in any spelling that a server could take for them.
    fn drop_client_copies(&self, exchange: &mut Exchange) {
        if !self.upstream_headers.is_empty() {
            drop_copies(&mut exchange.request.head, self.upstream_headers.iter().map(String::as_str));
        }
    }
}

fn refuse_body(error: &BodyError) -> Flow {
    tracing::debug!(%error, "a body could not be sent to the authorization service");
    Reply::new(error.status()).into()
}

fn put(fields: &mut Head, name: &str, value: &[u8]) {
    if let Err(error) = fields.set(name, value) {
        tracing::warn!(%error, "left out a field of a call to the authorization service");
    }
}

fn append(fields: &mut Head, name: &str, value: &[u8]) {
    if let Err(error) = fields.append(name, value) {
        tracing::warn!(%error, "left out a field that can't be sent");
    }
}

#[cfg(test)]
mod tests;
