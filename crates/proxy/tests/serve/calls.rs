//! What plugins get from their worker beside HTTP: connections, datagrams, tasks that end with it, and the word that it stops.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, pending};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::worker::{Peer, Worker};

use crate::support::Gateway;

/// Calls others, and answers with what came of it.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Config {
    /// Says `ping` to this host over TCP.
    host: Option<String>,
    /// The port of everybody.
    #[serde(default)]
    port: u16,
    /// Sends a datagram.
    #[serde(default)]
    datagram: bool,
    /// Says `bye` over TCP when the worker stops.
    #[serde(default)]
    bye: bool,
    /// Has a task that never ends by itself.
    #[serde(default)]
    attend: bool,
}

pub(crate) struct Caller(Config);

impl Plugin for Caller {
    const NAME: &'static str = "caller";
    const PRIORITY: i32 = 1;
    const PHASES: Phases<Self> =
        Phases { access: Some(Hook::Later(Self::call)), log: Some(Self::leave), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self(config))
    }
}

impl Caller {
    fn peer(&self, host: &str) -> Peer {
        Peer { host: host.to_owned(), port: self.0.port, tls: None, timeout: Duration::from_secs(5) }
    }

    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let worker = Rc::clone(exchange.worker());
            let visits = worker.shelf().keep("visits", || std::cell::Cell::new(0));
            visits.set(visits.get() + 1);
            let said = match &self.0.host {
                Some(host) => self.ping(&worker, host).await,
                None if self.0.datagram => {
                    let sent = worker.send_datagram(self.peer("127.0.0.1"), "ping".into()).await;
                    sent.map(|()| "sent".to_owned()).unwrap_or_else(|error| error.to_string())
                }
                None => format!("visit {}", visits.get()),
            };
            Reply::text(200, "text/plain", said).into()
        }
        .boxed_local()
    }

    async fn ping(&self, worker: &Rc<dyn Worker>, host: &str) -> String {
        let mut stream = match worker.connect(self.peer(host)).await {
            Ok(stream) => stream,
            Err(error) => return error.to_string(),
        };
        stream.write_all(b"ping").await.unwrap();
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).await.unwrap();
        String::from_utf8(heard.to_vec()).unwrap()
    }

    fn leave(&self, exchange: &mut Exchange) {
        let worker = Rc::clone(exchange.worker());
        if self.0.attend {
            assert!(exchange.worker().attend(pending().boxed_local()));
        }
        if self.0.bye {
            let peer = self.peer("127.0.0.1");
            let task = async move {
                worker.stopping().await;
                let mut stream = worker.connect(peer).await.unwrap();
                stream.write_all(b"bye").await.unwrap();
                stream.shutdown().await.unwrap();
            };
            assert!(exchange.worker().spawn(task.boxed_local()));
        }
    }
}

fn gateway(config: serde_json::Value) -> Gateway {
    let route = json!({ "uri": "/*", "plugins": { "caller": config } });
    Gateway::start(&[("routes/1", route)])
}

#[test]
fn a_plugin_speaks_over_a_connection_of_its_own() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let echo = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = server.accept().unwrap();
            let mut heard = [0; 4];
            stream.read_exact(&mut heard).unwrap();
            heard.reverse();
            stream.write_all(&heard).unwrap();
        }
    });
    for host in ["127.0.0.1", "localhost"] {
        let gateway = gateway(json!({ "host": host, "port": port }));
        assert_eq!(gateway.get("/").text(), "gnip", "{host}");
    }
    echo.join().unwrap();
}

#[test]
fn addresses_are_judged_as_those_of_upstreams() {
    for (host, wanted) in [("169.254.169.254", "169.254.169.254"), ("nowhere.invalid", "nowhere.invalid")] {
        let said = gateway(json!({ "host": host, "port": 80 })).get("/").text();
        assert!(said.contains(wanted) && said != "gnip", "{said}");
    }
}

#[test]
fn a_plugin_sends_datagrams() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let gateway = gateway(json!({ "datagram": true, "port": server.local_addr().unwrap().port() }));
    assert_eq!(gateway.get("/").text(), "sent");
    let mut heard = [0; 16];
    let count = server.recv(&mut heard).unwrap();
    assert_eq!(&heard[..count], b"ping");
}

#[test]
fn what_waits_is_sent_when_the_worker_stops_and_what_attends_holds_nobody_up() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway =
        gateway(json!({ "bye": true, "attend": true, "port": server.local_addr().unwrap().port() }));
    assert_eq!(gateway.get("/").text(), "visit 1");
    assert_eq!(gateway.get("/").text(), "visit 2", "what is kept on a worker stays there");
    let begun = Instant::now();
    let drained = gateway.drain(Duration::from_secs(60));
    for _ in 0..2 {
        let (mut stream, _) = server.accept().unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "bye");
    }
    drained.join().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
