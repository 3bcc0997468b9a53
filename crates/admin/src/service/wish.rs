//! What a caller asked for, as the service carries it from plan to apply.

use serde_json::Value;
use usher_model::change::Edit;
use usher_model::kind::Key;

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

/// A set of edits on its way. Has no `Debug`, because the values may hold secrets in clear.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) edits: Vec<Edit>,
    pub(super) intent: Option<String>,
    pub(super) expect: Vec<(Key, Option<u64>)>,
    pub(super) times: Times,
    pub(super) force: bool,
    /// Whether sealed texts in the values are our own, from a plan or the history.
    pub(super) trusted: bool,
    /// The revision that it takes back.
    pub(super) undoes: Option<u64>,
}

impl Wish {
    /// What somebody outside wants.
    pub(super) fn of(wanted: Wanted) -> Self {
        let Wanted { edits, intent, expect, keep_times, force } = wanted;
        let times = if keep_times { Times::Keep } else { Times::Set };
        Self { edits, intent: intent.map(short), expect, times, force, trusted: false, undoes: None }
    }

    /// The way back from `revision`.
    pub(super) fn back(edits: Vec<Edit>, revision: u64, intent: Option<String>) -> Self {
        Self {
            edits,
            intent: intent.map(short),
            expect: Vec::new(),
            times: Times::Exact,
            force: false,
            trusted: true,
            undoes: Some(revision),
        }
    }

    /// The same wish after a check: the values as they would be stored, with secrets sealed.
    pub(super) fn checked(&self, edits: Vec<Edit>, intent: Option<String>) -> Self {
        Self { edits, intent, trusted: true, ..self.clone_without_edits() }
    }

    fn clone_without_edits(&self) -> Self {
        Self {
            edits: Vec::new(),
            intent: None,
            expect: self.expect.clone(),
            times: self.times,
            force: self.force,
            trusted: self.trusted,
            undoes: self.undoes,
        }
    }

    /// About how much memory the values take.
    pub(super) fn weight(&self) -> usize {
        self.edits.iter().map(|edit| 128 + edit.after.as_ref().map_or(0, weight)).sum()
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
