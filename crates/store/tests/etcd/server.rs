//! A real etcd, on free ports and in a folder of its own. It dies with its test.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One member. Its process is over once this is dropped.
pub(crate) struct Member {
    pub(crate) port: u16,
    pub(crate) arguments: Vec<String>,
    pub(crate) tls: bool,
    pub(crate) process: Option<Child>,
}

impl Member {
    /// `127.0.0.1` and the port for clients.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts the process, as it was or as it will be from now on.
    pub(crate) fn start(&mut self) {
        let process = Command::new("etcd")
            .args(&self.arguments)
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd on the PATH: Debian's package etcd-server, which `cargo xtask test` installs");
        self.process = Some(process);
    }

    /// Whether it serves clients; for TLS, whether it accepts connections.
    pub(crate) fn is_well(&self) -> bool {
        let address = self.address().parse().unwrap();
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) else {
            return false;
        };
        if self.tls {
            return true;
        }
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let asked = stream.write_all(b"GET /health HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        // What came before an error is looked at as well.
        let _ = asked.and_then(|()| stream.read_to_string(&mut answer));
        answer.contains(r#""health":"true""#)
    }

    fn is_over(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.try_wait().unwrap().is_some())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Starts members of one cluster in a folder, and waits until all of them are well.
pub(crate) fn start(folder: &Path, count: usize, more: &[&str]) -> Vec<Member> {
    for _ in 0..5 {
        let mut members = prepare(folder, count, more);
        for member in &mut members {
            member.start();
        }
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(30) {
            if members.iter().all(Member::is_well) {
                return members;
            }
            // A port that was free may be taken meanwhile; then with other ports, from the beginning.
            if members.iter_mut().any(Member::is_over) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    panic!("etcd did not start");
}

fn prepare(folder: &Path, count: usize, more: &[&str]) -> Vec<Member> {
    let sockets: Vec<_> = (0..2 * count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
    drop(sockets);
    let (clients, peers) = ports.split_at(count);
    let tls = more.iter().any(|word| word.starts_with("--cert-file"));
    let scheme = if tls { "https" } else { "http" };
    let cluster: Vec<_> = (0..count).map(|at| format!("m{at}=http://127.0.0.1:{}", peers[at])).collect();
    (0..count)
        .map(|at| {
            let (name, data) = (format!("m{at}"), folder.join(format!("m{at}")));
            // A start that failed may have left something.
            let _ = std::fs::remove_dir_all(&data);
            let client = format!("{scheme}://127.0.0.1:{}", clients[at]);
            let peer = format!("http://127.0.0.1:{}", peers[at]);
            let mut arguments = vec![
                format!("--name={name}"),
                format!("--data-dir={}", data.display()),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster={}", cluster.join(",")),
                format!("--initial-cluster-token={}", folder.display()),
                "--logger=zap".to_owned(),
                "--log-level=fatal".to_owned(),
            ];
            arguments.extend(more.iter().map(|word| (*word).to_owned()));
            Member { port: clients[at], arguments, tls, process: None }
        })
        .collect()
}
