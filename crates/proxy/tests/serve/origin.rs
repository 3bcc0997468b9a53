//! Origins that do exactly what a test tells them, and remember what they saw.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// A request as an origin read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Request line and fields, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
    /// Which connection it came by, from 0.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// What an origin does with a request: writes what it likes, and says whether the connection goes on.
type Act = dyn Fn(&Seen, &mut TcpStream) -> bool + Send + Sync;

/// A server that runs as long as the test.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Origin {
    /// Reads each request whole, then acts.
    pub(crate) fn start(act: impl Fn(&Seen, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let act: Arc<Act> = Arc::new(act);
        Self::raw(move |connection, stream, seen| serve(connection, stream, &act, seen))
    }

    /// Hands over each connection as it is.
    pub(crate) fn raw(serve: impl Fn(usize, TcpStream, &Mutex<Vec<Seen>>) + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), serve)
    }

    /// Answers 200 with this body on a listener that is there already.
    pub(crate) fn fixed_on(listener: TcpListener, body: &'static str) -> Self {
        let act: Arc<Act> = Arc::new(move |_, stream| stream.write_all(&answer(200, &[], body)).is_ok());
        Self::on(listener, move |connection, stream, seen| serve(connection, stream, &act, seen))
    }

    fn on(
        listener: TcpListener,
        serve: impl Fn(usize, TcpStream, &Mutex<Vec<Seen>>) + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let origin = Self { address, seen: Arc::clone(&seen), connections: Arc::clone(&connections) };
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = connections.fetch_add(1, Ordering::SeqCst);
                let (serve, seen) = (Arc::clone(&serve), Arc::clone(&seen));
                thread::spawn(move || serve(connection, stream, &seen));
            }
        });
        origin
    }

    /// Where nobody listens.
    pub(crate) fn nowhere() -> Self {
        Self { address: nobody(), seen: Arc::default(), connections: Arc::default() }
    }

    /// Answers 200 with this body.
    pub(crate) fn fixed(body: &'static str) -> Self {
        Self::start(move |_, stream| stream.write_all(&answer(200, &[], body)).is_ok())
    }

    /// Answers 200 with what it saw: the head as text.
    pub(crate) fn echo() -> Self {
        Self::start(|seen, stream| stream.write_all(&answer(200, &[], &seen.head)).is_ok())
    }

    /// Answers whole requests with these bytes, whatever they are.
    pub(crate) fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, stream| stream.write_all(&bytes).is_ok())
    }

    /// Answers with these bytes and closes.
    pub(crate) fn last_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, stream| {
            stream.write_all(&bytes).unwrap();
            false
        })
    }

    /// An upstream with this origin as its only node.
    pub(crate) fn upstream(&self) -> Value {
        json!({ "type": "roundrobin", "nodes": { self.address.to_string(): 1 } })
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// An answer with a length.
pub(crate) fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} Fine\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// An address that nobody listens on.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn serve(connection: usize, stream: TcpStream, act: &Arc<Act>, all: &Mutex<Vec<Seen>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(seen) = read_request(&mut reader, connection) {
        all.lock().unwrap().push(seen.clone());
        if !act(&seen, &mut writer) {
            return;
        }
    }
}

/// Reads one request, strictly: whatever breaks the framing panics the origin's thread, and the test sees a failed upstream.
pub(crate) fn read_request(reader: &mut impl BufReadAll, connection: usize) -> Option<Seen> {
    let head = read_head(reader)?;
    let mut seen = Seen { head, connection, ..Seen::default() };
    let length = seen.fields("content-length");
    let coding = seen.fields("transfer-encoding");
    assert!(length.len() + coding.len() <= 1, "more than one framing field: {}", seen.head);
    if let Some(length) = length.first() {
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).ok()?;
        seen.body = body;
    } else if let Some(coding) = coding.first() {
        assert_eq!(*coding, "chunked");
        (seen.body, seen.trailers) = read_chunks(reader)?;
    }
    Some(seen)
}

/// Lines up to the empty one.
pub(crate) fn read_head(reader: &mut impl BufReadAll) -> Option<String> {
    let mut head = String::new();
    loop {
        let line = reader.line()?;
        if line.is_empty() {
            return Some(head);
        }
        head += &line;
        head += "\r\n";
    }
}

/// Chunks and trailers.
pub(crate) fn read_chunks(reader: &mut impl BufReadAll) -> Option<(Vec<u8>, String)> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(&reader.line()?, 16).unwrap();
        if size == 0 {
            return Some((body, read_head(reader)?));
        }
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..]).ok()?;
        assert_eq!(reader.line()?, "");
    }
}

/// What both sides read with.
pub(crate) trait BufReadAll: Read {
    /// One line without its CRLF; `None` at the end.
    fn line(&mut self) -> Option<String>;
}

impl<R: Read> BufReadAll for BufReader<R> {
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.read_until(b'\n', &mut line).ok()?;
        let line = line.strip_suffix(b"\r\n")?;
        Some(String::from_utf8_lossy(line).into_owned())
    }
}
