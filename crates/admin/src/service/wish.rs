//! What a caller asked for, as the service carries it from plan to apply.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use usher_model::change::Edit;
use usher_model::kind::Key;

use super::ServiceError;
use super::request::Wanted;

/// The most characters of an intent that are kept.
const INTENT_CHARS: usize = 500;

/// What happens to `create_time` and `update_time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// `create_time` comes from what is stored, `update_time` is now.
    Set,
    /// Those that are given stay; missing ones are set.
    Keep,
    /// The value stays as it is, so that an undo brings the same bytes back.
    Exact,
}

/// One resource as it shall be; `None` deletes it. The value is shared: a set may be very large, and many look at it.
#[derive(Clone)]
pub(super) struct Aim {
    pub(super) key: Key,
    pub(super) after: Option<Arc<Value>>,
}

/// The same once it was checked, in the very bytes that would be stored: as a tree it would take ten times the room, and a plan may wait for long.
#[derive(Clone)]
pub(super) struct Goal {
    pub(super) key: Key,
    pub(super) after: Option<Bytes>,
}

impl Goal {
    /// As an edit again.
    pub(super) fn aim(&self) -> Result<Aim, ServiceError> {
        let after = self.after.as_ref().map(|text| parsed(&self.key, text)).transpose()?;
        Ok(Aim { key: self.key.clone(), after: after.map(Arc::new) })
    }
}

/// A value of ours, read again.
pub(super) fn parsed(key: &Key, text: &[u8]) -> Result<Value, ServiceError> {
    serde_json::from_slice(text)
        .map_err(|error| ServiceError::Damaged(format!("a value of {key} can't be read again: {error}")))
}

/// A set of edits on its way. Has no `Debug`, because the values may hold secrets in clear.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) edits: Vec<Aim>,
    pub(super) intent: Option<String>,
    pub(super) expect: Vec<(Key, Option<u64>)>,
    pub(super) times: Times,
    pub(super) force: bool,
    /// After how many seconds the store deletes what is put.
    pub(super) ttl_secs: Option<u64>,
    /// Whether it may be applied step by step where it is too large for one transaction.
    pub(super) in_steps: bool,
    /// Whether sealed texts in the values are our own, from a plan or the history.
    pub(super) trusted: bool,
    /// The revision that it takes back.
    pub(super) undoes: Option<u64>,
    /// Whether whoever takes it back made it: what an object referred to before is given back with it, whatever the scope.
    pub(super) restores: bool,
}

impl Wish {
    /// What somebody outside wants.
    pub(super) fn of(wanted: Wanted) -> Self {
        let Wanted { edits, intent, expect, keep_times, force, ttl_secs, in_steps } = wanted;
        Self {
            edits: edits
                .into_iter()
                .map(|Edit { key, after }| Aim { key, after: after.map(Arc::new) })
                .collect(),
            intent: intent.map(short),
            expect,
            times: if keep_times { Times::Keep } else { Times::Set },
            force,
            ttl_secs,
            in_steps,
            trusted: false,
            undoes: None,
            restores: false,
        }
    }

    /// The way back from `revision`. A way that went in steps goes back in steps too.
    pub(super) fn back(edits: Vec<Aim>, revision: u64, in_steps: bool, intent: Option<String>) -> Self {
        Self { undoes: Some(revision), intent: intent.map(short), ..Self::exact(edits, in_steps) }
    }

    /// Values of our own that are written as they are.
    pub(super) const fn exact(edits: Vec<Aim>, in_steps: bool) -> Self {
        Self {
            edits,
            intent: None,
            expect: Vec::new(),
            times: Times::Exact,
            force: false,
            ttl_secs: None,
            in_steps,
            trusted: true,
            undoes: None,
            restores: false,
        }
    }

    /// The same wish after a check, without its edits: those stand beside it as they would be stored, with secrets sealed.
    pub(super) fn checked(&self, intent: Option<String>) -> Self {
        Self {
            edits: Vec::new(),
            intent,
            expect: self.expect.clone(),
            times: self.times,
            force: self.force,
            ttl_secs: self.ttl_secs,
            in_steps: self.in_steps,
            trusted: true,
            undoes: self.undoes,
            restores: self.restores,
        }
    }
}

fn short(intent: String) -> String {
    match intent.char_indices().nth(INTENT_CHARS) {
        Some((end, _)) => intent.get(..end).unwrap_or_default().to_owned(),
        None => intent,
    }
}

/// About how many bytes of memory a value takes.
pub(super) fn weight(value: &Value) -> usize {
    let own = size_of::<Value>();
    match value {
        Value::String(text) => own + text.len(),
        Value::Array(items) => own + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => {
            own + members.iter().map(|(name, member)| 2 * own + name.len() + weight(member)).sum::<usize>()
        }
        _ => own,
    }
}
