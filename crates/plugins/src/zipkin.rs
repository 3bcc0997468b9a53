//! `zipkin` tells a Zipkin collector how long requests took, and passes on the trace that they belong to (B3 propagation).
//!
//! A trace that came with the request goes on; other requests begin one of their own, and `sample_ratio` of them are told of. Headers that can't
//! be a trace are answered 400, so that no collector is fed nonsense.
//!
//! Example: `{"endpoint": "http://127.0.0.1:9411/api/v2/spans", "sample_ratio": 1, "service_name": "front-door"}`

mod context;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::{Call, Worker};

use crate::addresses;
use crate::logs::{Batch, BatchSettings, Line, Sending, Sink, hand_over, together};
use context::Context;

/// `zipkin`.
pub(crate) static PLUGIN: Spec = Spec::of::<Zipkin>();

/// Tells a Zipkin collector how long requests took.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The collector, such as `http://127.0.0.1:9411/api/v2/spans`.
    endpoint: String,
    /// The share of requests without a trace of their own that are told of, 0.00001 to 1.
    #[schemars(range(min = 0.00001, max = 1))]
    sample_ratio: f64,
    /// The name that the gateway has in traces.
    #[serde(default = "name")]
    service_name: String,
    /// The gateway's IPv4 address in traces.
    #[schemars(regex(pattern = r"^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$"))]
    server_addr: Option<String>,
    /// `1` tells of the request and of its time at the upstream under the names of older versions; `2` under `apisix.request`, `apisix.proxy`.
    #[serde(default = "version")]
    #[schemars(extend("enum" = [1, 2]))]
    span_version: u8,
}

fn name() -> String {
    "APISIX".to_owned()
}

const fn version() -> u8 {
    2
}

struct Zipkin {
    ratio: f64,
    service: String,
    address: Option<String>,
    names: [&'static str; 2],
    batch: Arc<Batch<Collector>>,
}

struct Collector(String);

/// Spans that may wait for one use of the plugin.
const MOST_WAITING: u64 = 8192;
/// The largest answer that is read: only its status counts.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// The longest value of a tag, in bytes.
const LONGEST: usize = 2048;

/// The trace of one request.
#[derive(Default)]
struct Traced(Option<Context>);

impl Plugin for Zipkin {
    const NAME: &'static str = "zipkin";
    const PRIORITY: i32 = 12011;
    const PHASES: Phases<Self> =
        Phases { rewrite: Some(Hook::Now(Self::begin)), log: Some(Self::end), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        addresses::check_url("endpoint", &config.endpoint, env)?;
        let settings = BatchSettings { inactive_timeout: 1, buffer_duration: 3, ..BatchSettings::at_once() };
        let batch = Batch::kept(env, &env.own_key(), Collector(config.endpoint), settings, MOST_WAITING);
        Ok(Self {
            ratio: config.sample_ratio,
            service: config.service_name,
            address: config.server_addr,
            names: if config.span_version == 1 {
                ["apisix.request", "apisix.request.proxy"]
            } else {
                ["apisix.request", "apisix.proxy"]
            },
            batch,
        })
    }
}

impl Zipkin {
    fn begin(&self, exchange: &mut Exchange) -> Flow {
        let context = match Context::read(&exchange.request.head) {
            Ok(context) => context,
            Err(why) => {
                tracing::debug!(why, "refused a request with a trace that is none");
                return Reply::new(400).into();
            }
        };
        let context = context.enter(|| fastrand::f64() < self.ratio);
        context.write(&mut exchange.request.head);
        exchange.set_variable("zipkin_trace_id", context.trace.clone());
        exchange.set_variable("zipkin_span_id", context.span.clone());
        exchange.slot::<_, Traced>(self).0 = Some(context);
        Flow::Continue
    }

    fn end(&self, exchange: &mut Exchange) {
        let Some(Traced(context)) = exchange.existing_slot::<_, Traced>(self) else { return };
        let Some(context) = context.take().filter(|context| context.sampled) else { return };
        let worker = Rc::clone(exchange.worker());
        for span in self.spans(exchange, &context) {
            let line = Line { text: span.to_string(), at_ms: worker.unix_ms(), more: None };
            Batch::add(&self.batch, &worker, line);
        }
    }

    /// The request, and its time at the upstream where it got there.
    fn spans(&self, exchange: &Exchange, context: &Context) -> Vec<Value> {
        let (times, now) = (&exchange.times, exchange.worker().now());
        let whole = now.saturating_duration_since(times.start);
        let started_us = exchange.worker().unix_ms().saturating_mul(1000).saturating_sub(micros(whole));
        let mut local = Map::new();
        local.insert("serviceName".to_owned(), self.service.as_str().into());
        if let Some(address) = &self.address {
            local.insert("ipv4".to_owned(), address.as_str().into());
        }
        local.insert("port".to_owned(), exchange.server.port().into());
        let client = exchange.client.ip().to_canonical();
        let family = if client.is_ipv4() { "ipv4" } else { "ipv6" };
        let cut = |text: &str| {
            String::from_utf8_lossy(text.as_bytes().get(..LONGEST).unwrap_or(text.as_bytes())).into_owned()
        };
        let mut request = json!({
            "traceId": context.trace, "id": context.span, "kind": "SERVER", "name": self.names[0],
            "timestamp": started_us, "duration": micros(whole).max(1),
            "localEndpoint": local, "remoteEndpoint": { family: client.to_string(), "port": exchange.client.port() },
            "tags": {
                "component": "apisix",
                "span.kind": "server",
                "http.method": exchange.request.method(),
                "http.url": cut(exchange.request.original_path()),
                "http.status_code": exchange.answer.status().to_string(),
                "peer.port": exchange.client.port().to_string(),
            },
        });
        if let (Some(parent), Some(members)) = (&context.parent, request.as_object_mut()) {
            members.insert("parentId".to_owned(), parent.as_str().into());
        }
        let mut spans = vec![request];
        if let Some(begun) = times.upstream_start {
            let offset = micros(begun.saturating_duration_since(times.start));
            let taken = times.upstream_end.unwrap_or(now).saturating_duration_since(begun);
            spans.push(json!({
                "traceId": context.trace, "id": context.below, "parentId": context.span, "kind": "CLIENT", "name": self.names[1],
                "timestamp": started_us.saturating_add(offset), "duration": micros(taken).max(1), "localEndpoint": local,
                "tags": {
                    "component": "apisix",
                    "upstream": exchange.upstream.address.map(|address| address.to_string()).unwrap_or_default(),
                },
            }));
        }
        spans
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Sink for Collector {
    const NAME: &'static str = "zipkin";
    const BATCH: &'static str = "zipkin_report";

    fn send<'a>(&'a self, worker: &'a Rc<dyn Worker>, lines: &'a [Line]) -> Sending<'a> {
        async move {
            let mut fields = Head::empty();
            fields.set("Content-Type", "application/json").map_err(|error| error.to_string())?;
            let call = Call {
                method: "POST".to_owned(),
                url: self.0.clone(),
                fields,
                body: together(lines, "[", ",", "]").into(),
                timeout: Duration::from_secs(5),
                verify: true,
                max_answer_bytes: MAX_ANSWER_BYTES,
            };
            hand_over(worker, call, "the collector").await
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use usher_http1::head::Head;
    use usher_pipeline::harness::{Clock, Harness, harness, try_harness};
    use usher_pipeline::worker::Answer;

    use super::PLUGIN;

    fn bench(more: Value) -> Harness {
        let mut body = json!({ "endpoint": "http://127.0.0.1:9411/api/v2/spans", "sample_ratio": 1 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        harness(&PLUGIN, body)
            .on_runtime(Clock::Paused)
            .fetches(|_| Ok(Answer { head: Head::response(202), body: bytes::Bytes::new() }))
    }

    fn spans(bench: &Harness) -> Vec<Value> {
        bench.pass(Duration::from_secs(5));
        let calls = bench.worker().calls();
        calls.iter().flat_map(|call| serde_json::from_slice::<Vec<Value>>(&call.body).unwrap()).collect()
    }

    #[test]
    fn a_trace_that_came_goes_on() {
        let (trace, span) = ("80f198ee56343ba864fe8b2a57d3eff7", "e457b5a2e4d86bd1");
        let separate = [("X-B3-TraceId", trace), ("X-B3-SpanId", span), ("X-B3-Sampled", "1")];
        let single = format!("{trace}-{span}-1-05e3ac9a4f6e3b90");
        let single = [("b3", single.as_str())];
        for fields in [separate.as_slice(), single.as_slice()] {
            let mut bench = bench(json!({ "service_name": "door", "server_addr": "10.0.0.1" }));
            let outcome = bench.send("GET", "/a?b", fields, "");
            let head = &outcome.expect_status(200).seen().head;
            assert_eq!(
                (head.get_str("x-b3-traceid"), head.get_str("x-b3-sampled")),
                (Some(trace), Some("1"))
            );
            let told = spans(&bench);
            assert_eq!(told.len(), 1, "the bench's upstream has no times");
            assert_eq!((&told[0]["traceId"], &told[0]["parentId"]), (&json!(trace), &json!(span)));
            assert_eq!(
                told[0]["localEndpoint"],
                json!({ "serviceName": "door", "ipv4": "10.0.0.1", "port": 9080 })
            );
            assert_eq!(told[0]["tags"]["http.status_code"], "200");
            assert_eq!(head.get_str("x-b3-parentspanid"), told[0]["id"].as_str());
        }
    }

    #[test]
    fn a_request_without_a_trace_begins_one_and_a_share_is_told_of() {
        let mut bench = bench(json!({ "sample_ratio": 0.5 }));
        let mut sampled = 0;
        for _ in 0..200 {
            let outcome = bench.get("/");
            let head = &outcome.seen().head;
            assert_eq!(head.get_str("x-b3-traceid").unwrap().len(), 32);
            sampled += usize::from(head.get_str("x-b3-sampled") == Some("1"));
        }
        assert!((60..140).contains(&sampled), "{sampled}");
        assert_eq!(spans(&bench).len(), sampled);
    }

    #[test]
    fn what_a_caller_says_of_sampling_is_handed_on_and_what_is_no_trace_is_refused() {
        let mut bench = bench(json!({}));
        for fields in [[("b3", "0")], [("x-b3-sampled", "0")], [("x-b3-sampled", "false")]] {
            let outcome = bench.send("GET", "/", &fields, "");
            assert_eq!(outcome.expect_status(200).seen().head.get_str("x-b3-sampled"), Some("0"));
        }
        assert!(spans(&bench).is_empty());
        for (fields, flags) in
            [([("b3", "d")], Some("1")), ([("x-b3-flags", "1")], Some("1")), ([("b3", "1")], None)]
        {
            let outcome = bench.send("GET", "/", &fields, "");
            let head = &outcome.expect_status(200).seen().head;
            assert_eq!((head.get_str("x-b3-sampled"), head.get_str("x-b3-flags")), (Some("1"), flags));
        }
        for fields in [
            [("b3", "nonsense")],
            [("b3", "80f198ee56343ba864fe8b2a57d3eff7-x-1")],
            [("x-b3-traceid", "xyz")],
            [("x-b3-traceid", "80f198ee56343ba8")],
            [("x-b3-sampled", "maybe")],
        ] {
            let outcome = bench.send("GET", "/", &fields, "");
            assert!(outcome.expect_status(400).upstream.is_none(), "{fields:?}");
        }
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({ "sample_ratio": 1 }), "property \"endpoint\" is required"),
            (json!({ "endpoint": "http://a.test" }), "property \"sample_ratio\" is required"),
            (
                json!({ "endpoint": "http://a.test", "sample_ratio": 2 }),
                "property \"sample_ratio\" validation failed",
            ),
            (json!({ "endpoint": "a.test", "sample_ratio": 1 }), "property \"endpoint\" validation failed"),
            (
                json!({ "endpoint": "http://a.test", "sample_ratio": 1, "span_version": 3 }),
                "matches none of the enum values",
            ),
            (
                json!({ "endpoint": "http://a.test", "sample_ratio": 1, "server_addr": "x" }),
                "property \"server_addr\" validation failed",
            ),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
