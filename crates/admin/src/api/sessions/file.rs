//! The file that sessions are kept in over a restart: sealed by the keyring, so that whoever can write to the data folder and nothing else can't let
//! himself in, and without anything that a session could be used with.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Digest, Whose};
use crate::service::Service;

/// What it is sealed for.
const PURPOSE: &str = "console-sessions";
/// The largest file that is read, in bytes.
const MOST_BYTES: u64 = 4 << 20;

/// Where sessions are kept.
pub(in crate::api) struct SessionFile {
    path: PathBuf,
    service: Arc<Service>,
}

/// A session as it is kept. Times are the wall clock's: no other goes on over a restart.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) digest: Digest,
    pub(super) whose: Whose,
    pub(super) began_unix_ms: u64,
    pub(super) seen_unix_ms: u64,
    pub(super) longest_secs: u64,
}

impl SessionFile {
    /// This file, sealed by this service's keyring.
    pub(in crate::api) const fn new(path: PathBuf, service: Arc<Service>) -> Self {
        Self { path, service }
    }

    /// What it holds. A file that can't be read counts as none: everybody logs in once more.
    pub(super) fn load(&self) -> Vec<Kept> {
        let text = match fs::metadata(&self.path) {
            Ok(about) if about.len() > MOST_BYTES => Err("it is too large".to_owned()),
            Ok(_) => fs::read_to_string(&self.path).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(error) => Err(error.to_string()),
        };
        let opened = text.and_then(|text| {
            let clear = self.service.open_note(PURPOSE, &text);
            let clear = clear.ok_or("it is damaged, or another keyring sealed it")?;
            serde_json::from_str(&clear).map_err(|error| error.to_string())
        });
        opened.unwrap_or_else(|reason| {
            tracing::warn!(file = %self.path.display(), reason, "the sessions of the console can't be read: everybody logs in once more");
            Vec::new()
        })
    }

    /// Writes all of them. Where that fails, they end with the process.
    pub(super) fn save(&self, kept: &[Kept]) {
        let sealed =
            serde_json::to_string(kept).ok().and_then(|clear| self.service.seal_note(PURPOSE, &clear));
        let Some(sealed) = sealed else { return };
        if let Err(error) = replace(&self.path, &sealed) {
            tracing::warn!(file = %self.path.display(), %error, "the sessions of the console could not be written, and end with the process");
        }
    }
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut new = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    drop(new);
    fs::rename(beside, path)
}
