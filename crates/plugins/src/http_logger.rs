//! `http-logger` sends a line of each request to an HTTP server, many in one call.
//!
//! Example: `{"uri": "http://127.0.0.1:9200/lines", "auth_header": "Basic dXNlcjpwYXNz", "batch_max_size": 100, "include_resp_body": true, "include_resp_body_expr": [["status", ">=", 500]]}`

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_http1::head::Head;
use usher_model::secret::Secret;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::{Call, Worker};

use crate::addresses;
use crate::logs::{self, BatchSettings, Content, Line, Logger, Metadata, Sending, Sink, together};
use crate::schema::number;

/// `http-logger`.
pub(crate) static PLUGIN: Spec = Spec::of::<HttpLogger>().metadata::<Metadata>();

/// Sends lines to an HTTP server.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The server: `http://` or `https://`, host, port, path.
    uri: String,
    /// What is sent as `Authorization`.
    auth_header: Option<Secret<String>>,
    /// Seconds for a whole call.
    #[serde(default = "number::<3>")]
    #[schemars(range(min = 1))]
    timeout: u64,
    /// How lines stand in a call. `json`: a list of objects, or one object where `batch_max_size` is 1. `new_line`: one below the other.
    #[serde(default)]
    concat_method: Concat,
    /// Whether an https server's certificate is verified.
    #[serde(default)]
    ssl_verify: bool,
    #[serde(flatten)]
    content: Content,
    #[serde(flatten)]
    batch: BatchSettings,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Concat {
    #[default]
    Json,
    NewLine,
}

struct HttpLogger {
    logger: Logger<Server>,
}

/// Where lines go.
struct Server {
    uri: String,
    authorization: Option<Secret<String>>,
    timeout: Duration,
    concat: Concat,
    verify: bool,
    single: bool,
}

/// The largest answer that is read: only its status counts.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

impl Plugin for HttpLogger {
    const NAME: &'static str = "http-logger";
    const PRIORITY: i32 = 410;
    const PHASES: Phases<Self> = logs::phases!();
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        addresses::check_url("uri", &config.uri, env)?;
        if let Some(value) = &config.auth_header
            && Head::empty().set("Authorization", value.expose()).is_err()
        {
            return Err(BuildError::new(
                "property \"auth_header\" validation failed: it can't be sent in a header",
            ));
        }
        let server = Server {
            uri: config.uri,
            authorization: config.auth_header,
            timeout: Duration::from_secs(config.timeout),
            concat: config.concat_method,
            verify: config.ssl_verify,
            single: config.batch.batch_max_size == 1,
        };
        let metadata = env.metadata::<Metadata>()?.unwrap_or_default();
        Ok(Self { logger: Logger::new(&config.content, config.batch, &metadata, env, server)? })
    }
}

impl HttpLogger {
    fn log(&self, exchange: &mut Exchange) {
        self.logger.log(exchange, None);
    }
}

impl Sink for Server {
    const NAME: &'static str = "http-logger";
    const BATCH: &'static str = "http logger";

    fn send<'a>(&'a self, worker: &'a Rc<dyn Worker>, lines: &'a [Line]) -> Sending<'a> {
        async move {
            let (kind, body) = match (self.concat, lines) {
                (Concat::Json, [line]) if self.single => ("application/json", line.text.clone()),
                (Concat::Json, _) => ("application/json", together(lines, "[", ",", "]")),
                (Concat::NewLine, _) => ("text/plain", together(lines, "", "\n", "")),
            };
            let mut fields = Head::empty();
            let authorization =
                self.authorization.as_ref().map(|value| ("Authorization", value.expose().as_str()));
            for (name, value) in [("Content-Type", kind)].into_iter().chain(authorization) {
                fields.set(name, value).map_err(|error| error.to_string())?;
            }
            let call = Call {
                method: "POST".to_owned(),
                url: self.uri.clone(),
                fields,
                body: body.into(),
                timeout: self.timeout,
                verify: self.verify,
                max_answer_bytes: MAX_ANSWER_BYTES,
            };
            match worker.fetch(call).await {
                Ok(answer) if answer.head.status() >= 400 => {
                    Err(format!("the server answered {}", answer.head.status()))
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Map, Value, json};
    use usher_http1::head::Head;
    use usher_pipeline::harness::{Clock, Harness, harness, try_harness};
    use usher_pipeline::worker::Answer;

    use super::PLUGIN;

    fn bench(more: Value) -> Harness {
        let mut body = json!({ "uri": "http://127.0.0.1:9/lines", "batch_max_size": 2 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        harness(&PLUGIN, body).on_runtime(Clock::Paused)
    }

    fn answering(bench: Harness, status: u16) -> Harness {
        bench.fetches(move |_| Ok(Answer { head: Head::response(status), body: bytes::Bytes::new() }))
    }

    fn bodies(bench: &Harness) -> Vec<String> {
        bench.worker().calls().iter().map(|call| String::from_utf8(call.body.to_vec()).unwrap()).collect()
    }

    #[test]
    fn lines_leave_when_there_are_enough_or_when_they_have_waited() {
        let mut bench = answering(bench(json!({ "auth_header": "Bearer x" })), 200);
        for path in ["/a", "/b", "/c"] {
            bench.get(path).expect_status(200);
        }
        bench.pass(Duration::from_millis(1));
        let sent = bodies(&bench);
        assert_eq!(sent.len(), 1);
        let lines: Value = serde_json::from_str(&sent[0]).unwrap();
        assert_eq!((&lines[0]["request"]["uri"], &lines[1]["request"]["uri"]), (&json!("/a"), &json!("/b")));
        let call = &bench.worker().calls()[0];
        assert_eq!((call.method.as_str(), call.url.as_str()), ("POST", "http://127.0.0.1:9/lines"));
        assert_eq!(call.fields.get_str("Content-Type"), Some("application/json"));
        assert_eq!(call.fields.get_str("Authorization"), Some("Bearer x"));
        assert!(!call.verify);
        bench.pass(Duration::from_secs(4));
        assert_eq!(bodies(&bench).len(), 1);
        bench.pass(Duration::from_secs(2));
        assert_eq!(bodies(&bench).len(), 2);
        bench.pass(Duration::from_secs(100));
        assert_eq!(bodies(&bench).len(), 2);
    }

    #[test]
    fn the_first_line_waits_no_longer_than_it_may() {
        let mut bench = answering(bench(json!({ "batch_max_size": 1000, "buffer_duration": 10 })), 200);
        for _ in 0..4 {
            bench.get("/").expect_status(200);
            bench.pass(Duration::from_secs(3));
        }
        let lines: Value = serde_json::from_str(&bodies(&bench)[0]).unwrap();
        assert_eq!(lines.as_array().unwrap().len(), 4);
    }

    #[test]
    fn a_batch_that_failed_is_sent_again_as_often_as_asked() {
        for (retries, calls) in [(0, 1), (2, 3)] {
            let mut bench = answering(bench(json!({ "batch_max_size": 1, "max_retry_count": retries })), 500);
            bench.get("/").expect_status(200);
            bench.pass(Duration::from_secs(60));
            assert_eq!(bodies(&bench).len(), calls);
            assert!(bodies(&bench)[0].starts_with('{'), "a batch of one is an object");
        }
    }

    #[test]
    fn what_is_too_much_is_dropped_and_requests_go_on() {
        let body =
            json!({ "uri": "http://127.0.0.1:9/", "concat_method": "new_line", "batch_max_size": 100_000 });
        let mut bench = answering(harness(&PLUGIN, body).on_runtime(Clock::Paused), 200);
        for _ in 0..9000 {
            bench.get("/").expect_status(200);
        }
        bench.pass(Duration::from_secs(10));
        assert_eq!(bodies(&bench)[0].lines().count(), 8192);
    }

    #[test]
    fn lines_that_wait_outlive_an_edit_of_something_else() {
        let body = json!({ "uri": "http://127.0.0.1:9/", "batch_max_size": 2 });
        let mut bench = answering(harness(&PLUGIN, body.clone()).on_runtime(Clock::Paused), 200);
        bench.get("/a").expect_status(200);
        let mut after =
            bench.beside("/apisix/routes/1", &Map::from_iter([("http-logger".to_owned(), body)])).unwrap();
        after.get("/b").expect_status(200);
        bench.pass(Duration::from_millis(1));
        assert_eq!(bodies(&bench).len(), 1);
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({}), "property \"uri\" is required"),
            (json!({ "uri": "ftp://a.test" }), "property \"uri\" validation failed"),
            (json!({ "uri": "http://a.test", "timeout": 0 }), "expected 0 to be at least 1"),
            (json!({ "uri": "http://a.test", "concat_method": "xml" }), "matches none of the enum values"),
            (json!({ "uri": "http://a.test", "batch_max_size": 0 }), "expected 0 to be at least 1"),
            (
                json!({ "uri": "http://a.test", "include_req_body_expr": [["a", "=", 1]] }),
                "failed to validate the 'include_req_body_expr' expression",
            ),
            (
                json!({ "uri": "http://a.test", "log_format": { "a": { "b": { "c": { "d": { "e": { "f": { "g": 1 } } } } } } } }),
                "log_format is nested more than 5 deep",
            ),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
