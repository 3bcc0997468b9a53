//! A backup: everything of a store in one file, as of one revision where the store can, and how a store is made of it again.
//!
//! The form is lines of JSON, so that a person can look into it with ordinary tools:
//!
//! ```text
//! {"usher_archive":1,"store":"embedded","revision":1234,"written_unix_ms":1767225600000,"one_revision":true}
//! {"key":"/apisix/routes/1","created":7,"modified":9,"value":"{\"uri\":\"/a\"}"}
//! {"key":"/apisix/routes/2","created":8,"modified":8,"until_unix_ms":1767225900000,"base64":"..."}
//! {"entries":2,"sha256":"<of every byte before this line, in hexadecimal>"}
//! ```
//!
//! Entries are in the byte order of their keys, each key once; a value that isn't UTF-8 is in Base64. Secrets stay sealed: without the
//! keyring that they were sealed with they can't be opened. An archive whose last line is missing or doesn't fit is refused whole.

mod read;
mod write;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Entry, Revision, StoreError};
pub use read::{Archive, check, read, restore, restore_on};
pub use write::{Pieces, pieces, write};

/// The only version of the form.
const VERSION: u32 = 1;
/// What is kept: the resources, and Usher's own journal, tokens, users and audit.
const KEPT: [&str; 2] = ["/apisix/", "/usher/"];
/// The longest line: the largest transaction's value in JSON's longest spelling.
const MOST_LINE_BYTES: u64 = 6 * crate::MAX_TRANSACTION_BYTES as u64 + 4096;

/// What an archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveInfo {
    /// The kind of the store that it was made from: `embedded`, `etcd` and so on.
    pub store: String,
    /// The revision that it shows.
    pub revision: Revision,
    /// When it was made, in milliseconds since 1970.
    pub written_unix_ms: u64,
    /// Whether all of it is of that one revision; false where the store can't do that, or changed too fast.
    pub one_revision: bool,
    /// How many entries it has.
    pub entries: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

/// An entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The entry.
    pub entry: Entry,
    /// When the store deletes it, in milliseconds since 1970; `None` where it stays.
    pub until_unix_ms: Option<u64>,
}

/// Why an archive can't be made or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store.
    #[error("the store could not be read or made")]
    Store(#[from] StoreError),
    /// The file.
    #[error("the archive could not be read or written")]
    Io(#[from] io::Error),
    /// It is of a later version.
    #[error(
        "the archive has version {found}, but this Usher reads version 1; use the Usher that wrote it, or a later one"
    )]
    Version {
        /// The version that it has.
        found: u32,
    },
    /// It isn't what was written.
    #[error("line {line} of the archive is not as it was written: {reason}; take another archive")]
    Damaged {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A store lies where one should be made.
    #[error("{folder} holds a store already; give an empty folder, or move that store away")]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    usher_archive: u32,
    store: String,
    revision: Revision,
    written_unix_ms: u64,
    one_revision: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    created: Revision,
    modified: Revision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_unix_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    entries: u64,
    sha256: String,
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
