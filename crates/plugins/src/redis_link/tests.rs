//! Real Redis servers for tests: alone, as a cluster, and behind a sentinel.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::shared_name;

/// A Redis of a test's own, which ends with it.
pub(crate) struct Server {
    pub(crate) port: u16,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    // Below 55535, because a cluster's nodes speak to each other 10000 ports above.
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

impl Server {
    /// Starts a server with these further lines of configuration.
    pub(crate) fn start(settings: &str) -> Self {
        Self::run(settings, &[])
    }

    fn run(settings: &str, arguments: &[&str]) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let file = folder.path().join("redis.conf");
        let own = format!("port {port}\nbind 127.0.0.1\ndir {}\n", folder.path().display());
        let store = if arguments.is_empty() { "save \"\"\nappendonly no\n" } else { "" };
        std::fs::write(&file, format!("{own}{store}{settings}\n")).unwrap();
        let process = Command::new("redis-server")
            .arg(&file)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server, from the Debian package of that name");
        let server = Self { port, process, _folder: folder };
        within_ten_seconds(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    /// Three nodes that share the slots.
    pub(crate) fn cluster() -> Vec<Self> {
        let settings = "cluster-enabled yes\ncluster-node-timeout 2000\n";
        let nodes: Vec<Self> = (0..3).map(|_| Self::start(settings)).collect();
        let first = nodes[0].port;
        for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
            assert_eq!(node.ask(&format!("CLUSTER ADDSLOTSRANGE {slots}")), "+OK");
            if node.port != first {
                assert_eq!(node.ask(&format!("CLUSTER MEET 127.0.0.1 {first}")), "+OK");
            }
        }
        for node in &nodes {
            within_ten_seconds(|| node.all("CLUSTER INFO").iter().any(|line| line == "cluster_state:ok"));
        }
        nodes
    }

    /// A sentinel that knows this server as `mymaster`.
    pub(crate) fn watched(&self) -> Self {
        let settings = format!("sentinel monitor mymaster 127.0.0.1 {} 1\n", self.port);
        Self::run(&settings, &["--sentinel"])
    }

    /// The first line of the answer to a command.
    pub(crate) fn ask(&self, command: &str) -> String {
        self.all(command).first().cloned().unwrap_or_default()
    }

    /// All lines of an answer that come at once.
    pub(crate) fn all(&self, command: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "{command}\r\nQUIT\r\n").unwrap();
        BufReader::new(stream).lines().map_while(Result::ok).collect()
    }
}

pub(crate) fn within_ten_seconds(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "redis did not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn names_of_counters_are_short_whatever_the_key() {
    assert_eq!(shared_name("p", b"10.0.0.1"), b"p:10.0.0.1");
    for key in [b"a b".as_slice(), b"{x}", &[b'x'; 65], b"\xff"] {
        let name = shared_name("p", key);
        assert_eq!((name.len(), name.starts_with(b"p:=")), (67, true), "{key:?}");
    }
}
