//! `loki-logger` sends a line of each request to Grafana Loki.
//!
//! Example: `{"endpoint_addrs": ["http://127.0.0.1:3100"], "tenant_id": "team", "log_labels": {"job": "usher", "host": "$host"}}`

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::{Call, Worker};

use crate::addresses;
use crate::field_edits::check_fields;
use crate::logs::{self, BatchSettings, Content, Line, Logger, Metadata, Sending, Sink, hand_over};
use crate::schema::{Keepalive, number};
use crate::text::Text;

/// `loki-logger`.
pub(crate) static PLUGIN: Spec = Spec::of::<LokiLogger>().metadata::<Metadata>();

/// Sends lines to Grafana Loki.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The servers: `http://` or `https://`, host, port. A batch goes to one of them at random.
    #[schemars(length(min = 1))]
    endpoint_addrs: Vec<String>,
    /// The path that lines are pushed to.
    #[serde(default = "push")]
    #[schemars(length(min = 1))]
    endpoint_uri: String,
    /// Loki's tenant, sent as `X-Scope-OrgID`.
    #[serde(default = "fake")]
    tenant_id: String,
    /// The labels of lines; values are texts with variables. Few values make few streams, which Loki likes.
    #[serde(default = "job")]
    #[schemars(schema_with = "labels")]
    log_labels: BTreeMap<String, String>,
    /// Further header fields of calls.
    headers: Option<BTreeMap<String, String>>,
    /// Milliseconds for a whole call, 1 to 60000.
    #[serde(default = "number::<3000>")]
    #[schemars(range(min = 1, max = 60000))]
    timeout: u64,
    #[serde(flatten)]
    #[expect(dead_code, reason = "the worker's pool decides")]
    keepalive: Keepalive,
    /// Whether an https server's certificate is verified.
    #[serde(default)]
    ssl_verify: bool,
    #[serde(flatten)]
    content: Content,
    #[serde(flatten)]
    batch: BatchSettings,
}

fn push() -> String {
    "/loki/api/v1/push".to_owned()
}

fn fake() -> String {
    "fake".to_owned()
}

fn job() -> BTreeMap<String, String> {
    BTreeMap::from([("job".to_owned(), "apisix".to_owned())])
}

fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "patternProperties": { ".*": { "type": "string", "minLength": 1 } } })
}

struct LokiLogger {
    logger: Logger<Servers>,
    labels: Vec<Label>,
}

struct Label {
    name: String,
    text: Text,
    /// As it is written, which is its value where none of its variables has one (APISIX's `resolve_var`): a stream needs a label.
    written: String,
}

struct Servers {
    urls: Vec<String>,
    fields: Head,
    timeout: Duration,
    verify: bool,
}

/// The largest answer that is read: only its status counts.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// The longest value of a label, in bytes.
const LONGEST_LABEL: usize = 1024;

impl Plugin for LokiLogger {
    const NAME: &'static str = "loki-logger";
    const PRIORITY: i32 = 414;
    const PHASES: Phases<Self> = logs::phases!();
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let mut urls = Vec::new();
        for address in &config.endpoint_addrs {
            addresses::check_url("endpoint_addrs", address, env)?;
            urls.push(format!("{}{}", address.trim_end_matches('/'), config.endpoint_uri));
        }
        check_fields("headers", config.headers.as_ref().map_or(0, BTreeMap::len))?;
        let mut fields = Head::empty();
        let own = [("Content-Type", "application/json"), ("X-Scope-OrgID", config.tenant_id.as_str())];
        let further = config.headers.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
        // The tenant and what the body is are not for `headers` to say.
        for (name, value) in further.chain(own) {
            fields.set(name, value).map_err(|error| {
                BuildError::new(format!("property \"headers\" validation failed: {name:?}: {error}"))
            })?;
        }
        let servers = Servers {
            urls,
            fields,
            timeout: Duration::from_millis(config.timeout),
            verify: config.ssl_verify,
        };
        let metadata = env.metadata::<Metadata>()?.unwrap_or_default();
        Ok(Self {
            labels: config.log_labels.into_iter().map(Label::new).collect(),
            logger: Logger::new(&config.content, config.batch, &metadata, env, servers)?,
        })
    }
}

impl Label {
    fn new((name, written): (String, String)) -> Self {
        Self { name, text: Text::parse(&written), written }
    }
}

impl LokiLogger {
    fn log(&self, exchange: &mut Exchange) {
        let label = |Label { name, text, written }: &Label| {
            let value = match text {
                Text::Constant(_) => text.render(exchange),
                Text::Varying(_) => {
                    text.render_resolved(exchange).unwrap_or_else(|| written.as_bytes().into())
                }
            };
            let value = String::from_utf8_lossy(value.get(..LONGEST_LABEL).unwrap_or(&value)).into_owned();
            (name.clone(), Value::from(value))
        };
        let labels: Map<String, Value> = self.labels.iter().map(label).collect();
        self.logger.log_since_start(exchange, Some(Value::Object(labels).to_string()));
    }
}

impl Sink for Servers {
    const NAME: &'static str = "loki-logger";
    const BATCH: &'static str = "loki logger";

    fn send<'a>(&'a self, worker: &'a Rc<dyn Worker>, lines: &'a [Line]) -> Sending<'a> {
        async move {
            let call = Call {
                method: "POST".to_owned(),
                url: fastrand::choice(&self.urls).cloned().unwrap_or_default(),
                fields: self.fields.clone(),
                body: pushed(lines).into(),
                timeout: self.timeout,
                verify: self.verify,
                max_answer_bytes: MAX_ANSWER_BYTES,
            };
            hand_over(worker, call, "loki").await
        }
        .boxed_local()
    }
}

/// Lines by their labels, as Loki takes them: times in nanoseconds, as texts.
fn pushed(lines: &[Line]) -> String {
    let mut streams: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for line in lines {
        let at = format!("{}000000", line.at_ms);
        streams.entry(line.more.as_deref().unwrap_or("{}")).or_default().push(json!([at, line.text]));
    }
    let streams: Vec<Value> = streams
        .into_iter()
        .map(|(labels, values)| {
            let labels: Value = serde_json::from_str(labels).unwrap_or_default();
            json!({ "stream": labels, "values": values })
        })
        .collect();
    json!({ "streams": streams }).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use usher_http1::head::Head;
    use usher_pipeline::harness::{Clock, harness, try_harness};
    use usher_pipeline::reply::Reply;
    use usher_pipeline::worker::Answer;

    use super::PLUGIN;

    #[test]
    fn lines_are_pushed_by_their_labels() {
        let body = json!({
            "endpoint_addrs": ["http://127.0.0.1:3100/"], "tenant_id": "team", "headers": { "X-A": "b", "x-scope-orgid": "other" }, "batch_max_size": 3,
            "log_labels": { "job": "usher", "who": "$arg_who" }, "log_format": { "uri": "$uri" },
        });
        let mut bench = harness(&PLUGIN, body)
            .on_runtime(Clock::Paused)
            .fetches(|_| Ok(Answer { head: Head::response(204), body: bytes::Bytes::new() }));
        for target in ["/1?who=a", "/2?who=b", "/3?who=a"] {
            bench.get(target).expect_status(200);
        }
        bench.pass(Duration::from_millis(1));
        let call = &bench.worker().calls()[0];
        assert_eq!(call.url, "http://127.0.0.1:3100/loki/api/v1/push");
        assert_eq!(
            (call.fields.get_str("X-Scope-OrgID"), call.fields.get_str("X-A")),
            (Some("team"), Some("b"))
        );
        let said: Value = serde_json::from_slice(&call.body).unwrap();
        let streams = said["streams"].as_array().unwrap();
        assert_eq!(streams[0]["stream"], json!({ "job": "usher", "who": "a" }));
        assert_eq!(streams[0]["values"][0][0], "1800000000000000000");
        let line: Value = serde_json::from_str(streams[0]["values"][1][1].as_str().unwrap()).unwrap();
        assert_eq!((line["uri"].as_str(), streams[1]["values"].as_array().unwrap().len()), (Some("/3"), 1));
    }

    #[test]
    fn a_line_has_the_time_of_its_request_s_start_and_a_label_always_a_value() {
        let body = json!({
            "endpoint_addrs": ["http://127.0.0.1:3100"], "batch_max_size": 1,
            "log_labels": { "a": "$arg_none", "b": "x$arg_none-$uri", "c": "\\$5" },
        });
        let mut bench = harness(&PLUGIN, body)
            .on_runtime(Clock::Paused)
            .fetches(|_| Ok(Answer { head: Head::response(204), body: bytes::Bytes::new() }))
            .upstream(|exchange| {
                exchange.times.start -= Duration::from_millis(1500);
                Reply::new(204)
            });
        bench.get("/1").expect_status(204);
        bench.pass(Duration::from_millis(1));
        let said: Value = serde_json::from_slice(&bench.worker().calls()[0].body).unwrap();
        let stream = &said["streams"][0];
        assert_eq!(stream["stream"], json!({ "a": "$arg_none", "b": "x-/1", "c": "$5" }));
        assert_eq!(stream["values"][0][0], "1799999998500000000");
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({ "endpoint_addrs": ["a.test"] }), "property \"endpoint_addrs\" validation failed"),
            (
                json!({ "endpoint_addrs": ["http://a.test"], "timeout": 60001 }),
                "expected 60001 to be at most 60000",
            ),
            (
                json!({ "endpoint_addrs": ["http://a.test"], "headers": { "a b": "c" } }),
                "property \"headers\" validation failed",
            ),
            (json!({ "endpoint_addrs": ["http://a.test"], "log_labels": { "a": 1 } }), "log_labels"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
