//! Patterns of conditions, compiled once for all that have the same.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use super::BadExpr;
use super::parse::bad;

/// A pattern, linear wherever it can be: look-around and back-references take the slower engine, with a bound.
#[derive(Debug)]
pub(super) enum Pattern {
    Linear(regex::bytes::Regex),
    Fancy(Box<fancy_regex::Regex>),
}

/// How large a compiled pattern may be, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// How often the slower engine may step back before a pattern counts as not matching.
const BACKTRACKS: usize = 100_000;

/// A pattern's text, and whether case is ignored.
type Wanted = (String, bool);

/// Patterns in use.
static IN_USE: LazyLock<Mutex<HashMap<Wanted, Weak<Pattern>>>> = LazyLock::new(Mutex::default);

impl Pattern {
    /// The pattern, compiled once however many conditions have it: routes of many tenants often differ in everything but this, and a compiled pattern
    /// takes thousands of times the memory of its text.
    ///
    /// # Errors
    /// It can't be compiled.
    pub(super) fn shared(text: &str, case_insensitive: bool) -> Result<Arc<Self>, BadExpr> {
        let key = (text.to_owned(), case_insensitive);
        let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = in_use.get(&key).and_then(Weak::upgrade) {
            return Ok(pattern);
        }
        let pattern = Arc::new(Self::new(text, case_insensitive)?);
        if in_use.len() == in_use.capacity() {
            // Before it grows, and so at a cost that is small beside what was put in since the last time.
            in_use.retain(|_, pattern| pattern.strong_count() > 0);
        }
        in_use.insert(key, Arc::downgrade(&pattern));
        Ok(pattern)
    }

    fn new(text: &str, case_insensitive: bool) -> Result<Self, BadExpr> {
        let linear = regex::bytes::RegexBuilder::new(text)
            .case_insensitive(case_insensitive)
            .size_limit(PATTERN_BYTES)
            .build();
        if let Ok(regex) = linear {
            return Ok(Self::Linear(regex));
        }
        let fancy = fancy_regex::RegexBuilder::new(text)
            .case_insensitive(case_insensitive)
            .backtrack_limit(BACKTRACKS)
            .delegate_size_limit(PATTERN_BYTES)
            .build();
        fancy
            .map(|regex| Self::Fancy(Box::new(regex)))
            .map_err(|error| bad(format!("invalid regex '{text}': {error}")))
    }

    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        match self {
            Self::Linear(regex) => regex.is_match(text),
            Self::Fancy(regex) => {
                std::str::from_utf8(text).is_ok_and(|text| regex.is_match(text).unwrap_or(false))
            }
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Linear(regex) => regex.as_str(),
            Self::Fancy(regex) => regex.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{IN_USE, Pattern};

    #[test]
    fn the_same_pattern_is_held_once_and_only_as_long_as_somebody_has_it() {
        let shared = |text: &str, folded| Pattern::shared(text, folded).unwrap();
        let (one, other, folded) = (shared("^a+$", false), shared("^a+$", false), shared("^a+$", true));
        assert!(Arc::ptr_eq(&one, &other) && !Arc::ptr_eq(&one, &folded));
        assert!(one.is_match(b"aa") && !one.is_match(b"AA") && folded.is_match(b"AA"));
        assert!(Pattern::shared("(", false).is_err());
        for number in 0..10_000 {
            assert!(shared(&format!("^{number}$"), false).is_match(number.to_string().as_bytes()));
        }
        let held = IN_USE.lock().unwrap().len();
        assert!(held < 100, "{held} patterns are held and none is in use");
    }
}
