//! Clients of every kind that ask without a pause; one that fails says so when they are stopped.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::process::Handed;
use crate::support::{KEY, eventually, request};

/// The crowd.
pub(super) struct Crowd {
    stop: Arc<AtomicBool>,
    clients: Vec<Client>,
}

struct Client {
    what: &'static str,
    done: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Crowd {
    pub(super) fn start(usher: &Handed) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (proxy, admin) = (usher.address("proxy"), usher.address("admin"));
        let (stream, datagrams) = (usher.address("stream"), usher.address("stream_udp"));
        let mut clients = Vec::new();
        let mut add = |what: &'static str, ask: Box<dyn FnMut(usize) + Send>| {
            let done = Arc::<AtomicUsize>::default();
            let (counted, stopped, mut ask) = (Arc::clone(&done), Arc::clone(&stop), ask);
            let thread = std::thread::spawn(move || {
                while !stopped.load(Ordering::SeqCst) {
                    ask(counted.load(Ordering::SeqCst));
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            });
            clients.push(Client { what, done, thread });
        };
        for _ in 0..2 {
            add(
                "on fresh connections",
                Box::new(move |_| assert_eq!(request(proxy, "GET", "/fresh", &[], b"").status, 200)),
            );
            let mut kept = Kept::new(proxy);
            add("on connections that are kept", Box::new(move |_| kept.get()));
        }
        add("over TCP", Box::new(move |_| over_tcp(stream)));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        add("over UDP", Box::new(move |at| over_udp(&socket, datagrams, at)));
        add(
            "that writes",
            Box::new(move |at| {
                let body = format!("{{\"name\": \"service {at}\"}}");
                let fields = [("X-API-KEY", KEY), ("Content-Type", "application/json")];
                let answer =
                    request(admin, "PUT", &format!("/apisix/admin/services/{at}"), &fields, body.as_bytes());
                assert_eq!(answer.status, 201, "{}", answer.text());
            }),
        );
        Self { stop, clients }
    }

    /// Waits until each client has been served some more.
    pub(super) fn goes_on(&self) {
        for Client { what, done, thread } in &self.clients {
            let before = done.load(Ordering::SeqCst);
            eventually(what, || done.load(Ordering::SeqCst) > before + 3 || thread.is_finished());
            assert!(!thread.is_finished(), "a client {what} failed");
        }
    }

    /// Ends them. Says how many objects were written.
    pub(super) fn stop(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let mut written = 0;
        for Client { what, done, thread } in self.clients {
            thread.join().unwrap_or_else(|_| panic!("a client {what} failed"));
            if what == "that writes" {
                written = done.load(Ordering::SeqCst);
            }
        }
        written
    }
}

/// A client that leaves its connection only when it is told that it will be closed.
struct Kept {
    to: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Kept {
    const fn new(to: SocketAddr) -> Self {
        Self { to, connection: None }
    }

    fn get(&mut self) {
        let mut connection = self.connection.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(self.to).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            BufReader::new(stream)
        });
        connection.get_mut().write_all(b"GET /kept HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
        let (mut length, mut closes, mut line) = (0, false, String::new());
        connection.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line:?}");
        while line != "\r\n" {
            line.clear();
            connection.read_line(&mut line).unwrap();
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            closes |= lower.trim() == "connection: close";
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).unwrap();
        self.connection = (!closes).then_some(connection);
    }
}

fn over_tcp(to: SocketAddr) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"echo").unwrap();
    let mut came = [0; 4];
    stream.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"echo");
}

fn over_udp(socket: &UdpSocket, to: SocketAddr, at: usize) {
    let said = at.to_string();
    socket.send_to(said.as_bytes(), to).unwrap();
    let mut came = [0; 64];
    let (length, _) = socket.recv_from(&mut came).unwrap();
    assert_eq!(&came[..length], said.as_bytes());
}
