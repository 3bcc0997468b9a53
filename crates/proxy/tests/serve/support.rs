//! A gateway on a store in memory, and clients that write bytes.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;
use usher_model::compat::Compat;
use usher_model::live::Live;
use usher_model::seal::Keyring;
use usher_pipeline::env::Process;
use usher_pipeline::registry::Registry;
use usher_proxy::Proxy;
use usher_proxy::options::Options;
use usher_store::memory::Memory;
use usher_store::{Store, Transaction};

use crate::origin::{BufReadAll, field, read_chunks, read_head};
use crate::trial;

/// A running proxy.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    /// Where it speaks TLS, if it does.
    pub(crate) secure: Option<SocketAddr>,
    /// Where load balancers come to, if they do.
    pub(crate) balanced: Option<SocketAddr>,
    /// Where stream routes take connections.
    pub(crate) streams: Vec<SocketAddr>,
    /// Where they take datagrams.
    pub(crate) datagrams: Vec<SocketAddr>,
    runtime: Runtime,
    proxy: Option<Proxy>,
    live: Arc<dyn Live>,
    store: Arc<Memory>,
}

/// Options for one worker on a free port.
pub(crate) fn options() -> Options {
    Options { listen: vec!["127.0.0.1:0".parse().unwrap()], workers: 1, ..Options::default() }
}

impl Gateway {
    /// A gateway with one worker and these objects, whose keys begin behind `/apisix/`.
    pub(crate) fn start(objects: &[(&str, Value)]) -> Self {
        Self::start_with(options(), objects)
    }

    pub(crate) fn start_with(options: Options, objects: &[(&str, Value)]) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let store = Arc::new(Memory::new());
        let registry = Arc::new(Registry::new(trial::specs()));
        let process = Arc::new(Process::new(serde_json::Map::new(), options.compat, usher_proxy::targets()));
        let keyring = Arc::new(Keyring::generate().unwrap().0);
        let kept: Arc<Memory> = Arc::clone(&store);
        let proxy = runtime.block_on(Proxy::start(options, registry, process, kept, keyring)).unwrap();
        let address = proxy.addresses()[0];
        let secure = proxy.tls_addresses().first().copied();
        let live = proxy.live();
        let balanced = proxy.balancer_addresses().first().copied();
        let (streams, datagrams) = (proxy.stream_addresses(), proxy.datagram_addresses());
        let gateway =
            Self { address, secure, balanced, streams, datagrams, runtime, proxy: Some(proxy), live, store };
        gateway.put(objects);
        gateway
    }

    /// A gateway whose one route takes everything to this upstream.
    pub(crate) fn to(upstream: Value) -> Self {
        Self::start(&[("routes/1", serde_json::json!({ "uri": "/*", "upstream": upstream }))])
    }

    /// The same with these plugins on the route.
    pub(crate) fn with_plugins(upstream: Value, plugins: Value) -> Self {
        let route = serde_json::json!({ "uri": "/*", "upstream": upstream, "plugins": plugins });
        Self::start(&[("routes/1", route)])
    }

    /// Writes objects and waits until they are in force.
    pub(crate) fn put(&self, objects: &[(&str, Value)]) {
        self.change(objects, &[]);
    }

    /// Writes objects and deletes others in one transaction, and waits until it is in force.
    pub(crate) fn change(&self, objects: &[(&str, Value)], gone: &[&str]) {
        let mut transaction = Transaction::default();
        for (key, value) in objects {
            transaction = transaction.put(format!("/apisix/{key}"), value.to_string());
        }
        for key in gone {
            transaction = transaction.delete(format!("/apisix/{key}"));
        }
        self.runtime.block_on(async {
            let revision = self.store.commit(transaction).await.unwrap().revision;
            self.live.wait_in_force(revision, Duration::from_secs(20)).await.unwrap();
        });
        assert_eq!(self.live.problems(), []);
    }

    /// Writes an object that can't be used; says what is wrong with it.
    pub(crate) fn put_wrong(&self, key: &str, value: &Value) -> Vec<String> {
        let transaction = Transaction::default().put(format!("/apisix/{key}"), value.to_string());
        self.runtime.block_on(async {
            let revision = self.store.commit(transaction).await.unwrap().revision;
            self.live.wait_in_force(revision, Duration::from_secs(20)).await.unwrap();
        });
        self.live.problems().into_iter().map(|problem| problem.reason).collect()
    }

    pub(crate) fn live(&self) -> &Arc<dyn Live> {
        &self.live
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// One GET on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send("GET", target, "", b"")
    }

    /// One request on a connection of its own; `fields` are whole lines.
    pub(crate) fn send(&self, method: &str, target: &str, fields: &str, body: &[u8]) -> Answer {
        let mut client = self.connect();
        client.request(method, target, fields, body);
        client.answer_to(method).unwrap()
    }

    /// Begins to drain on another thread; the handle ends with it.
    pub(crate) fn drain(mut self, within: Duration) -> std::thread::JoinHandle<()> {
        let proxy = self.proxy.take().unwrap();
        std::thread::spawn(move || self.runtime.block_on(proxy.drain(within)))
    }
}

/// All of APISIX's behaviours.
pub(crate) fn apisix() -> Options {
    Options { compat: Compat::apisix(), ..options() }
}

/// An answer as a client read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and fields, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// The next answer to a request of this method.
pub(crate) fn read_answer(reader: &mut impl BufReadAll, method: &str) -> Option<Answer> {
    let head = read_head(reader)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, ..Answer::default() };
    if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
        return Some(answer);
    }
    let length = answer.field("content-length").map(|length| length.parse().unwrap());
    match (length, answer.field("transfer-encoding")) {
        (Some(length), None) => {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            answer.body = body;
        }
        (None, Some("chunked")) => (answer.body, answer.trailers) = read_chunks(reader)?,
        (None, None) => {
            reader.read_to_end(&mut answer.body).ok()?;
        }
        framing => panic!("framed as {framing:?}"),
    }
    Some(answer)
}

/// A client's connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// A request to `a.test`, with a length where there is a body.
    pub(crate) fn request(&mut self, method: &str, target: &str, fields: &str, body: &[u8]) {
        let named = fields.lines().any(|line| line.to_ascii_lowercase().starts_with("host:"));
        let host = if named { "" } else { "Host: a.test\r\n" };
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        self.write(format!("{method} {target} HTTP/1.1\r\n{host}{fields}{length}\r\n"));
        self.write(body);
    }

    /// The next answer to a request with a body by its framing; `None` where the connection is closed or cut.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET")
    }

    /// The next answer to a request of this method; interim ones are answers too.
    pub(crate) fn answer_to(&mut self, method: &str) -> Option<Answer> {
        read_answer(&mut self.reader, method)
    }

    /// Only the next head.
    pub(crate) fn head(&mut self) -> Option<String> {
        read_head(&mut self.reader)
    }

    /// Exactly so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Everything up to the end, and whether the end was an orderly one.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut rest = Vec::new();
        let ended = self.reader.read_to_end(&mut rest);
        (rest, ended.is_ok())
    }

    /// Whether the gateway closes the connection, in whatever way, without another word.
    pub(crate) fn is_closed(&mut self) -> bool {
        let (rest, _) = self.rest();
        rest.is_empty()
    }
}

/// Waits until something becomes true.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come true within 20 s");
        std::thread::yield_now();
    }
}
