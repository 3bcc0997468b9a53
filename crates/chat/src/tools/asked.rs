//! What the newest plans were asked with, so that one that went stale is planned again from the same wish.
//!
//! A merge is a wish about a few members. The service knows only its result, in which somebody else's later change would be taken back.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Wishes that are remembered, and bytes of JSON that they take together; the oldest go first.
const MOST: usize = 200;
const MOST_BYTES: usize = 8 << 20;

/// The wishes. Has no `Debug`, because the changes may hold secrets in clear.
#[derive(Default)]
pub(super) struct Asked {
    kept: Mutex<VecDeque<Wish>>,
}

/// What was asked for with one plan.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) changes: Vec<Value>,
    pub(super) intent: Option<String>,
    plan: String,
    bytes: usize,
}

impl Asked {
    /// Remembers what a plan was asked with.
    pub(super) fn keep(&self, plan: &str, changes: &[Value], intent: Option<String>) {
        let bytes = changes.iter().map(|change| change.to_string().len()).sum();
        let wish = Wish { changes: changes.to_vec(), intent, plan: plan.to_owned(), bytes };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(wish);
        let mut all: usize = kept.iter().map(|wish| wish.bytes).sum();
        while kept.len() > MOST || all > MOST_BYTES {
            let Some(oldest) = kept.pop_front() else { break };
            all -= oldest.bytes;
        }
    }

    /// What a plan was asked with, which is forgotten by that.
    pub(super) fn take(&self, plan: &str) -> Option<Wish> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|wish| wish.plan == plan)?;
        kept.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Asked, MOST};

    #[test]
    fn the_oldest_wishes_are_forgotten_first() {
        let asked = Asked::default();
        for number in 0..=MOST {
            asked.keep(&number.to_string(), &[json!({ "number": number })], None);
        }
        assert!(asked.take("0").is_none());
        assert_eq!(asked.take("1").unwrap().changes, [json!({ "number": 1 })]);
        assert!(asked.take("1").is_none(), "taken once");
        for number in 0..4 {
            asked.keep(&format!("large {number}"), &["x".repeat(3 << 20).into()], None);
        }
        assert!(asked.take("large 1").is_none() && asked.take("2").is_none());
        assert!(asked.take("large 2").is_some() && asked.take("large 3").is_some());
    }
}
