//! Starts the binary and speaks plain HTTP with it, without a library that could hide a mistake on the wire.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The admin key of the tests.
pub(crate) const KEY: &str = "a-key-that-only-tests-have";

/// A secret that only the environment of the gateway holds.
pub(crate) const MOBILE_APP_KEY: &str = "canary-of-the-environment-91f2";

/// A running Usher; killed when dropped.
pub(crate) struct Usher {
    child: Child,
    pub(crate) addresses: Value,
    pub(crate) folder: Arc<tempfile::TempDir>,
}

/// The binary with nothing of our own environment that it would act upon.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
    for name in [
        "USHER_ADMIN_KEY",
        "USHER_ADMIN_URL",
        "USHER_WORKERS",
        "USHER_URL",
        "USHER_MODEL_URL",
        "USHER_MODEL",
        "USHER_MODEL_KEY",
        "USHER_TOKEN",
        "USHER_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

impl Usher {
    /// `usher serve` with a known key, a folder of its own, and free ports.
    pub(crate) fn start(words: &[&str]) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), words)
    }

    /// The same in a folder that exists.
    pub(crate) fn start_in(folder: Arc<tempfile::TempDir>, words: &[&str]) -> Self {
        Self::spawn(folder, words, "warn", Stdio::inherit())
    }

    /// The same, with its whole log in a file.
    pub(crate) fn start_logging(folder: Arc<tempfile::TempDir>, words: &[&str], log: &Path) -> Self {
        Self::spawn(folder, words, "trace", std::fs::File::create(log).unwrap().into())
    }

    fn spawn(folder: Arc<tempfile::TempDir>, words: &[&str], level: &str, log: Stdio) -> Self {
        let data = folder.path().join("data");
        let mut child = binary()
            .args(["serve", "--print-addresses", "--data", data.to_str().unwrap()])
            .args(["--proxy-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--chat-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .args(words)
            .env("USHER_ADMIN_KEY", KEY)
            .env("USHER_LOG", level)
            .env("MOBILE_APP_KEY", MOBILE_APP_KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("no addresses but {line:?}: {error}"));
        Self { child, addresses, folder }
    }

    /// Where one side listens.
    pub(crate) fn address(&self, side: &str) -> SocketAddr {
        self.addresses[side][0].as_str().unwrap().parse().unwrap()
    }

    /// A request to the Admin API with the key.
    pub(crate) fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let text = body.map(Value::to_string).unwrap_or_default();
        let fields = [("X-API-KEY", KEY), ("Content-Type", "application/json")];
        request(self.address("admin"), method, &format!("/apisix/admin{path}"), &fields, text.as_bytes())
    }

    /// A write that has to succeed.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        let answer = self.admin("PUT", path, Some(body));
        assert!(
            matches!(answer.status, 200 | 201),
            "PUT {path} answered {} {}",
            answer.status,
            answer.text()
        );
        answer
    }

    /// A GET through the gateway.
    pub(crate) fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        request(self.address("proxy"), "GET", path, fields, b"")
    }

    /// Ends at once, as a crash would.
    pub(crate) fn kill(mut self) -> Arc<tempfile::TempDir> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Arc::clone(&self.folder)
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// Asks it to stop and waits for the end.
    pub(crate) fn terminate(self) -> std::process::ExitStatus {
        assert!(Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap().success());
        self.wait()
    }
}

impl Drop for Usher {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end.
pub(crate) fn run(words: &[&str]) -> Output {
    binary().args(words).stdin(Stdio::null()).output().unwrap()
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON but {:?}: {error}", self.text()))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// One request on a connection of its own.
pub(crate) fn request(
    to: SocketAddr,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut text = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text += &format!("Host: {to}\r\n");
    }
    for (name, value) in fields {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    text += "\r\n";
    stream.write_all(text.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).unwrap();
    parse(&raw)
}

fn parse(raw: &[u8]) -> Answer {
    let end = raw
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer but {raw:?}"));
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let rest = &raw[end + 4..];
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Answer { status, head, body: if chunked { dechunk(rest) } else { rest.to_vec() } }
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap().trim(), 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// A small origin: answers 200 with what it saw, keeps connections open, counts requests.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
}

impl Origin {
    /// `name` is in each answer, so that origins can be told apart.
    pub(crate) fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || answer_all(stream, name, &counted));
            }
        });
        Self { address, requests }
    }

    /// An upstream with this origin as its only node.
    pub(crate) fn upstream(&self) -> Value {
        json!({ "type": "roundrobin", "nodes": { self.address.to_string(): 1 } })
    }

    pub(crate) fn seen(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn answer_all(stream: TcpStream, name: &str, counted: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((head, body)) = read_request(&mut reader) {
        counted.fetch_add(1, Ordering::SeqCst);
        let seen =
            json!({ "origin": name, "head": head, "body": String::from_utf8_lossy(&body) }).to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{seen}",
            seen.len()
        );
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// One request as it arrives: its head (trailers behind it), and its body without chunks. `None` at the end of the stream.
pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = read_lines(reader)?;
    let lower = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if lower.lines().any(|line| line.starts_with("transfer-encoding: chunked")) {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            if size == 0 {
                break;
            }
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            body.extend_from_slice(&chunk[..size]);
        }
        head += &read_lines(reader)?;
    } else if let Some(line) = lower.lines().find_map(|line| line.strip_prefix("content-length:")) {
        body = vec![0; line.trim().parse().ok()?];
        reader.read_exact(&mut body).ok()?;
    }
    Some((head, body))
}

/// Lines to the next empty one.
fn read_lines(reader: &mut impl BufRead) -> Option<String> {
    let mut lines = Vec::new();
    loop {
        let start = lines.len();
        if reader.read_until(b'\n', &mut lines).ok()? == 0 {
            return None;
        }
        if &lines[start..] == b"\r\n" {
            lines.truncate(start);
            return Some(String::from_utf8_lossy(&lines).into_owned());
        }
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
