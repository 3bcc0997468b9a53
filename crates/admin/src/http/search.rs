//! Patterns of list searches: linear where the pattern allows it, else with a bound on backtracking.

use std::time::{Duration, Instant};

/// The longest pattern, in characters.
const MAX_CHARS: usize = 1000;

/// How large a compiled pattern may be, in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// How many instructions a pattern that backtracks may have.
const MAX_INSTRUCTIONS: usize = 10_000;

/// How often a pattern that backtracks may repeat something, counts inside each other multiplied: such loops don't count as steps back.
const MAX_REPEATS: u64 = 10_000;

/// How many steps back one text may cost.
const MAX_STEPS: usize = 20_000;

/// How long one list may be searched by a pattern that backtracks.
const SEARCH_WITHIN: Duration = Duration::from_millis(500);

/// A pattern in PCRE's syntax, for one search.
#[derive(Debug)]
pub(super) enum Pattern {
    /// Time is proportional to the text.
    Linear(regex::Regex),
    /// For look-around and back references, which nothing linear has.
    Backtracking {
        pattern: Box<fancy_regex::Regex>,
        /// When the search has to end.
        until: Instant,
    },
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let length = text.chars().count();
        if length > MAX_CHARS {
            return Err(format!("the pattern has {length} characters, at most {MAX_CHARS} are allowed"));
        }
        match regex::RegexBuilder::new(text).size_limit(MAX_COMPILED_BYTES).build() {
            Ok(linear) => return Ok(Self::Linear(linear)),
            Err(regex::Error::Syntax(_)) if repeats(text) <= MAX_REPEATS => {}
            Err(_) => {
                return Err(format!("\"{text}\" repeats too much; write smaller counts between {{ and }}"));
            }
        }
        let backtracking = fancy_regex::RegexBuilder::new(text)
            .backtrack_limit(MAX_STEPS)
            .delegate_size_limit(MAX_COMPILED_BYTES)
            .max_prog_size(MAX_INSTRUCTIONS)
            .build();
        match backtracking {
            Ok(pattern) => {
                let until = Instant::now() + SEARCH_WITHIN;
                Ok(Self::Backtracking { pattern: Box::new(pattern), until })
            }
            Err(error) => Err(format!("\"{text}\" is no regular expression: {error}")),
        }
    }

    /// Whether it is found anywhere in a text.
    ///
    /// # Errors
    /// Looking took too long.
    pub(super) fn finds(&self, text: &str) -> Result<bool, String> {
        match self {
            Self::Linear(pattern) => Ok(pattern.is_match(text)),
            Self::Backtracking { pattern, until } => {
                let found = pattern.is_match(text).ok().filter(|_| Instant::now() < *until);
                found.ok_or_else(|| {
                    "the pattern takes too long to search with; write a simpler one".to_owned()
                })
            }
        }
    }
}

/// All counts between braces multiplied, as if each stood inside the next: more than it can be, never less.
fn repeats(pattern: &str) -> u64 {
    let counts = pattern.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(count, _)| count);
    let largest = |count: &str| count.split(',').filter_map(|one| one.trim().parse::<u64>().ok()).max();
    counts.filter_map(largest).fold(1, |product, count| product.saturating_mul(count.max(1)))
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn finds_what_pcre_finds() {
        for (pattern, text, wanted) in [
            ("ell", "hello", true),
            ("^ell", "hello", false),
            ("^/api/v[12]/", "/api/v2/users", true),
            ("\\/api", "/api", true),
            ("he(?!llo)", "hello", false),
            ("(l)\\1", "hello", true),
            ("HELLO", "hello", false),
            ("(?i)HELLO", "hello", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().finds(text), Ok(wanted), "{pattern}");
        }
    }

    #[test]
    fn bad_and_costly_patterns_are_refused() {
        for bad in ["[", "(", "*a", "a{1000}{1000}{1000}", "(?=a)a{1000}{1000}", &"a".repeat(1001)] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
        let costly = Pattern::new("(?=a)(a*)*\\1b").unwrap();
        assert!(costly.finds(&"a".repeat(4096)).is_err());
    }
}
