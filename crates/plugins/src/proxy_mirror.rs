//! `proxy-mirror` sends a copy of requests to another server, whose answers nobody reads.
//!
//! A copy never holds up its request: it is made of the body as that passes, and sent behind it. A body that is large, or more copies than can be
//! under way, means that there is no copy, and a word in the log.
//!
//! Example: `{"host": "http://127.0.0.1:1982", "path": "/shadow", "path_concat_mode": "prefix", "sample_ratio": 0.5}`

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_http1::head::Head;
use usher_pipeline::body::{Body, BodyError, BodyOut, BodyStep};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::{Call, Worker};

use crate::addresses;

/// `proxy-mirror`.
pub(crate) static PLUGIN: Spec = Spec::of::<ProxyMirror>();

/// Sends a copy of requests to another server.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The other server: `http://` or `https://`, host, and a port where it isn't the usual one.
    #[schemars(regex(pattern = r"^https?:\/\/([a-zA-Z0-9-_.]+|\[[0-9a-fA-F:]+\])(:\d+)?$"))]
    host: String,
    /// A path for the copies, as `path_concat_mode` says; the request's own by default. The query stays the request's.
    #[schemars(regex(pattern = "^/[^?&]+$"))]
    path: Option<String>,
    /// `replace`: copies go to `path`. `prefix`: they go to `path` and the request's own path behind it.
    #[serde(default)]
    path_concat_mode: Concat,
    /// The share of requests that are copied, 0.00001 to 1.
    #[serde(default = "all")]
    #[schemars(range(min = 0.00001, max = 1))]
    sample_ratio: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Concat {
    #[default]
    Replace,
    Prefix,
}

const fn all() -> f64 {
    1.0
}

struct ProxyMirror {
    host: String,
    path: Option<String>,
    concat: Concat,
    ratio: f64,
    held: Arc<Held>,
}

/// Bytes of bodies that copies hold.
#[derive(Default)]
struct Held(AtomicUsize);

/// The largest body that is copied, in bytes.
const MOST: usize = 1 << 20;
/// Bytes of bodies that all copies of a process hold together.
const BUDGET: usize = 64 << 20;
/// For a whole copy.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Answers are thrown away; larger ones are not even read.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

impl Plugin for ProxyMirror {
    const NAME: &'static str = "proxy-mirror";
    const PRIORITY: i32 = 1010;
    const PHASES: Phases<Self> = Phases { request_body: Some(Self::copy), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        addresses::check_url("host", &config.host, env)?;
        Ok(Self {
            host: config.host,
            path: config.path,
            concat: config.path_concat_mode,
            ratio: config.sample_ratio,
            held: env.process().permanent("proxy-mirror", Held::default),
        })
    }
}

impl ProxyMirror {
    fn copy(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        if self.ratio < 1.0 && fastrand::f64() >= self.ratio {
            return None;
        }
        let mut copy = Copy {
            call: Some(self.call(exchange)),
            worker: Rc::clone(exchange.worker()),
            bytes: Vec::new(),
            held: Holding { held: Arc::clone(&self.held), bytes: 0 },
        };
        match &exchange.request.body {
            Body::Empty => copy.send(),
            Body::Full(bytes) => {
                copy.take(bytes);
                copy.send();
            }
            Body::Stream(_) => return Some(Box::new(copy)),
        }
        None
    }

    fn call(&self, exchange: &Exchange) -> Call {
        let request = &exchange.request;
        let path = match (&self.path, self.concat) {
            (None, _) => request.sent_path().to_owned(),
            (Some(path), Concat::Replace) => path.clone(),
            (Some(path), Concat::Prefix) => format!("{}{}", path.trim_end_matches('/'), request.sent_path()),
        };
        let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut fields = request.head.clone();
        fields.drop_hop_by_hop();
        for framing in ["content-length", "transfer-encoding", "expect"] {
            fields.remove(framing);
        }
        Call {
            method: request.method().to_owned(),
            url: format!("{}{path}{query}", self.host),
            fields,
            body: Bytes::new(),
            timeout: TIMEOUT,
            verify: false,
            max_answer_bytes: MAX_ANSWER_BYTES,
        }
    }
}

/// A copy that is being made.
struct Copy {
    /// Gone once it was sent, or given up.
    call: Option<Call>,
    worker: Rc<dyn Worker>,
    bytes: Vec<u8>,
    held: Holding,
}

/// A copy's part of the budget.
struct Holding {
    held: Arc<Held>,
    bytes: usize,
}

impl Holding {
    fn take(&mut self, bytes: usize) -> bool {
        let before = self.held.0.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        before.saturating_add(bytes) <= BUDGET
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Copy {
    fn take(&mut self, bytes: &[u8]) {
        if self.call.is_none() {
            return;
        }
        if self.bytes.len() + bytes.len() > MOST || !self.held.take(bytes.len()) {
            tracing::warn!("a request is not mirrored: its body is too large, or too many are under way");
            self.call = None;
            self.bytes = Vec::new();
            return;
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn send(&mut self) {
        let Some(mut call) = self.call.take() else { return };
        call.body = std::mem::take(&mut self.bytes).into();
        let free = Holding { held: Arc::clone(&self.held.held), bytes: 0 };
        let held = std::mem::replace(&mut self.held, free);
        let worker = Rc::clone(&self.worker);
        let task = async move {
            let _held = held;
            if let Err(error) = worker.fetch(call).await {
                tracing::debug!(%error, "a mirrored request failed");
            }
        };
        if !self.worker.spawn(task.boxed_local()) {
            tracing::warn!("a request is not mirrored: the worker has too many tasks");
        }
    }
}

impl BodyStep for Copy {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        self.take(&bytes);
        out.push(bytes);
        Ok(())
    }

    fn end(&mut self, _: &mut Head, _: &mut BodyOut) -> Result<(), BodyError> {
        self.send();
        Ok(())
    }

    fn keeps_length(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_http1::head::Head;
    use usher_pipeline::harness::{Harness, harness, try_harness};
    use usher_pipeline::worker::Answer;

    use super::{MOST, PLUGIN};

    fn bench(more: Value) -> Harness {
        let mut body = json!({ "host": "http://127.0.0.1:1982" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        harness(&PLUGIN, body)
            .fetches(|_| Ok(Answer { head: Head::response(500), body: bytes::Bytes::new() }))
    }

    #[test]
    fn copies_go_where_they_are_sent() {
        for (more, wanted) in [
            (json!({}), "http://127.0.0.1:1982/a?b=c"),
            (json!({ "path": "/x" }), "http://127.0.0.1:1982/x?b=c"),
            (json!({ "path": "/x/", "path_concat_mode": "prefix" }), "http://127.0.0.1:1982/x/a?b=c"),
        ] {
            let mut bench = bench(more);
            let fields = [("X-A", "1"), ("Connection", "X-Drop"), ("X-Drop", "1")];
            let outcome = bench.send("PUT", "/a?b=c", &fields, "body");
            assert_eq!(outcome.expect_status(200).seen().body, "body");
            let calls = bench.worker().calls();
            let call = &calls[0];
            assert_eq!((call.method.as_str(), call.url.as_str(), calls.len()), ("PUT", wanted, 1));
            assert_eq!((call.body.as_ref(), call.fields.get_str("X-A")), (b"body".as_slice(), Some("1")));
            assert!(!call.fields.contains("X-Drop") && call.fields.get_str("Host") == Some("a.test"));
        }
    }

    #[test]
    fn only_a_share_is_copied_and_large_bodies_are_not() {
        let mut some = bench(json!({ "sample_ratio": 0.5 }));
        for _ in 0..400 {
            some.get("/").expect_status(200);
        }
        assert!((120..280).contains(&some.worker().calls().len()));
        let mut large = bench(json!({}));
        large.send("POST", "/", &[], vec![b'x'; MOST + 1]).expect_status(200);
        assert!(large.worker().calls().is_empty());
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({ "host": "127.0.0.1:80" }), "property \"host\" validation failed"),
            (json!({ "host": "http://a.test/path" }), "property \"host\" validation failed"),
            (json!({ "host": "http://127.0.0.1::80" }), "property \"host\" validation failed"),
            (json!({ "host": "http://a.test", "path": "x" }), "property \"path\" validation failed"),
            (
                json!({ "host": "http://a.test", "sample_ratio": 0 }),
                "property \"sample_ratio\" validation failed",
            ),
            (json!({ "host": "http://a.test", "path_concat_mode": "x" }), "matches none of the enum values"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
