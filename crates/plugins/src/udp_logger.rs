//! `udp-logger` sends a line of each request in datagrams, many in one.
//!
//! Example: `{"host": "127.0.0.1", "port": 5044, "batch_max_size": 10}`

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

/// `udp-logger`.
pub(crate) static PLUGIN: Spec = Spec::of::<UdpLogger>().metadata::<Metadata>();

/// Sends lines in datagrams: JSON lists that fit, or one object where `batch_max_size` is 1.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The server's name or address.
    #[schemars(length(min = 1))]
    host: String,
    /// The server's port.
    #[schemars(range(min = 1))]
    port: u16,
    /// Seconds to find the server's address.
    #[serde(default = "number::<3>")]
    #[schemars(range(min = 1))]
    timeout: u64,
    #[serde(flatten)]
    content: Content,
    #[serde(flatten)]
    batch: BatchSettings,
}

struct UdpLogger {
    logger: Logger<Server>,
}

struct Server {
    peer: Peer,
    single: bool,
}

impl Plugin for UdpLogger {
    const NAME: &'static str = "udp-logger";
    const PRIORITY: i32 = 400;
    const PHASES: Phases<Self> = logs::phases!();
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        addresses::check_host("host", &config.host, config.port, env)?;
        let timeout = Duration::from_secs(config.timeout);
        let peer = Peer { host: config.host, port: config.port, tls: None, timeout };
        let server = Server { peer, single: config.batch.batch_max_size == 1 };
        let metadata = env.metadata::<Metadata>()?.unwrap_or_default();
        Ok(Self { logger: Logger::new(&config.content, config.batch, &metadata, env, server)? })
    }
}

impl UdpLogger {
    fn log(&self, exchange: &mut Exchange) {
        self.logger.log(exchange, None);
    }
}

impl Sink for Server {
    const NAME: &'static str = "udp-logger";
    const BATCH: &'static str = "udp logger";

    fn send<'a>(&'a self, worker: &'a Rc<dyn Worker>, lines: &'a [Line]) -> Sending<'a> {
        wire::send_datagrams(worker, &self.peer, wire::json_pieces(lines, self.single)).boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use serde_json::{Value, json};
    use usher_pipeline::harness::{Clock, harness};

    use super::PLUGIN;

    #[test]
    fn batches_arrive_in_datagrams_that_fit() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        let body = json!({
            "host": "127.0.0.1", "port": server.local_addr().unwrap().port(), "batch_max_size": 40,
            "log_format": { "uri": "$uri", "fill": "x".repeat(4000) },
        });
        let mut bench = harness(&PLUGIN, body).on_runtime(Clock::Real);
        for at in 0..40 {
            bench.get(&format!("/{at}")).expect_status(200);
        }
        let (mut uris, mut datagrams) = (Vec::new(), 0);
        bench.until(|| {
            let mut piece = vec![0; 1 << 16];
            while let Ok(count) = server.recv(&mut piece) {
                datagrams += 1;
                let lines: Value = serde_json::from_slice(&piece[..count]).unwrap();
                uris.extend(
                    lines.as_array().unwrap().iter().map(|line| line["uri"].as_str().unwrap().to_owned()),
                );
            }
            uris.len() == 40
        });
        assert_eq!((uris[0].as_str(), uris[39].as_str(), datagrams), ("/0", "/39", 3));
    }
}
