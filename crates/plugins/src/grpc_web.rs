//! `grpc-web` lets browsers call gRPC services by the gRPC-Web protocol.
//!
//! The route's `uri` has to end in `*`: what stands there is the path of the call, such as `package.Service/Method`. The upstream has to have the
//! scheme `grpc` or `grpcs`. What the upstream says behind the answer (`grpc-status`, `grpc-message`) is the last frame of the body, which is where
//! clients of this protocol look for it.
//!
//! Example: `{"cors_allow_headers": "content-type,x-grpc-web,x-user-agent"}`

mod frames;

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_http1::head::Head;
use usher_pipeline::body::{Body, BodyStep};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::{AnsweredBy, Exchange};
use usher_pipeline::plugin::{BuildError, Called, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::schema::MAX_BODY_BYTES;
use frames::{Trailing, decoded};

/// `grpc-web`.
pub(crate) static PLUGIN: Spec = Spec::of::<GrpcWeb>();

/// Lets browsers call gRPC services.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The request fields that browsers may send from other sites, as in `Access-Control-Allow-Headers`.
    #[serde(default = "usual_headers")]
    cors_allow_headers: String,
}

fn usual_headers() -> String {
    "content-type,x-grpc-web,x-user-agent".to_owned()
}

struct GrpcWeb {
    allow_headers: String,
}

/// What became of this request.
#[derive(Default)]
struct Progress {
    /// The type that the client sent, and gets.
    kind: Option<&'static Kind>,
}

/// A type of the protocol.
struct Kind {
    name: &'static str,
    /// Whether bodies are in base64.
    is_text: bool,
}

const KINDS: [Kind; 4] = [
    Kind { name: "application/grpc-web", is_text: false },
    Kind { name: "application/grpc-web+proto", is_text: false },
    Kind { name: "application/grpc-web-text", is_text: true },
    Kind { name: "application/grpc-web-text+proto", is_text: true },
];

impl Plugin for GrpcWeb {
    const NAME: &'static str = "grpc-web";
    const PRIORITY: i32 = 505;
    const PHASES: Phases<Self> = Phases {
        access: Some(Hook::Either(Self::call)),
        header_filter: Some(Self::head),
        body_filter: Some(Self::body),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        Head::empty().set("Access-Control-Allow-Headers", &config.cors_allow_headers).map_err(|error| {
            BuildError::new(format!("property \"cors_allow_headers\" validation failed: {error}"))
        })?;
        Ok(Self { allow_headers: config.cors_allow_headers })
    }
}

impl GrpcWeb {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        let kind = match self.admitted(exchange) {
            Ok(kind) => kind,
            Err(status) => return Called::Now(Reply::new(status).into()),
        };
        exchange.slot::<_, Progress>(self).kind = Some(kind);
        if !kind.is_text {
            return Called::Now(Flow::Continue);
        }
        let read = async move {
            let body = exchange.request.body.read_whole(MAX_BODY_BYTES).await;
            match body.map(|body| decoded(&body)) {
                Ok(Some(body)) => exchange.request.body = Body::Full(body.into()),
                Ok(None) => return Reply::new(400).into(),
                Err(error) => return Reply::new(error.status()).into(),
            }
            Flow::Continue
        };
        Called::Later(read.boxed_local())
    }

    /// Makes a call of gRPC of the request's head, but for its body.
    ///
    /// # Errors
    /// The status of what it is answered with instead.
    fn admitted(&self, exchange: &mut Exchange) -> Result<&'static Kind, u16> {
        match exchange.request.method() {
            "POST" => {}
            "OPTIONS" => return Err(204),
            _ => return Err(405),
        }
        let kind = exchange.request.head.get_str("content-type").and_then(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            KINDS.iter().find(|known| known.name.eq_ignore_ascii_case(kind))
        });
        let Some(kind) = kind else {
            tracing::debug!("a request is no gRPC-Web: its content type is another");
            return Err(400);
        };
        let Some(path) = path(exchange) else {
            tracing::warn!("the uri of a route with grpc-web has to end in *");
            return Err(400);
        };
        exchange.request.set_path(&path);
        let head = &mut exchange.request.head;
        if kind.is_text {
            head.remove("content-length");
        }
        if let Err(error) = head.set("Content-Type", "application/grpc") {
            tracing::error!(%error, "a type can't be sent");
        }
        Ok(kind)
    }

    fn head(&self, exchange: &mut Exchange) -> Flow {
        let kind = exchange.existing_slot::<_, Progress>(self).and_then(|progress| progress.kind);
        let by_upstream = exchange.answered_by == AnsweredBy::Upstream;
        let is_options = exchange.request.method() == "OPTIONS";
        let answer = &mut exchange.answer;
        let mut set = |name: &str, value: &str| {
            if let Err(error) = answer.set(name, value) {
                tracing::debug!(%error, "left out a field of an answer");
            }
        };
        if is_options {
            set("Access-Control-Allow-Methods", "POST, OPTIONS");
            set("Access-Control-Allow-Headers", &self.allow_headers);
        }
        set("Access-Control-Expose-Headers", "grpc-status,grpc-message");
        if let Some(kind) = kind.filter(|_| by_upstream) {
            set("Content-Type", kind.name);
            answer.remove("content-length");
        }
        // The plugin `cors` says which sites may call, where the route has it.
        if !answer.contains("access-control-allow-origin")
            && let Err(error) = answer.set("Access-Control-Allow-Origin", "*")
        {
            tracing::debug!(%error, "left out a field of an answer");
        }
        Flow::Continue
    }

    fn body(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        let by_upstream = exchange.answered_by == AnsweredBy::Upstream;
        let kind = exchange.existing_slot::<_, Progress>(self)?.kind.filter(|_| by_upstream)?;
        Some(Box::new(Trailing { is_text: kind.is_text }))
    }
}

/// The path of the call: what stands for the `*` at the end of the pattern that the request came by. Where other parts of the pattern stand for
/// something too, it is the last two parts.
fn path(exchange: &Exchange) -> Option<String> {
    let pattern = exchange.route.as_ref().map(|route| std::sync::Arc::clone(&route.uri))?;
    let start = pattern.strip_suffix('*')?;
    let path = exchange.request.path();
    let rest = path.strip_prefix(start).filter(|_| !start.contains([':', '*']));
    let rest = rest.or_else(|| {
        let method = path.rfind('/')?;
        let service = path.get(..method)?.rfind('/')?;
        path.get(service..)
    })?;
    let rest = rest.trim_start_matches('/');
    (!rest.is_empty()).then(|| format!("/{rest}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;
    use usher_http1::head::Head;
    use usher_pipeline::body::Body;
    use usher_pipeline::harness::{Harness, harness, try_harness};
    use usher_pipeline::reply::Reply;

    use super::PLUGIN;
    use crate::grpc_frames::frame;

    fn bench() -> Harness {
        harness(&PLUGIN, json!({})).upstream(|_| {
            let mut head = Head::response(200);
            head.set("Content-Type", "application/grpc").unwrap();
            Reply { head, body: Body::Full(frame(0, b"answer")) }
        })
    }

    #[test]
    fn a_call_of_the_browser_becomes_one_of_grpc() {
        for (kind, sent) in [
            ("application/grpc-web", frame(0, b"ask")),
            ("application/grpc-web+proto; charset=x", frame(0, b"ask")),
            ("application/grpc-web-text", Bytes::from_static(b"AAAAAANhc2s=")),
            // Two pieces, each with its own end.
            ("application/grpc-web-text+proto", Bytes::from_static(b"AAAAAAM=YXNr")),
        ] {
            let outcome = bench().send("POST", "/hello.Greeter/Say", &[("Content-Type", kind)], sent);
            let seen = outcome.expect_status(200).seen();
            assert_eq!(seen.target, "/hello.Greeter/Say");
            assert_eq!(seen.body, frame(0, b"ask"), "{kind}");
            assert_eq!(seen.head.get_str("content-type"), Some("application/grpc"));
            assert_eq!(outcome.field("content-type"), kind.split(';').next());
            assert_eq!(outcome.field("access-control-allow-origin"), Some("*"));
            assert_eq!(outcome.field("access-control-expose-headers"), Some("grpc-status,grpc-message"));
            if !kind.contains("text") {
                assert_eq!(outcome.body, frame(0, b"answer"));
            }
        }
    }

    #[test]
    fn what_is_no_grpc_web_is_refused() {
        let kind = [("Content-Type", "application/grpc-web")];
        let text = [("Content-Type", "application/grpc-web-text")];
        for (method, fields, body, status) in [
            ("OPTIONS", &[][..], "", 204),
            ("GET", &kind, "", 405),
            ("PUT", &kind, "x", 405),
            ("POST", &[("Content-Type", "application/json")], "{}", 400),
            ("POST", &[], "x", 400),
            ("POST", &text, "*****", 400),
            ("POST", &text, "AAA", 400),
        ] {
            let outcome = bench().send(method, "/hello.Greeter/Say", fields, body);
            assert!(outcome.expect_status(status).upstream.is_none(), "{method} {body}");
            assert_eq!(outcome.field("access-control-allow-origin"), Some("*"));
        }
        let outcome = bench().send("OPTIONS", "/a/b", &[], "");
        assert_eq!(outcome.field("access-control-allow-methods"), Some("POST, OPTIONS"));
        assert_eq!(
            outcome.field("access-control-allow-headers"),
            Some("content-type,x-grpc-web,x-user-agent")
        );
        bench().send("POST", "/", &kind, "x").expect_status(400);
    }

    #[test]
    fn refuses_a_list_of_headers_that_is_none() {
        let error = try_harness(&PLUGIN, json!({ "cors_allow_headers": "a\r\nb" })).err().unwrap();
        assert!(error.message.contains("property \"cors_allow_headers\" validation failed"), "{error}");
    }
}
