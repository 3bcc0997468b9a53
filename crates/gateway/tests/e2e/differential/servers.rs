//! The origin servers: one of our own that writes down whatever comes, and four of others, each told to write down method, path and body.

use std::fmt;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::{eventually, read_request};

/// A request as a server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    method: String,
    target: String,
    body: String,
    /// The server found it wrong, or it wasn't whole.
    pub(super) refused: bool,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} with {:?}", self.method, self.target, self.body)
    }
}

impl Seen {
    pub(super) fn is_for(&self, target: &str) -> bool {
        self.target == target
    }

    /// The same request; bodies are compared where the server told them.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.method, &self.target, &self.body) == (&other.method, &other.target, &other.body)
    }

    /// Status, method, target and body, the latter three as hexadecimal digits; or as nginx writes them, `\xXX` for what isn't printable.
    fn parse(line: &str) -> Option<Self> {
        if let Some((status, rest)) = line.split_once('\t') {
            let mut parts =
                rest.split('\t').map(|part| if part == "-" { String::new() } else { unescaped(part) });
            let refused = status != "200";
            let mut part = || parts.next().unwrap_or_default();
            return Some(Self { method: part(), target: part(), body: part(), refused });
        }
        let mut parts = line.strip_prefix("seen ")?.split(' ');
        let status: u16 = parts.next()?.parse().ok()?;
        let text = |part: Option<&str>| {
            let part = part.unwrap_or_default().to_ascii_lowercase();
            let pairs = part.as_bytes().chunks(2);
            let bytes: Option<Vec<u8>> =
                pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
            bytes.map(|bytes| bytes.iter().map(|byte| char::from(*byte)).collect::<String>())
        };
        let (method, target, body) = (text(parts.next()), text(parts.next()), text(parts.next()));
        let refused = !(200..300).contains(&status);
        Some(Self {
            method: method.unwrap_or_default(),
            target: target.unwrap_or_default(),
            body: body.unwrap_or_default(),
            refused,
        })
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        out += &rest[..at];
        let digits = rest.get(at + 2..at + 4).unwrap_or_default();
        out.push(char::from(u8::from_str_radix(digits, 16).unwrap_or(b'?')));
        rest = rest.get(at + 4..).unwrap_or_default();
    }
    out + rest
}

/// A server; it ends when it is dropped.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    log: Log,
    process: Option<Child>,
}

enum Log {
    Kept(Arc<Mutex<Vec<Seen>>>),
    File(PathBuf),
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // Gone already is as good.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// An address where nobody listens.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.77:0").unwrap().local_addr().unwrap()
}

impl Server {
    /// The recorder first, then the others.
    pub(super) fn all(folder: &Path) -> Vec<Self> {
        let others = [nginx(folder), haproxy(folder), python(folder), node(folder)];
        let all: Vec<Self> = std::iter::once(recorder()).chain(others).collect();
        for server in &all {
            eventually(server.name, || TcpStream::connect(server.address).is_ok());
        }
        all
    }

    /// What it saw so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        match &self.log {
            Log::Kept(seen) => seen.lock().unwrap().clone(),
            Log::File(path) => {
                let bytes = std::fs::read(path).unwrap_or_default();
                String::from_utf8_lossy(&bytes).lines().filter_map(Seen::parse).collect()
            }
        }
    }

    fn start(name: &'static str, address: SocketAddr, log: PathBuf, command: &mut Command) -> Self {
        let out = std::fs::File::options().create(true).append(true).open(log.with_extension("out")).unwrap();
        let process = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} has to be installed for this test: {error}"));
        Self { name, address, log: Log::File(log), process: Some(process) }
    }
}

/// Takes whatever comes, for as long as it can be read at all.
fn recorder() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let all = Arc::<Mutex<Vec<Seen>>>::default();
    let kept = Arc::clone(&all);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || {
                let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
                while let Some((head, body)) = read_request(&mut reader) {
                    let mut line = head.lines().next().unwrap_or_default().splitn(3, ' ');
                    let mut part = || line.next().unwrap_or_default().to_owned();
                    let body = body.iter().map(|byte| char::from(*byte)).collect();
                    let seen = Seen { method: part(), target: part(), body, refused: false };
                    let head_only = seen.method == "HEAD";
                    kept.lock().unwrap().push(seen);
                    let answer = if head_only {
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
                    } else {
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                    };
                    if writer.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Server { name: "the recorder", address, log: Log::Kept(all), process: None }
}

/// Its body is read because it is passed on, to itself.
fn nginx(folder: &Path) -> Server {
    let (address, behind) = (free(), free());
    let place = folder.join("nginx");
    std::fs::create_dir(&place).unwrap();
    let raw = place.join("raw");
    let text = format!(
        "daemon off; master_process off; pid {pid}; error_log {error} crit;\nevents {{ }}\nhttp {{\n\
         client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
         client_body_in_single_buffer on; client_body_buffer_size 64k; underscores_in_headers on; merge_slashes off;\n\
         log_format seen '$status\t$request_method\t$request_uri\t$request_body';\naccess_log off;\n\
         server {{ listen {address}; access_log {raw} seen; location / {{ proxy_pass http://{behind}; proxy_method GET; proxy_pass_request_body off; proxy_set_header Content-Length ''; }} }}\n\
         server {{ listen {behind}; location / {{ return 200 ok; }} }}\n}}\n",
        pid = place.join("pid").display(),
        error = place.join("error").display(),
        place = place.display(),
        raw = raw.display(),
    );
    let config = place.join("nginx.conf");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(program("nginx"));
    command.arg("-p").arg(&place).arg("-c").arg(&config);
    let mut server = Server::start("nginx", address, place.join("log"), &mut command);
    server.log = Log::File(raw);
    server
}

fn haproxy(folder: &Path) -> Server {
    let address = free();
    let place = folder.join("haproxy");
    std::fs::create_dir(&place).unwrap();
    let text = format!(
        "global\n log stdout format raw local0\n maxconn 200\ndefaults\n mode http\n log global\n option http-buffer-request\n\
         timeout client 20s\n timeout server 20s\n timeout connect 5s\nfrontend f\n bind {address}\n\
         http-request set-var(txn.m) method,hex\n http-request set-var(txn.u) url,hex\n http-request set-var(txn.b) req.body,hex\n\
         log-format \"seen %ST %[var(txn.m)] %[var(txn.u)] %[var(txn.b)]\"\n http-request return status 200 content-type text/plain string ok\n"
    );
    let config = place.join("haproxy.cfg");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(program("haproxy"));
    command.arg("-db").arg("-f").arg(&config);
    let log = place.join("log.out");
    let mut server = Server::start("haproxy", address, place.join("log"), &mut command);
    server.log = Log::File(log);
    server
}

fn python(folder: &Path) -> Server {
    let address = free();
    let (script, log) = (folder.join("origin.py"), folder.join("python.log"));
    std::fs::write(&script, PYTHON).unwrap();
    let mut command = Command::new("python3");
    command.arg(&script).arg(address.ip().to_string()).arg(address.port().to_string()).arg(&log);
    Server::start("python", address, log, &mut command)
}

fn node(folder: &Path) -> Server {
    let address = free();
    let (script, log) = (folder.join("origin.js"), folder.join("node.log"));
    std::fs::write(&script, NODE).unwrap();
    let mut command = Command::new("node");
    command.arg(&script).arg(address.ip().to_string()).arg(address.port().to_string()).arg(&log);
    Server::start("node", address, log, &mut command)
}

/// Debian has servers where users don't look.
fn program(name: &str) -> PathBuf {
    let place = Path::new("/usr/sbin").join(name);
    if place.exists() { place } else { name.into() }
}

const PYTHON: &str = r#"
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = open(sys.argv[3], "ab", buffering=0)

def hexed(text):
    return (text if isinstance(text, bytes) else text.encode("latin-1", "replace")).hex()

class Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send_error(self, code, *_, **__):
        log.write(b"seen %d\n" % code)
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % code)

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return body
                body += self.rfile.read(size)
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self):
        try:
            body = self.body()
        except ValueError:
            return self.send_error(400)
        log.write(("seen 200 %s %s %s\n" % (hexed(self.command), hexed(self.path), hexed(body))).encode())
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if self.command == "HEAD" else b"ok"))

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass

Server((sys.argv[1], int(sys.argv[2])), Origin).serve_forever()
"#;

const NODE: &str = r#"
const http = require('http'), fs = require('fs');
const [ip, port, path] = process.argv.slice(2);
const log = fs.openSync(path, 'a');
const hexed = (text) => Buffer.from(text, 'latin1').toString('hex');
const server = http.createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    fs.writeSync(log, `seen 200 ${hexed(request.method)} ${hexed(request.url)} ${Buffer.concat(pieces).toString('hex')}\n`);
    response.end('ok');
  });
});
server.keepAliveTimeout = 60000;
server.on('clientError', (error, socket) => {
  if (error.code !== 'ECONNRESET') fs.writeSync(log, 'seen 400\n');
  socket.destroy();
});
server.listen(Number(port), ip);
"#;
