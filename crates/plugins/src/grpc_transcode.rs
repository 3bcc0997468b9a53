//! `grpc-transcode` puts a gRPC method behind an ordinary URL: clients send JSON, a form or arguments, and get JSON.
//!
//! What clients send becomes the method's message by the definition of a `protos` object, read once when either is written. The upstream has to have
//! the scheme `grpc` or `grpcs`. A method that answers with a stream is answered with a line of JSON for each message, as they come. Of a call that
//! fails behind its answer's head, the answer is cut visibly: a failure never looks like an answer of empty members.
//!
//! Example: `{"proto_id": "1", "service": "helloworld.Greeter", "method": "SayHello"}`

mod config;
mod failure;
mod steps;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use usher_model::protobuf::{Message, Method, Style};
use usher_pipeline::body::{Body, BodyError, BodyStep};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::{AnsweredBy, Exchange};
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::request::Request;
use usher_pipeline::spec::Spec;

use crate::form;
use crate::grpc_frames::frame;
use crate::held::{Held, forget_old_body};
use crate::schema::MAX_BODY_BYTES;
use config::Config;
use steps::{Many, One};

/// `grpc-transcode`.
pub(crate) static PLUGIN: Spec = Spec::of::<GrpcTranscode>();

/// The most arguments that are looked at.
const MOST_ARGUMENTS: usize = 256;
/// How deep objects and lists may lie in each other.
const DEEPEST: usize = 64;

struct GrpcTranscode {
    /// What is called; `None` where the definition or its method is missing.
    method: Option<Method>,
    path: String,
    named: String,
    timeout: Option<String>,
    style: Style,
    /// Whether a failure's details are told, and as what.
    shows_status: bool,
    detail: Option<Message>,
    max_answer_bytes: u64,
}

/// What became of this request.
#[derive(Default)]
struct Progress {
    called: bool,
    failed: bool,
}

impl Plugin for GrpcTranscode {
    const NAME: &'static str = "grpc-transcode";
    const PRIORITY: i32 = 506;
    const PHASES: Phases<Self> = Phases {
        access: Some(Hook::Later(Self::call)),
        header_filter: Some(Self::head),
        body_filter: Some(Self::body),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let definition = env.proto(&config.proto_id.text());
        let method = definition.as_ref().and_then(|known| known.method(&config.service, &config.method));
        let detail = definition
            .as_ref()
            .zip(config.status_detail_type.as_deref())
            .and_then(|(known, name)| known.message(name));
        Ok(Self {
            method,
            path: format!("/{}/{}", config.service, config.method),
            named: format!("{}/{} of proto {}", config.service, config.method, config.proto_id.text()),
            timeout: config.timeout()?,
            style: config.style(),
            shows_status: config.show_status_in_body,
            detail,
            max_answer_bytes: config.max_resp_body_size.unwrap_or(MAX_BODY_BYTES),
        })
    }
}

impl GrpcTranscode {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let Some(method) = &self.method else {
                tracing::warn!(method = self.named, "a method of gRPC is not defined");
                return Reply::new(503).into();
            };
            let asked = match given(&mut exchange.request).await {
                Ok(asked) => asked,
                Err(error) => return Reply::new(error.status()).into(),
            };
            let messages = match asked {
                Value::Array(many) if method.asks_many() => many,
                one => vec![one],
            };
            let mut body = Vec::new();
            for message in &messages {
                match method.input().encode(message) {
                    Ok(bytes) => body.extend_from_slice(&frame(0, &bytes)),
                    Err(why) => {
                        tracing::debug!(why, method = self.named, "a request is no message");
                        return Reply::new(400).into();
                    }
                }
            }
            if let Err(error) = self.rewrite(&mut exchange.request, body) {
                tracing::error!(%error, "a call of gRPC can't be written");
                return Reply::new(500).into();
            }
            exchange.slot::<_, Progress>(self).called = true;
            Flow::Continue
        }
        .boxed_local()
    }

    fn rewrite(&self, request: &mut Request, body: Vec<u8>) -> Result<(), usher_http1::head::BadField> {
        let head = &mut request.head;
        head.set_method("POST")?;
        // They speak of the body as the client sent it, or ask for codings that nobody here reads.
        for gone in
            ["content-encoding", "content-digest", "accept-encoding", "grpc-encoding", "grpc-accept-encoding"]
        {
            head.remove(gone);
        }
        head.set("Content-Type", "application/grpc")?;
        match &self.timeout {
            Some(timeout) => head.set("grpc-timeout", timeout)?,
            None => drop(head.remove("grpc-timeout")),
        }
        request.set_path(&self.path);
        request.set_query(None);
        request.body = Body::Full(body.into());
        Ok(())
    }

    fn head(&self, exchange: &mut Exchange) -> Flow {
        let by_upstream = exchange.answered_by == AnsweredBy::Upstream;
        let called = exchange.existing_slot::<_, Progress>(self).is_some_and(|progress| progress.called);
        if !called || !by_upstream || exchange.answer.status() >= 300 {
            return Flow::Continue;
        }
        let answer = &mut exchange.answer;
        forget_old_body(answer);
        let fields =
            [("Content-Type", "application/json"), ("Trailer", "grpc-status"), ("Trailer", "grpc-message")];
        answer.remove("content-type");
        for (name, value) in fields {
            if let Err(error) = answer.append(name, value) {
                tracing::debug!(%error, "left out a field of an answer");
            }
        }
        let failed = answer.get_str("grpc-status").filter(|code| *code != "0").map(failure::status);
        if let Some(status) = failed {
            answer.set_status(status);
            exchange.slot::<_, Progress>(self).failed = true;
        }
        Flow::Continue
    }

    fn body(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        let by_upstream = exchange.answered_by == AnsweredBy::Upstream;
        let Progress { called, failed } = std::mem::take(exchange.existing_slot::<_, Progress>(self)?);
        let method = self.method.as_ref().filter(|_| called && by_upstream)?;
        if failed {
            let told =
                self.shows_status.then(|| failure::body(&exchange.answer, self.detail.as_ref(), self.style));
            let told = told.flatten().unwrap_or_default();
            return Some(Box::new(Held::new(self.max_answer_bytes, move |_, _| Ok(told.into()))));
        }
        if exchange.answer.status() >= 300 {
            return None;
        }
        Some(if method.answers_many() {
            Box::new(Many::new(method.output(), self.style, self.max_answer_bytes))
        } else {
            Box::new(One::new(method.output(), self.style, self.max_answer_bytes))
        })
    }
}

/// What the client gave: a JSON body, a form, or the arguments.
async fn given(request: &mut Request) -> Result<Value, BodyError> {
    let method = request.method();
    let has_json = request.head.get_str("content-type").is_some_and(|kind| kind.contains("application/json"));
    let may_have_json = has_json && matches!(method, "POST" | "PUT" | "PATCH");
    let is_post = method == "POST";
    if may_have_json || is_post {
        let body = request.body.read_whole(MAX_BODY_BYTES).await?;
        if may_have_json && let Ok(value) = serde_json::from_slice::<Value>(&body) {
            return match is_deeper(&value, DEEPEST) {
                true => Err(BodyError::Malformed("it is nested too deeply")),
                false => Ok(value),
            };
        }
        if is_post {
            let text = String::from_utf8_lossy(&body);
            return Ok(Value::Object(form::table(&text, MOST_ARGUMENTS)));
        }
    }
    Ok(Value::Object(form::table(request.query().unwrap_or_default(), MOST_ARGUMENTS)))
}

fn is_deeper(value: &Value, most: usize) -> bool {
    match value {
        _ if most == 0 => true,
        Value::Array(many) => many.iter().any(|one| is_deeper(one, most - 1)),
        Value::Object(members) => members.values().any(|one| is_deeper(one, most - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
