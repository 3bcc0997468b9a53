//! `tcp-logger` sends a line of each request to a TCP server, many at once.
//!
//! Example: `{"host": "127.0.0.1", "port": 5044, "tls": false, "batch_max_size": 1}`

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::{Peer, Worker};

use crate::addresses;
use crate::logs::{self, BatchSettings, Content, Line, Logger, Metadata, Sending, Sink, wire};
use crate::schema::number;

/// `tcp-logger`.
pub(crate) static PLUGIN: Spec = Spec::of::<TcpLogger>().metadata::<Metadata>();

/// Sends lines to a TCP server: each batch is a JSON list and a line break, or one object where `batch_max_size` is 1.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The server's name or address.
    #[schemars(length(min = 1))]
    host: String,
    /// The server's port.
    #[schemars(range(min = 1))]
    port: u16,
    /// Speaks TLS with the server, whose certificate is verified (but for `compat: [unverified-upstreams]`).
    #[serde(default)]
    tls: bool,
    /// The name that the server's certificate has to have; the host by default.
    tls_options: Option<String>,
    /// Milliseconds to connect and to send.
    #[serde(default = "number::<1000>")]
    #[schemars(range(min = 1))]
    timeout: u64,
    #[serde(flatten)]
    content: Content,
    #[serde(flatten)]
    batch: BatchSettings,
}

struct TcpLogger {
    logger: Logger<Server>,
}

struct Server {
    peer: Peer,
    single: bool,
}

impl Plugin for TcpLogger {
    const NAME: &'static str = "tcp-logger";
    const PRIORITY: i32 = 405;
    const PHASES: Phases<Self> = logs::phases!();
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        addresses::check_host("host", &config.host, config.port, env)?;
        let tls = config.tls.then(|| logs::tls(env, config.tls_options));
        let timeout = Duration::from_millis(config.timeout);
        let peer = Peer { host: config.host, port: config.port, tls, timeout };
        let server = Server { peer, single: config.batch.batch_max_size == 1 };
        let metadata = env.metadata::<Metadata>()?.unwrap_or_default();
        Ok(Self { logger: Logger::new(&config.content, config.batch, &metadata, env, server)? })
    }
}

impl TcpLogger {
    fn log(&self, exchange: &mut Exchange) {
        self.logger.log(exchange, None);
    }
}

impl Sink for Server {
    const NAME: &'static str = "tcp-logger";
    const BATCH: &'static str = "tcp logger";

    fn send<'a>(&'a self, worker: &'a Rc<dyn Worker>, lines: &'a [Line]) -> Sending<'a> {
        async move {
            let mut text = wire::json(lines, self.single);
            text.push('\n');
            wire::send_all(worker, &self.peer, text.as_bytes()).await
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{ErrorKind, Read as _};
    use std::net::TcpListener;

    use serde_json::{Value, json};
    use usher_pipeline::harness::{Clock, harness};

    use super::PLUGIN;

    #[test]
    fn batches_arrive_as_lists_and_single_lines_as_objects() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        let port = server.local_addr().unwrap().port();
        for (size, wanted) in [(2, "/a /b"), (1, "/a")] {
            let body = json!({ "host": "127.0.0.1", "port": port, "batch_max_size": size, "log_format": { "uri": "$uri" } });
            let mut bench = harness(&PLUGIN, body).on_runtime(Clock::Real);
            for path in ["/a", "/b"].into_iter().take(size) {
                bench.get(path).expect_status(200);
            }
            let arrived = RefCell::new(None);
            bench.until(|| match server.accept() {
                Ok((stream, _)) => {
                    *arrived.borrow_mut() = Some(stream);
                    true
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    false
                }
            });
            let mut stream = arrived.into_inner().unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut text = String::new();
            bench.until(|| {
                let mut piece = [0; 4096];
                match stream.read(&mut piece) {
                    Ok(0) => true,
                    Ok(count) => {
                        text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
                        false
                    }
                    Err(_) => false,
                }
            });
            let said: Value = serde_json::from_str(text.strip_suffix('\n').unwrap()).unwrap();
            let lines = if said.is_array() { said.as_array().unwrap().clone() } else { vec![said.clone()] };
            assert_eq!(said.is_array(), size > 1);
            let uris: Vec<&str> = lines.iter().map(|line| line["uri"].as_str().unwrap()).collect();
            assert_eq!(uris.join(" "), wanted);
        }
    }

    #[test]
    fn a_server_that_is_away_holds_nobody_up() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let body = json!({ "host": "127.0.0.1", "port": gone, "batch_max_size": 1 });
        let mut bench = harness(&PLUGIN, body).on_runtime(Clock::Real);
        for _ in 0..10 {
            bench.get("/").expect_status(200);
        }
    }
}
