//! Looks at the file: whether it changed, whether it is written to its end, and what differs from what is in force.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use futures_util::future::FutureExt as _;
use serde_json::Value;
use usher_model::document::{self, Format};
use usher_model::kind::{Key, PREFIX};

use super::Options;
use crate::memory::Memory;
use crate::{Store as _, Transaction};

/// A file that was written this short a time ago may be written again without another time: its content is looked at, too.
const FRESH: Duration = Duration::from_secs(2);

/// What the last look saw.
#[derive(Debug, Default)]
pub(super) struct Look {
    stamp: Option<Stamp>,
    /// The content that is in force or was refused.
    judged: Option<u64>,
    /// The content that the last look saw, where it has no mark of its end.
    unmarked: Option<u64>,
    /// Why the content was refused.
    refused: Option<String>,
    /// The content that is about to be judged.
    now: Option<u64>,
}

/// What tells one version of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    bytes: u64,
    inode: u64,
}

/// What a look found.
pub(super) enum Seen {
    /// Nothing new.
    Same,
    /// Another text, written to its end.
    New(String),
}

impl Look {
    /// Looks once.
    ///
    /// # Errors
    /// The file can't be read, isn't written to its end, or is still the one that was refused.
    pub(super) fn at(&mut self, options: &Options) -> Result<Seen, String> {
        let first = self.judged.is_none() && self.unmarked.is_none();
        let metadata = std::fs::metadata(&options.path).map_err(|error| format!("can't be read: {error}"))?;
        // Whoever opens a pipe waits until somebody writes to it.
        if !metadata.is_file() {
            return Err("can't be read: it is no regular file".to_owned());
        }
        let stamp = Stamp {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            bytes: metadata.len(),
            inode: metadata.ino(),
        };
        let fresh = metadata.modified().ok().is_none_or(|modified| {
            SystemTime::now().duration_since(modified).map_or(true, |age| age < FRESH)
        });
        if self.stamp == Some(stamp) && !fresh && self.unmarked.is_none() {
            return self.same();
        }
        let text =
            std::fs::read_to_string(&options.path).map_err(|error| format!("can't be read: {error}"))?;
        self.stamp = Some(stamp);
        let digest = digest(&text);
        if self.judged == Some(digest) {
            self.unmarked = None;
            return self.same();
        }
        let marked = options.format == Format::Json || document::is_complete(&text);
        if !marked && options.apisix_only {
            return Err(format!("is not written to its end yet: its last line has to be {}", document::END));
        }
        // Without a mark of the end, a file is taken once it has stayed as it is for one look.
        if !marked && !first && self.unmarked.replace(digest) != Some(digest) {
            return self.same();
        }
        self.unmarked = None;
        self.now = Some(digest);
        Ok(Seen::New(text))
    }

    /// Remembers what became of the text that the last look gave.
    pub(super) fn judged(&mut self, refused: Option<&String>) {
        self.judged = self.now.take();
        self.refused = refused.cloned();
    }

    fn same(&self) -> Result<Seen, String> {
        self.refused.clone().map_or(Ok(Seen::Same), Err)
    }
}

/// Tells texts apart; nobody gains anything by making two that are alike.
fn digest(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// What leads from the objects in force to these.
pub(super) fn difference(memory: &Memory, objects: Vec<(Key, Value)>) -> Result<Transaction, String> {
    let listing = memory.list(PREFIX).now_or_never().unwrap_or_else(|| Ok(crate::Listing::default()));
    let listing = listing.map_err(|error| error.to_string())?;
    let mut gone: HashSet<String> = listing.entries.iter().map(|entry| entry.key.to_string()).collect();
    let mut transaction = Transaction::default();
    for (key, value) in objects {
        let path = key.path();
        gone.remove(&path);
        let known = listing.entries.binary_search_by(|entry| (*entry.key).cmp(path.as_str()));
        let before = known.ok().and_then(|at| listing.entries.get(at));
        // Members in another order are the same object.
        let same = before.is_some_and(|entry| {
            serde_json::from_slice::<Value>(&entry.value).is_ok_and(|before| before == value)
        });
        if !same {
            let bytes = serde_json::to_vec(&value).map_err(|error| error.to_string())?;
            transaction = transaction.put(path, bytes);
        }
    }
    let mut gone: Vec<String> = gone.into_iter().collect();
    gone.sort();
    Ok(gone.into_iter().fold(transaction, |transaction, path| transaction.delete(path)))
}
