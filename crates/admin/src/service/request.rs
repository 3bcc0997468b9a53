//! What callers ask of the service, and the records it answers with.
//!
//! Values that may hold secrets in clear are left out where these are printed for debugging.

use std::fmt;

use serde_json::Value;
use usher_model::change::{Change, Door, Edit, Risk, Role};
use usher_model::kind::{Key, Kind};

/// A set of edits as somebody wants them.
#[derive(Clone, Default)]
pub struct Wanted {
    /// The edits; the last one of a key wins.
    pub edits: Vec<Edit>,
    /// What the caller said, for the history; at most 500 characters are kept.
    pub intent: Option<String>,
    /// The revision that last changed an object when the caller saw it; `None`: nothing was there.
    pub expect: Vec<(Key, Option<u64>)>,
    /// Keeps `create_time` and `update_time` where the values have them, as PATCH does; missing ones are set. Default false: both are set,
    /// whatever the values say.
    pub keep_times: bool,
    /// Leaves out the check that nothing uses what is deleted. Default false.
    pub force: bool,
    /// After how many seconds the store deletes what is put, by itself and outside the history. Default `None`: never.
    pub ttl_secs: Option<u64>,
    /// Whether a set that is larger than one transaction of the store may be applied step by step. Default false: it is refused.
    pub in_steps: bool,
}

/// Which resources a whole document speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Only these kinds; empty is every kind.
    pub kinds: Vec<Kind>,
    /// Only resources that carry every one of these labels, name and value; empty is all of them.
    pub labels: Vec<(String, String)>,
    /// Whether what lies in the extent and is not in the document is deleted. Default false: it stays as it is.
    pub delete: bool,
}

/// A resource as it is stored, with secrets as the reader may see them.
#[derive(Clone)]
pub struct Stored {
    /// Its key.
    pub key: Key,
    /// What it is.
    pub value: Value,
    /// The revision that made it.
    pub created: u64,
    /// The revision that last changed it.
    pub modified: u64,
    /// When it ends by itself, in milliseconds since 1970; `None`: never, as far as Usher knows.
    pub ends_unix_ms: Option<u64>,
}

/// Which part of the history is wanted.
#[derive(Clone, Debug, Default)]
pub struct HistoryQuery {
    /// Only changes of this object.
    pub key: Option<Key>,
    /// Only changes before this revision.
    pub before: Option<u64>,
    /// At most so many; 0 is 20, more than 200 is 200.
    pub limit: usize,
}

/// An applied change.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The revision that it made.
    pub revision: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Who.
    pub principal: String,
    /// With which role.
    pub role: Role,
    /// Through which door.
    pub door: Door,
    /// What for.
    pub intent: Option<String>,
    /// The plan's id.
    pub plan: String,
    /// Its risk.
    pub risk: Risk,
    /// Who agreed: `direct`, `client`, or `person: ...`.
    pub approval: String,
    /// What changed, masked; at most the first ten objects.
    pub changes: Vec<Change>,
    /// How many objects changed in all.
    pub total: usize,
    /// Which step of a plan it was, and of how many, where the plan was applied in steps.
    pub step: Option<(usize, usize)>,
    /// The revision that it took back.
    pub undoes: Option<u64>,
    /// How many objects of it were not written, because the store stopped in between; they are not among the changes.
    pub missed: usize,
    /// Which those are; the first hundred.
    pub missed_keys: Vec<Key>,
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.edits.iter().map(|edit| edit.key.path()).collect();
        f.debug_struct("Wanted")
            .field("edits", &keys)
            .field("expect", &self.expect)
            .field("keep_times", &self.keep_times)
            .field("force", &self.force)
            .field("ttl_secs", &self.ttl_secs)
            .field("in_steps", &self.in_steps)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("key", &self.key)
            .field("created", &self.created)
            .field("modified", &self.modified)
            .finish_non_exhaustive()
    }
}
