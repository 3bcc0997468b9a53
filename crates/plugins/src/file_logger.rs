//! `file-logger` appends a line of each request to a file.
//!
//! A thread of its own writes each file, so that a disk that is slow, full or gone holds up no request: lines wait, and are dropped and counted
//! when too many do. A file that was moved away, as log rotation does, is opened anew before the next lines.
//!
//! Example: `{"path": "/var/log/usher/requests.log", "match": [[["status", ">=", 400]]], "log_format": {"host": "$host", "at": "$time_iso8601", "client": "$remote_addr"}}`

mod file;

use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::Worker;

use crate::logs::{self, BatchSettings, Content, Line, Logger, Sending, Sink, together};
use crate::schema::number;
use crate::vars::AnyOf;
use file::{Files, Writer};

/// `file-logger`.
pub(crate) static PLUGIN: Spec = Spec::of::<FileLogger>().metadata::<Metadata>();

/// Appends a line of each request to a file.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The file, made where it isn't there; its folder has to exist. Needed here or in the plugin's metadata.
    #[schemars(length(min = 1))]
    path: Option<String>,
    /// Expressions of which one has to hold for a request to be logged, such as `[[["status", ">=", 400]]]`.
    #[schemars(length(max = 20))]
    r#match: Option<Vec<Value>>,
    #[serde(flatten)]
    content: Content,
}

/// What all uses of the plugin share.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct Metadata {
    /// The file of uses that have none of their own.
    path: Option<String>,
    /// What lines say where a use of the plugin has no `log_format` of its own.
    #[serde(default)]
    log_format: serde_json::Map<String, Value>,
    /// Members beside the usual ones, where a use of the plugin has no `log_format_extra` of its own.
    #[serde(default)]
    log_format_extra: serde_json::Map<String, Value>,
    /// How many lines may wait for one use of the plugin; further ones are dropped.
    #[serde(default = "number::<8192>")]
    #[schemars(range(min = 1))]
    max_pending_entries: u64,
}

struct FileLogger {
    logger: Logger<OneFile>,
    only: AnyOf,
}

struct OneFile(Arc<Writer>);

impl Plugin for FileLogger {
    const NAME: &'static str = "file-logger";
    const PRIORITY: i32 = 399;
    const PHASES: Phases<Self> = logs::phases!();
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let metadata = env.metadata::<Metadata>()?;
        let of_all = metadata.as_ref().and_then(|metadata| metadata.path.clone());
        let path = config.path.or(of_all).ok_or_else(|| {
            BuildError::new(
                "property \"path\" is required: set it here, or for all uses in the plugin's metadata",
            )
        })?;
        file::check(&path).map_err(|reason| {
            BuildError::new(format!("property \"path\" validation failed: {path:?} {reason}"))
        })?;
        let metadata = metadata.map_or_else(logs::Metadata::default, |metadata| logs::Metadata {
            log_format: metadata.log_format,
            log_format_extra: metadata.log_format_extra,
            max_pending_entries: metadata.max_pending_entries,
        });
        let writer = env.process().permanent("file-logger", Files::default).writer(&path);
        let sink = OneFile(writer);
        let batch = BatchSettings { name: Some(path), ..BatchSettings::at_once() };
        Ok(Self {
            logger: Logger::new(&config.content, batch, &metadata, env, sink)?,
            only: AnyOf::parse(config.r#match.as_deref())?,
        })
    }
}

impl FileLogger {
    fn log(&self, exchange: &mut Exchange) {
        if self.only.holds(exchange) {
            self.logger.log(exchange, None);
        }
    }
}

impl Sink for OneFile {
    const NAME: &'static str = "file-logger";

    fn send<'a>(&'a self, _: &'a Rc<dyn Worker>, lines: &'a [Line]) -> Sending<'a> {
        self.0.write(together(lines, "", "\n", "\n").into_bytes()).boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};
    use usher_pipeline::harness::{Clock, Harness, harness, try_harness};
    use usher_pipeline::reply::Reply;

    use super::PLUGIN;

    fn bench(body: Value) -> Harness {
        harness(&PLUGIN, body).on_runtime(Clock::Real)
    }

    fn lines(path: &std::path::Path) -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn folder() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("logs").tempdir().unwrap()
    }

    #[test]
    fn appends_a_line_for_each_request_and_finds_the_file_again_after_a_rotation() {
        let folder = folder();
        let (path, moved) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
        fs::write(&path, "{\"before\":1}\n").unwrap();
        let mut bench = bench(json!({ "path": path, "log_format": { "uri": "$uri" } }));
        bench.get("/one");
        bench.get("/two");
        bench.until(|| lines(&path).len() == 3);
        assert_eq!((&lines(&path)[0]["before"], &lines(&path)[2]["uri"]), (&json!(1), &json!("/two")));
        fs::rename(&path, &moved).unwrap();
        bench.get("/three");
        bench.until(|| lines(&path).len() == 1);
        assert_eq!(lines(&moved).len(), 3);
        fs::write(&path, "").unwrap();
        bench.get("/four");
        bench.until(|| lines(&path).len() == 1);
        assert_eq!(lines(&path)[0], json!({ "uri": "/four", "route_id": "1" }));
    }

    #[test]
    fn logs_only_what_matches() {
        let folder = folder();
        let path = folder.path().join("a.log");
        let body = json!({ "path": path, "match": [[["status", "==", 404]], [["arg_log", "==", "1"]]] });
        let mut bench = bench(body).upstream(|exchange| {
            Reply::text(if exchange.request.path() == "/gone" { 404 } else { 200 }, "text/plain", "x")
        });
        for target in ["/", "/gone", "/?log=1", "/last?log=1"] {
            bench.get(target);
        }
        bench.until(|| lines(&path).last().is_some_and(|line| line["request"]["uri"] == "/last?log=1"));
        assert_eq!(lines(&path).len(), 3);
    }

    #[test]
    fn a_file_that_can_not_be_written_holds_nobody_up() {
        let folder = folder();
        let path = folder.path().join("later/a.log");
        let mut bench = bench(json!({ "path": path, "log_format": { "uri": "$uri" } }));
        bench.get("/lost").expect_status(200);
        fs::create_dir(folder.path().join("later")).unwrap();
        for _ in 0..200 {
            bench.get("/found").expect_status(200);
            bench.pass(std::time::Duration::from_millis(10));
            if !lines(&path).is_empty() {
                break;
            }
        }
        assert!(!lines(&path).is_empty(), "lines come once the folder is there");
    }

    #[test]
    fn refuses_files_that_are_no_logs() {
        for path in [
            "/etc/cron.d/x",
            "/proc/self/mem",
            "/dev/sda",
            "/home/a/.ssh/authorized_keys",
            "relative/../../etc/x",
            "/usr/bin/x",
        ] {
            let error = try_harness(&PLUGIN, json!({ "path": path }))
                .err()
                .unwrap_or_else(|| panic!("{path} was taken"));
            assert!(error.message.contains("property \"path\" validation failed"), "{path}: {error}");
        }
        let error = try_harness(&PLUGIN, json!({})).err().unwrap();
        assert!(error.message.contains("property \"path\" is required"), "{error}");
    }
}
