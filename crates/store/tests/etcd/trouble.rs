//! What can happen to a member, and what a person does to an etcd behind Usher's back.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::server::Member;

/// Base64, which etcd's JSON has keys and values in.
pub(crate) fn coded(text: &str) -> String {
    STANDARD.encode(text)
}

fn plain(value: &Value) -> String {
    String::from_utf8(STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}

impl Member {
    pub(crate) fn data(&self) -> PathBuf {
        self.arguments.iter().find_map(|word| word.strip_prefix("--data-dir=")).unwrap().into()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Stops its process in the middle of whatever it does; connections stay.
    pub(crate) fn stall(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let process = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &process]).status().unwrap().success());
    }

    /// Starts it again, and waits until it serves.
    pub(crate) fn restart(&mut self) {
        self.start();
        self.wait();
    }

    pub(crate) fn wait(&self) {
        for _ in 0..1500 {
            if self.is_well() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("etcd did not come back");
    }

    pub(crate) fn wipe(&self) {
        std::fs::remove_dir_all(self.data()).unwrap();
    }

    /// Copies its data, while it is down.
    pub(crate) fn back_up(&self, to: &Path) {
        assert!(self.process.is_none());
        copy(&self.data(), to);
    }

    /// Puts such a copy in the place of its data, while it is down.
    pub(crate) fn restore(&self, from: &Path) {
        assert!(self.process.is_none());
        self.wipe();
        copy(from, &self.data());
    }

    /// Asks etcd in its JSON.
    pub(crate) fn ask(&self, path: &str, question: &Value) -> Value {
        self.try_ask(path, question).unwrap_or_else(|answer| panic!("{path} {question}: {answer}"))
    }

    /// Asks again while etcd itself looks for a leader.
    fn try_ask(&self, path: &str, question: &Value) -> Result<Value, String> {
        let begin = Instant::now();
        loop {
            match self.ask_once(path, question) {
                Err(answer)
                    if answer.contains(r#""code":14"#) && begin.elapsed() < Duration::from_secs(15) =>
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
                answer => return answer,
            }
        }
    }

    fn ask_once(&self, path: &str, question: &Value) -> Result<Value, String> {
        let body = question.to_string();
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "POST /v3/{path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        if !head.split_once("\r\n").unwrap().0.ends_with(" 200 OK") {
            return Err(answer);
        }
        Ok(serde_json::from_str(body).unwrap())
    }

    pub(crate) fn put(&self, key: &str, value: &str) {
        self.ask("kv/put", &json!({"key": coded(key), "value": coded(value)}));
    }

    /// A value that etcd deletes after so many seconds, as an APISIX writes one with `ttl`.
    pub(crate) fn put_for(&self, key: &str, value: &str, secs: u64) {
        let lease = self.ask("lease/grant", &json!({"TTL": secs.to_string()}))["ID"].clone();
        self.ask("kv/put", &json!({"key": coded(key), "value": coded(value), "lease": lease}));
    }

    pub(crate) fn delete(&self, key: &str) {
        self.ask("kv/deleterange", &json!({"key": coded(key)}));
    }

    /// What etcd has below a prefix: key, value, and the revision that changed it.
    pub(crate) fn range(&self, prefix: &str) -> Vec<(String, String, u64)> {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let answer = self.ask("kv/range", &json!({"key": coded(prefix), "range_end": STANDARD.encode(end)}));
        let found = answer["kvs"].as_array().cloned().unwrap_or_default();
        let revision = |one: &Value| one["mod_revision"].as_str().unwrap().parse().unwrap();
        found.iter().map(|one| (plain(&one["key"]), plain(&one["value"]), revision(one))).collect()
    }

    pub(crate) fn revision(&self) -> u64 {
        let answer = self.ask("kv/range", &json!({"key": coded("/none")}));
        answer["header"]["revision"].as_str().unwrap().parse().unwrap()
    }

    /// Forgets all history.
    pub(crate) fn compact(&self) {
        let question = json!({"revision": self.revision().to_string(), "physical": true});
        if let Err(answer) = self.try_ask("kv/compaction", &question) {
            // Nothing happened since the last time.
            assert!(answer.contains("has been compacted"), "{answer}");
        }
    }
}
