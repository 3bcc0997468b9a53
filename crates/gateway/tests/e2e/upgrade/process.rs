//! A server whose process changes: started by a link that stands for the program, with its log and settings in files.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Answer, KEY, binary, eventually, request};

/// A server, and all processes that it was. They are killed when it is dropped.
pub(super) struct Handed {
    folder: tempfile::TempDir,
    addresses: Value,
    first: RefCell<Child>,
    /// Each process that served; the last one does.
    processes: Vec<u32>,
    notices: Option<UnixDatagram>,
}

impl Handed {
    pub(super) fn start(workers: usize, words: &[&str]) -> Self {
        let words = [&["--proxy-listen", "127.0.0.1:0"], words].concat();
        Self::spawn(&format!("workers: {workers}\n"), &words, false)
    }

    /// One that listens where these settings say.
    pub(super) fn start_by(yaml: &str) -> Self {
        Self::spawn(yaml, &[], false)
    }

    /// The same, told that somebody wants to hear of its life.
    pub(super) fn start_notifying() -> Self {
        Self::spawn("workers: 1\n", &["--proxy-listen", "127.0.0.1:0"], true)
    }

    fn spawn(yaml: &str, words: &[&str], notifies: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink(binary().get_program(), path("usher")).unwrap();
        std::fs::write(path("config.yaml"), yaml).unwrap();
        let listens =
            ["admin", "chat", "metrics"].map(|side| [format!("--{side}-listen"), "127.0.0.1:0".to_owned()]);
        let mut command = Command::new(path("usher"));
        let usual = binary();
        for (name, _) in usual.get_envs() {
            command.env_remove(name);
        }
        command
            .args(["serve", "--print-addresses", "--config", path("config.yaml").to_str().unwrap()])
            .args(["--data", path("data").to_str().unwrap()])
            .args(listens.as_flattened())
            .args(words)
            .env("USHER_ADMIN_KEY", KEY)
            .env("USHER_LOG", "info")
            .env_remove("SYSTEMD_EXEC_PID")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(path("log")).unwrap());
        let notices = notifies.then(|| {
            let socket = UnixDatagram::bind(path("notices")).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            command.env("NOTIFY_SOCKET", path("notices"));
            socket
        });
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error}: {line:?} {:?}", std::fs::read_to_string(path("log"))));
        let processes = vec![child.id()];
        Self { folder, addresses, first: RefCell::new(child), processes, notices }
    }

    pub(super) fn address(&self, side: &str) -> SocketAddr {
        self.address_of(side, 0)
    }

    pub(super) fn address_of(&self, side: &str, at: usize) -> SocketAddr {
        self.addresses[side][at].as_str().unwrap().parse().unwrap()
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// All whole lines so far: the last one may be on its way.
    pub(super) fn log(&self) -> String {
        let mut text = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        text
    }

    /// The process that serves.
    pub(super) fn process(&self) -> u32 {
        *self.processes.last().unwrap()
    }

    pub(super) fn configure(&self, workers: usize) {
        self.write_settings(&format!("workers: {workers}\n"));
    }

    pub(super) fn write_settings(&self, yaml: &str) {
        std::fs::write(self.folder.path().join("config.yaml"), yaml).unwrap();
    }

    /// Puts something else where the program is.
    pub(super) fn replace_program(&self, text: &str) {
        let (place, beside) = (self.folder.path().join("usher"), self.folder.path().join("beside"));
        std::fs::write(&beside, text).unwrap();
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(beside, place).unwrap();
    }

    pub(super) fn restore_program(&self) {
        let place = self.folder.path().join("usher");
        std::fs::remove_file(&place).unwrap();
        std::os::unix::fs::symlink(binary().get_program(), place).unwrap();
    }

    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Asks for an upgrade and waits until another process serves.
    pub(super) fn upgrade(&mut self) {
        let times = |log: &str, what: &str| log.matches(what).count();
        let [done, failed] = ["another process serves from now on", "did not take over"];
        let log = self.log();
        let before = (times(&log, done), times(&log, failed));
        self.signal("-USR2");
        eventually("another process serves", || {
            let log = self.log();
            assert_eq!(times(&log, failed), before.1, "{log}");
            times(&log, done) == before.0 + 1
        });
        let log = self.log();
        let line =
            log.lines().rev().find(|line| line.contains("another process serves from now on")).unwrap();
        let process = line.split_once("process=").unwrap().1.split_whitespace().next().unwrap();
        self.processes.push(process.parse().unwrap());
    }

    pub(super) fn notified(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.notices.as_ref().unwrap().recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    pub(super) fn earlier_have_ended(&self) -> bool {
        let (_, earlier) = self.processes.split_last().unwrap();
        earlier.iter().all(|process| self.has_ended(*process))
    }

    pub(super) fn all_have_ended(&self) -> bool {
        self.processes.iter().all(|process| self.has_ended(*process))
    }

    fn has_ended(&self, process: u32) -> bool {
        let mut first = self.first.borrow_mut();
        if first.id() == process {
            return first.try_wait().unwrap().is_some();
        }
        // Whoever inherits it may not wait for it; then it is a zombie.
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.is_empty() || stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    }

    pub(super) fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let text = body.map(Value::to_string).unwrap_or_default();
        let fields = [("X-API-KEY", KEY), ("Content-Type", "application/json")];
        request(self.address("admin"), method, &format!("/apisix/admin{path}"), &fields, text.as_bytes())
    }

    pub(super) fn put(&self, path: &str, body: &Value) {
        let answer = self.admin("PUT", path, Some(body));
        assert!(matches!(answer.status, 200 | 201), "{} {}", answer.status, answer.text());
    }

    pub(super) fn get(&self, path: &str) -> u16 {
        request(self.address("proxy"), "GET", path, &[], b"").status
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        for process in self.processes.iter().skip(1).filter(|process| !self.has_ended(**process)) {
            // Already gone is as good.
            let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status();
        }
        let first = self.first.get_mut();
        let _ = first.kill();
        let _ = first.wait();
    }
}
