//! `syslog` sends a line of each request to a syslog server, in the format of RFC 5424.
//!
//! On stream routes it sends a line of each connection, when it has ended: the usual one, or what `log_format` says by variables of connections.
//!
//! Example: `{"host": "127.0.0.1", "port": 514, "sock_type": "udp"}`

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::compat::Behaviour;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::machine;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;
use usher_pipeline::stream::{Finished, OnConnections, Session};
use usher_pipeline::worker::{Peer, Worker};

use crate::addresses;
use crate::logs::{self, BatchSettings, Content, Line, Logger, Metadata, Sending, Sink, wire};
use crate::schema::number;

/// `syslog`.
pub(crate) static PLUGIN: Spec = Spec::of::<Syslog>().metadata::<Metadata>().on_connections::<Syslog>();

/// Sends lines to a syslog server.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The server's name or address.
    #[schemars(length(min = 1))]
    host: String,
    /// The server's port.
    #[schemars(range(min = 1))]
    port: u16,
    /// How the server is spoken to.
    #[serde(default)]
    sock_type: Kind,
    /// Accepted for APISIX's sake: lines leave in batches, as `batch_max_size` and its neighbours say.
    #[serde(default = "number::<4096>")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "batches are settled elsewhere")]
    flush_limit: u64,
    /// Longer lines are dropped, in bytes.
    #[serde(default = "number::<1_048_576>")]
    #[schemars(range(min = 1))]
    drop_limit: u64,
    /// Milliseconds to connect and to send.
    #[serde(default = "number::<3000>")]
    #[schemars(range(min = 1))]
    timeout: u64,
    /// Accepted for APISIX's sake: a batch has a connection of its own.
    #[serde(default = "number::<5>")]
    #[schemars(range(min = 5))]
    #[expect(dead_code, reason = "a batch has a connection of its own")]
    pool_size: u64,
    /// Speaks TLS with the server, whose certificate is verified (but for `compat: [unverified-upstreams]`); only over TCP.
    #[serde(default)]
    tls: bool,
    #[serde(flatten)]
    content: Content,
    #[serde(flatten)]
    batch: BatchSettings,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Tcp,
    Udp,
}

struct Syslog {
    logger: Logger<Server>,
    /// Whether messages name the request's host and `apisix`, as APISIX's do.
    as_apisix: bool,
}

struct Server {
    peer: Peer,
    kind: Kind,
    longest: u64,
}

/// Facility `syslog`, severity `informational` (RFC 5424, section 6.2.1).
const PRIORITY: u8 = 5 * 8 + 6;

impl Plugin for Syslog {
    const NAME: &'static str = "syslog";
    const PRIORITY: i32 = 401;
    const PHASES: Phases<Self> = logs::phases!();
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        addresses::check_host("host", &config.host, config.port, env)?;
        if config.tls && config.sock_type == Kind::Udp {
            return Err(BuildError::new("tls works over tcp only; set sock_type to tcp"));
        }
        let tls = config.tls.then(|| logs::tls(env, None));
        let timeout = Duration::from_millis(config.timeout);
        let peer = Peer { host: config.host, port: config.port, tls, timeout };
        let server = Server { peer, kind: config.sock_type, longest: config.drop_limit };
        let metadata = env.metadata::<Metadata>()?.unwrap_or_default();
        let logger = Logger::new(&config.content, config.batch, &metadata, env, server)?;
        Ok(Self { logger, as_apisix: env.process().compat().has(Behaviour::ApisixNames) })
    }
}

impl Syslog {
    fn log(&self, exchange: &mut Exchange) {
        let start = self.as_apisix.then(|| start(exchange.request.host(), "apisix"));
        self.logger.log(exchange, start);
    }
}

impl OnConnections for Syslog {
    const LOG: Option<Finished<Self>> = Some(Self::log_connection);
}

impl Syslog {
    fn log_connection(&self, session: &Session) {
        self.logger.log_connection(session);
    }
}

/// What stands between a message's time and its text: host, program, process (RFC 5424, section 6.2.4).
fn start(host: &str, program: &str) -> String {
    format!("{} {program} {} - - ", if host.is_empty() { "-" } else { host }, std::process::id())
}

/// A line as a syslog message with a line break behind it.
fn message(line: &Line) -> String {
    static START: OnceLock<String> = OnceLock::new();
    let own = START.get_or_init(|| start(machine::name(), "usher"));
    let start = line.more.as_ref().unwrap_or(own);
    let at = i64::try_from(line.at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let mut text = format!("<{PRIORITY}>1 ");
    // Writing to a String can't fail.
    let _ = match at {
        Some(at) => write!(text, "{at:.3}"),
        None => write!(text, "-"),
    };
    let _ = write!(text, " {start}{}", line.text);
    text.push('\n');
    text
}

impl Sink for Server {
    const NAME: &'static str = "syslog";
    const BATCH: &'static str = "sys logger";

    fn send<'a>(&'a self, worker: &'a Rc<dyn Worker>, lines: &'a [Line]) -> Sending<'a> {
        async move {
            let messages = lines.iter().map(message).filter(|text| text.len() as u64 <= self.longest);
            match self.kind {
                Kind::Tcp => {
                    let text: String = messages.collect();
                    wire::send_all(worker, &self.peer, text.as_bytes()).await
                }
                Kind::Udp => wire::send_datagrams(worker, &self.peer, messages).await,
            }
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use serde_json::{Map, Value, json};
    use usher_model::compat::{Behaviour, Compat};
    use usher_pipeline::harness::{Clock, try_harness, try_harness_under};

    use super::PLUGIN;

    /// The parts of the message of a request, the line last.
    fn parts(compat: Compat) -> Vec<String> {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        let body = json!({
            "host": "127.0.0.1", "port": server.local_addr().unwrap().port(), "sock_type": "udp", "batch_max_size": 1,
            "log_format": { "uri": "$uri" },
        });
        let bodies = Map::from_iter([("syslog".to_owned(), body)]);
        let mut bench = try_harness_under(compat, &[&PLUGIN], &bodies).unwrap().on_runtime(Clock::Real);
        bench.get("/a").expect_status(200);
        let mut text = String::new();
        bench.until(|| {
            let mut piece = [0; 4096];
            server.recv(&mut piece).is_ok_and(|count| {
                text = String::from_utf8(piece[..count].to_vec()).unwrap();
                true
            })
        });
        text.splitn(8, ' ').map(str::to_owned).collect()
    }

    #[test]
    fn messages_are_those_of_rfc_5424() {
        let parts = parts(Compat::NONE);
        assert_eq!((&*parts[0], &*parts[3]), ("<46>1", "usher"), "{parts:?}");
        assert!(parts[1].starts_with("2027-01-15T08:00:00.") && parts[1].ends_with('Z'), "{parts:?}");
        assert_eq!((&*parts[5], &*parts[6]), ("-", "-"), "{parts:?}");
        let line: Value = serde_json::from_str(parts[7].trim_end()).unwrap();
        assert_eq!(line["uri"], "/a");
    }

    #[test]
    fn messages_name_the_request_s_host_and_apisix_where_that_is_asked_for() {
        let parts = parts(Compat::NONE.with(Behaviour::ApisixNames));
        assert_eq!((&*parts[2], &*parts[3]), ("a.test", "apisix"), "{parts:?}");
    }

    #[test]
    fn tls_is_for_tcp_only() {
        let error =
            try_harness(&PLUGIN, json!({ "host": "a.test", "port": 1, "sock_type": "udp", "tls": true }))
                .err()
                .unwrap();
        assert!(error.message.contains("tls works over tcp only"), "{error}");
    }
}
