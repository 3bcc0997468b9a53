//! `elasticsearch-logger` indexes a line of each request in Elasticsearch, many in one bulk call.
//!
//! Example: `{"endpoint_addrs": ["http://127.0.0.1:9200"], "field": {"index": "usher-{%Y.%m.%d}"}, "auth": {"username": "elastic", "password": "secret"}}`

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use usher_http1::head::Head;
use usher_model::secret::Secret;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::{Call, Worker};

use crate::addresses;
use crate::field_edits::check_fields;
use crate::logs::{self, BatchSettings, Content, Line, Logger, Metadata, Sending, Sink};
use crate::schema::{number, one_of_required, yes};
use crate::text::Text;

/// `elasticsearch-logger`.
pub(crate) static PLUGIN: Spec = Spec::of::<ElasticsearchLogger>().metadata::<Metadata>();

/// Indexes lines in Elasticsearch.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = one_of_required(&[&["endpoint_addr"], &["endpoint_addrs"]]))]
struct Config {
    /// One server; the older form of `endpoint_addrs`.
    endpoint_addr: Option<String>,
    /// The servers: `http://` or `https://`, host, port. A batch goes to one of them at random.
    #[schemars(length(min = 1))]
    endpoint_addrs: Option<Vec<String>>,
    /// Where lines are indexed.
    field: Field,
    /// Who indexes them.
    auth: Option<Auth>,
    /// Further header fields of calls.
    headers: Option<BTreeMap<String, String>>,
    /// Seconds for a whole call.
    #[serde(default = "number::<10>")]
    #[schemars(range(min = 1))]
    timeout: u64,
    /// Whether an https server's certificate is verified.
    #[serde(default = "yes")]
    ssl_verify: bool,
    #[serde(flatten)]
    content: Content,
    #[serde(flatten)]
    batch: BatchSettings,
}

/// Where lines are indexed.
#[derive(Deserialize, JsonSchema)]
struct Field {
    /// The index: a text with variables, in which `{%Y.%m.%d}` stands for the day, and other letters of strftime for other parts of the time.
    index: String,
    /// The type, for servers older than 7.
    r#type: Option<String>,
}

/// Who indexes lines.
#[derive(Deserialize, JsonSchema)]
struct Auth {
    /// The user's name.
    #[schemars(length(min = 1))]
    username: String,
    /// The password.
    #[schemars(length(min = 1))]
    password: Secret<String>,
}

struct ElasticsearchLogger {
    logger: Logger<Servers>,
    index: Vec<Part>,
}

/// A piece of an index's name.
enum Part {
    Text(Text),
    Time(String),
}

struct Servers {
    /// Without a slash at their ends.
    urls: Vec<String>,
    /// What the servers said of their version, once one did.
    major: OnceLock<u32>,
    fields: Secret<Head>,
    kind: Option<String>,
    timeout: Duration,
    verify: bool,
}

/// Lines of JSON.
const CONTENT_TYPE: &str = "application/x-ndjson";
/// Elasticsearch's own JSON.
const ACCEPT: &str = "application/vnd.elasticsearch+json";
/// The largest answer that is read: a bulk call is answered line by line.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

impl Plugin for ElasticsearchLogger {
    const NAME: &'static str = "elasticsearch-logger";
    const PRIORITY: i32 = 413;
    const PHASES: Phases<Self> = logs::phases!();
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let addresses = config.endpoint_addrs.into_iter().flatten().chain(config.endpoint_addr);
        let mut urls = Vec::new();
        for address in addresses {
            addresses::check_url("endpoint_addrs", &address, env)?;
            urls.push(address.trim_end_matches('/').to_owned());
        }
        check_fields("headers", config.headers.as_ref().map_or(0, BTreeMap::len))?;
        let mut fields = Head::empty();
        let authorization = config.auth.map(|auth| {
            let pair = format!("{}:{}", auth.username, auth.password.expose());
            ("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(pair)))
        });
        for (name, value) in config.headers.into_iter().flatten().chain(authorization) {
            fields.set(&name, value).map_err(|error| {
                BuildError::new(format!("property \"headers\" validation failed: {name:?}: {error}"))
            })?;
        }
        let servers = Servers {
            urls,
            major: OnceLock::new(),
            fields: Secret::new(fields),
            kind: config.field.r#type,
            timeout: Duration::from_secs(config.timeout),
            verify: config.ssl_verify,
        };
        let metadata = env.metadata::<Metadata>()?.unwrap_or_default();
        Ok(Self {
            index: parts(&config.field.index)?,
            logger: Logger::new(&config.content, config.batch, &metadata, env, servers)?,
        })
    }
}

/// The pieces of an index's name.
fn parts(index: &str) -> Result<Vec<Part>, BuildError> {
    let mut parts = Vec::new();
    let mut rest = index;
    while let Some((before, behind)) = rest.split_once("{%") {
        let (format, behind) = behind.split_once('}').ok_or_else(|| {
            BuildError::new(format!(
                "property \"field\" validation failed: {index:?} has a {{% without a }} behind it"
            ))
        })?;
        let format = format!("%{format}");
        jiff::fmt::strtime::format(&format, &jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC))
            .map_err(|error| {
            BuildError::new(format!(
                "property \"field\" validation failed: {format:?} is no format of a time: {error}"
            ))
        })?;
        parts.push(Part::Text(Text::parse(before)));
        parts.push(Part::Time(format));
        rest = behind;
    }
    parts.push(Part::Text(Text::parse(rest)));
    Ok(parts)
}

impl ElasticsearchLogger {
    fn log(&self, exchange: &mut Exchange) {
        let mut index = String::new();
        let at = i64::try_from(exchange.worker().unix_ms()).unwrap_or(0);
        let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
        for part in &self.index {
            match part {
                Part::Text(text) => index.push_str(&String::from_utf8_lossy(&text.render(exchange))),
                // Formats were tried when the plugin was built.
                Part::Time(format) => {
                    index.push_str(&jiff::fmt::strtime::format(format, &at).unwrap_or_default())
                }
            }
        }
        self.logger.log(exchange, Some(index));
    }
}

impl Servers {
    fn call(&self, method: &str, url: String) -> Call {
        Call {
            method: method.to_owned(),
            url,
            fields: self.fields.expose().clone(),
            body: bytes::Bytes::new(),
            timeout: self.timeout,
            verify: self.verify,
            max_answer_bytes: MAX_ANSWER_BYTES,
        }
    }

    /// The version's first number, asked for until a server says one. Who may write lines may not always ask, and needs no version then.
    ///
    /// # Errors
    /// The server can't be reached.
    async fn major(&self, worker: &Rc<dyn Worker>, server: &str) -> Result<Option<u32>, String> {
        if let Some(known) = self.major.get() {
            return Ok(Some(*known));
        }
        let call = self.call("GET", format!("{server}/"));
        let answer = worker.fetch(call).await.map_err(|error| error.to_string())?;
        Ok(major_of(&answer.body).map(|major| *self.major.get_or_init(|| major)))
    }
}

fn major_of(said: &[u8]) -> Option<u32> {
    let said: Value = serde_json::from_slice(said).ok()?;
    let (major, _) = said.pointer("/version/number")?.as_str()?.split_once('.')?;
    major.parse().ok()
}

/// Which version's manner a server is asked to keep to: the one before its own still takes what is written here.
const fn compatible_with(major: Option<u32>) -> Option<u32> {
    match major {
        Some(major @ (8 | 9)) => Some(major - 1),
        _ => None,
    }
}

impl Sink for Servers {
    const NAME: &'static str = "elasticsearch-logger";

    fn send<'a>(&'a self, worker: &'a Rc<dyn Worker>, lines: &'a [Line]) -> Sending<'a> {
        async move {
            let server = fastrand::choice(&self.urls).map_or("", String::as_str);
            let major = self.major(worker, server).await?;
            // Types are gone from version 9 on.
            let kind = self.kind.as_ref().filter(|_| major.is_none_or(|major| major < 9));
            let mut body = String::new();
            for line in lines {
                let mut what = json!({ "_index": line.more });
                if let (Some(members), Some(kind)) = (what.as_object_mut(), kind) {
                    members.insert("_type".to_owned(), kind.as_str().into());
                }
                body.push_str(&json!({ "create": what }).to_string());
                body.push('\n');
                body.push_str(&line.text);
                body.push('\n');
            }
            let mut call = Call { body: body.into(), ..self.call("POST", format!("{server}/_bulk")) };
            let manner =
                compatible_with(major).map(|major| format!(";compatible-with={major}")).unwrap_or_default();
            for (name, kind) in [("Content-Type", CONTENT_TYPE), ("Accept", ACCEPT)] {
                // What the user wrote stays.
                if call.fields.get_str(name).is_none() {
                    call.fields.set(name, format!("{kind}{manner}")).map_err(|error| error.to_string())?;
                }
            }
            let answer = worker.fetch(call).await.map_err(|error| error.to_string())?;
            if answer.head.status() >= 300 {
                return Err(format!("elasticsearch answered {}", answer.head.status()));
            }
            let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            match said.get("errors") {
                Some(Value::Bool(true)) => Err("elasticsearch refused some of the lines".to_owned()),
                _ => Ok(()),
            }
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use usher_http1::head::Head;
    use usher_pipeline::harness::{Clock, harness, try_harness};
    use usher_pipeline::worker::Answer;

    use super::PLUGIN;

    #[test]
    fn lines_are_indexed_in_bulk() {
        let body = json!({
            "endpoint_addrs": ["http://127.0.0.1:9200"], "batch_max_size": 2, "log_format": { "uri": "$uri" }, "headers": { "X-A": "b" },
            "field": { "index": "usher-$host-{%Y.%m.%d}", "type": "log" }, "auth": { "username": "u", "password": "p" },
        });
        let mut bench = harness(&PLUGIN, body)
            .on_runtime(Clock::Paused)
            .fetches(|_| Ok(Answer { head: Head::response(200), body: r#"{"errors":false}"#.into() }));
        bench.get("/1").expect_status(200);
        bench.get("/2").expect_status(200);
        bench.pass(Duration::from_millis(1));
        let calls = bench.worker().calls();
        assert_eq!((calls[0].method.as_str(), calls[0].url.as_str()), ("GET", "http://127.0.0.1:9200/"));
        assert_eq!(calls[0].fields.get_str("Authorization"), Some("Basic dTpw"));
        let call = &calls[1];
        assert_eq!(call.url, "http://127.0.0.1:9200/_bulk");
        for (name, wanted) in
            [("Content-Type", "application/x-ndjson"), ("Authorization", "Basic dTpw"), ("X-A", "b")]
        {
            assert_eq!(call.fields.get_str(name), Some(wanted));
        }
        let text = std::str::from_utf8(&call.body).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0], json!({ "create": { "_index": "usher-a.test-2027.01.15", "_type": "log" } }));
        assert_eq!((&lines[1]["uri"], &lines[3]["uri"], lines.len()), (&json!("/1"), &json!("/2"), 4));
        assert!(call.verify);
    }

    #[test]
    fn a_server_is_asked_to_keep_to_the_manner_that_it_still_takes() {
        for (version, manner, kind) in [
            ("7.17.0", "", Some("log")),
            ("8.8.1", ";compatible-with=7", Some("log")),
            ("9.0.2", ";compatible-with=8", None),
        ] {
            let body = json!({ "endpoint_addr": "http://127.0.0.1:9200", "batch_max_size": 1, "field": { "index": "a", "type": "log" } });
            let mut bench = harness(&PLUGIN, body).on_runtime(Clock::Paused).fetches(move |call| {
                let said = match call.method.as_str() {
                    "GET" => json!({ "version": { "number": version } }),
                    _ => json!({ "errors": false }),
                };
                Ok(Answer { head: Head::response(200), body: said.to_string().into() })
            });
            for target in ["/1", "/2"] {
                bench.get(target).expect_status(200);
                bench.pass(Duration::from_millis(1));
            }
            let calls = bench.worker().calls();
            let methods: Vec<&str> = calls.iter().map(|call| call.method.as_str()).collect();
            assert_eq!(methods, ["GET", "POST", "POST"], "it is asked for its version once");
            for call in &calls[1..] {
                let field = |name: &str| call.fields.get_str(name).unwrap().to_owned();
                assert_eq!(field("Content-Type"), format!("application/x-ndjson{manner}"));
                assert_eq!(field("Accept"), format!("application/vnd.elasticsearch+json{manner}"));
                let line: Value =
                    serde_json::from_slice(call.body.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
                assert_eq!(line["create"]["_type"].as_str(), kind, "{version}");
            }
        }
    }

    #[test]
    fn lines_that_were_refused_are_sent_again() {
        let body = json!({ "endpoint_addr": "http://127.0.0.1:9200", "batch_max_size": 1, "max_retry_count": 1, "field": { "index": "a" } });
        let mut bench = harness(&PLUGIN, body)
            .on_runtime(Clock::Paused)
            .fetches(|_| Ok(Answer { head: Head::response(200), body: r#"{"errors":true}"#.into() }));
        bench.get("/1").expect_status(200);
        bench.pass(Duration::from_secs(5));
        let sent = bench.worker().calls().iter().filter(|call| call.method == "POST").count();
        assert_eq!(sent, 2);
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({ "endpoint_addrs": ["http://a.test"], "field": {} }), "property \"index\" is required"),
            (
                json!({ "endpoint_addrs": ["http://a.test"], "field": { "index": "a-{%Y" } }),
                "without a } behind it",
            ),
            (
                json!({ "endpoint_addrs": ["http://a.test"], "field": { "index": "a-{%!}" } }),
                "is no format of a time",
            ),
            (
                json!({ "endpoint_addrs": ["a.test"], "field": { "index": "a" } }),
                "property \"endpoint_addrs\" validation failed",
            ),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
