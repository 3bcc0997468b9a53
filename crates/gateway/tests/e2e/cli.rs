//! The command line against the real server: what a person types, reads, and gets as an exit code.

mod changes;
mod looks;
mod offline;
mod people;
mod round;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{KEY, Usher, binary};

/// A server, and a folder to type in.
pub(crate) struct Desk {
    pub(crate) usher: Usher,
    folder: tempfile::TempDir,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::of(Usher::start(&["--store", "memory"]))
    }

    /// At a server that runs already.
    pub(crate) fn of(usher: Usher) -> Self {
        Self { usher, folder: tempfile::tempdir().unwrap() }
    }

    /// Runs a command with the admin key.
    pub(crate) fn say(&self, words: &[&str]) -> Said {
        self.say_as(words, Some(KEY), "")
    }

    /// Runs it with another key or none, and with this on standard input.
    pub(crate) fn say_as(&self, words: &[&str], key: Option<&str>, input: &str) -> Said {
        let mut command = binary();
        command.current_dir(self.folder.path());
        command.env_remove("NO_COLOR").env_remove("USHER_ADMIN_URL");
        command.env("USHER_ADMIN_URL", format!("http://{}", self.usher.address("admin")));
        if let Some(key) = key {
            command.env("USHER_ADMIN_KEY", key);
        }
        run(command.args(words), input)
    }

    /// Runs a command that has to go well; what it printed.
    pub(crate) fn done(&self, words: &[&str]) -> String {
        let said = self.say(words);
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        said.out
    }

    /// The same as JSON.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let out = self.done(words);
        serde_json::from_str(&out)
            .unwrap_or_else(|error| panic!("{words:?} printed no JSON ({error}): {out}"))
    }

    /// Writes a file; its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The newest revision, and all that is configured.
    pub(crate) fn state(&self) -> (Value, String) {
        (self.json(&["status", "-o", "json"])["revision"].clone(), self.done(&["export"]))
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut std::process::Command, input: &str) -> Said {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that doesn't read its input closes it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Said {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// A path as a word of a command line.
pub(crate) fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A document with a route, an upstream and a consumer.
pub(crate) const SMALL: &str = r#"usher: 1
routes:
  a:
    uri: /a/*
    name: alpha
    labels: {team: pay}
    upstream_id: u
    plugins: {key-auth: {}}
upstreams:
  u: {type: roundrobin, nodes: {"127.0.0.1:9": 1}}
consumers:
  jack:
    plugins: {key-auth: {key: canary-of-jack}}
"#;
