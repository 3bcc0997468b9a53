//! Patterns that users write (PCRE, as in APISIX) and what their matches are replaced by.
//!
//! Patterns run on bytes and in linear time; only look-around and back-references fall back to backtracking, with a limit. Replacements follow
//! nginx: `$1` ends after its digits, `$$` is a dollar sign.

use std::ops::Range;

use fancy_regex::{Captures, Regex};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_pipeline::plugin::BuildError;

/// Patterns that one member may hold: each is compiled with every change, and may be tried with every request.
const MOST_PATTERNS: usize = 1000;

/// Whether a member holds no more patterns than are taken.
///
/// # Errors
/// The sentence that names it.
pub(crate) fn check_count(member: &str, count: usize) -> Result<(), BuildError> {
    if count <= MOST_PATTERNS {
        return Ok(());
    }
    Err(BuildError::new(format!(
        "property \"{member}\" validation failed: it has {count} patterns, and at most {MOST_PATTERNS} are taken; put several into one as a|b"
    )))
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

/// What a pattern captured, by group; group 0 is the whole match. `None` is a group that took no part.
pub(crate) type Groups = Vec<Option<Range<usize>>>;

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        Self::with_options(pattern, "")
    }

    /// Compiles a pattern with nginx's option letters: `i`, `m`, `s`, `x` and `a` mean something; `j`, `o`, `u`, `U`, `d`, `D`, `J` are about
    /// PCRE's own machinery.
    ///
    /// # Errors
    /// What is wrong with the pattern or its options.
    pub(crate) fn with_options(pattern: &str, options: &str) -> Result<Self, String> {
        usher_script::pattern(pattern, options).map(Self).map_err(|bad| bad.to_string())
    }

    /// Whether it matches anywhere in the text.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text).unwrap_or_else(|error| {
            tracing::warn!(pattern = self.0.as_str(), %error, "a pattern gave up");
            false
        })
    }

    /// The groups of the first match.
    ///
    /// # Errors
    /// The pattern stepped back too often.
    pub(crate) fn groups(&self, text: &[u8]) -> Result<Option<Groups>, String> {
        let found = self.0.captures(text).map_err(|error| error.to_string())?;
        Ok(found.map(|captures| groups_of(&captures)))
    }

    /// The text with its first match replaced, or all of them; `None` when nothing matches.
    ///
    /// # Errors
    /// The pattern stepped back too often, or the new text is longer than `limit` bytes.
    pub(crate) fn replace(
        &self,
        text: &[u8],
        replacement: &Replacement,
        scope: Scope,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, String> {
        let mut out = None;
        let mut done = 0;
        // One match at a time: a pattern that matches everywhere would fill more memory with its matches than the text has.
        for found in self.0.captures_iter(text) {
            let captures = found.map_err(|error| error.to_string())?;
            let Some(whole) = captures.get(0) else { continue };
            let group_text = |group| captures.get(group).map_or(&[][..], |found| found.as_bytes());
            let out: &mut Vec<u8> = out.get_or_insert_default();
            out.extend_from_slice(text.get(done..whole.start()).unwrap_or_default());
            done = whole.end();
            let rest = text.len().saturating_sub(done);
            if out.len().saturating_add(replacement.length(group_text)).saturating_add(rest) > limit {
                return Err(format!("the new text is longer than {limit} bytes"));
            }
            replacement.expand(group_text, out);
            if scope == Scope::Once {
                break;
            }
        }
        if let Some(out) = &mut out {
            out.extend_from_slice(text.get(done..).unwrap_or_default());
        }
        Ok(out)
    }
}

/// Which matches are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// The first one.
    #[default]
    Once,
    /// All of them.
    Global,
}

fn groups_of(captures: &Captures<'_, [u8]>) -> Groups {
    (0..captures.len()).map(|group| captures.get(group).map(|found| found.range())).collect()
}

/// What a match is replaced by.
#[derive(Debug)]
pub(crate) struct Replacement(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// Reads `$1`, `${1}` and `$$`; any other dollar sign stands for itself.
    pub(crate) fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                plain.push('$');
                rest = after;
            } else if let Some((group, after)) = group_name(after) {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Group(group));
                rest = after;
            } else {
                plain.push('$');
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Self(pieces)
    }

    /// How long that is which a match is replaced by, in bytes.
    fn length<'t>(&self, group_text: impl Fn(usize) -> &'t [u8]) -> usize {
        let lengths = self.0.iter().map(|piece| match piece {
            Piece::Text(plain) => plain.len(),
            Piece::Group(group) => group_text(*group).len(),
        });
        lengths.fold(0, usize::saturating_add)
    }

    /// Writes what a match is replaced by, given the texts of its groups.
    fn expand<'t>(&self, group_text: impl Fn(usize) -> &'t [u8], out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => out.extend_from_slice(plain.as_bytes()),
                Piece::Group(group) => out.extend_from_slice(group_text(*group)),
            }
        }
    }

    /// The text with the match of these groups replaced.
    pub(crate) fn apply(&self, text: &[u8], groups: &Groups) -> Vec<u8> {
        let Some(Some(whole)) = groups.first() else { return text.to_vec() };
        let mut out = text.get(..whole.start).unwrap_or_default().to_vec();
        self.expand(|group| group_text(text, groups, group), &mut out);
        out.extend_from_slice(text.get(whole.end..).unwrap_or_default());
        out
    }
}

/// The text of a group; empty where it took no part.
pub(crate) fn group_text<'t>(text: &'t [u8], groups: &Groups, group: usize) -> &'t [u8] {
    let range = groups.get(group).cloned().flatten();
    range.and_then(|range| text.get(range)).unwrap_or_default()
}

/// The group that a text after `$` begins with, and what follows.
pub(crate) fn group_name(text: &str) -> Option<(usize, &str)> {
    let (inner, braced) = text.strip_prefix('{').map_or((text, false), |inner| (inner, true));
    let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = inner.split_at_checked(digits)?;
    let number = number.parse().ok()?;
    if braced { Some((number, rest.strip_prefix('}')?)) } else { Some((number, rest)) }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, Replacement, Scope};

    fn replaced(pattern: &str, options: &str, replacement: &str, scope: Scope, text: &str) -> String {
        let pattern = Pattern::with_options(pattern, options).unwrap();
        let new = pattern.replace(text.as_bytes(), &Replacement::parse(replacement), scope, 100).unwrap();
        new.map_or_else(|| text.to_owned(), |new| String::from_utf8(new).unwrap())
    }

    #[test]
    fn replaces_as_nginx_does() {
        for (pattern, options, replacement, text, expected) in [
            ("^/a/(.*)", "", "/b/$1", "/a/x", "/b/x"),
            ("(a)(b)?", "", "<$1${2}$0>", "ab-a", "<abab>-<aa>"),
            ("(x)", "jo", "$1a $$1 $ $y ${z}", "x", "xa $1 $ $y ${z}"),
            ("HELLO", "ijo", "bye", "Hello hello", "bye bye"),
            ("^b$", "m", "-", "a\nb", "a\n-"),
            ("a.b", "s", "-", "a\nb", "-"),
            ("b", "a", "-", "ab", "ab"),
            ("", "", "-", "ab", "-a-b-"),
            (r"a(?=b)", "", "-", "ab ac", "-b ac"),
            ("é", "", "e", "café", "cafe"),
        ] {
            let new = replaced(pattern, options, replacement, Scope::Global, text);
            assert_eq!(new, expected, "{pattern} {options}");
        }
        assert_eq!(replaced("a", "", "<$0>", Scope::Once, "bab-a"), "b<a>b-a");
        assert_eq!(replaced("x", "", "y", Scope::Once, "a"), "a");
    }

    #[test]
    fn a_replacement_of_one_match_is_the_same_by_its_groups() {
        let pattern = Pattern::new("/(b)(c)?").unwrap();
        let groups = pattern.groups(b"/a/b/d").unwrap().unwrap();
        assert_eq!(Replacement::parse("-$1$2-").apply(b"/a/b/d", &groups), b"/a-b-/d");
    }

    #[test]
    fn a_text_that_would_grow_without_end_is_refused() {
        let pattern = Pattern::new("").unwrap();
        let long = Replacement::parse(&"x".repeat(10));
        let grown = |text: &str| pattern.replace(text.as_bytes(), &long, Scope::Global, 100);
        assert_eq!(grown(&"a".repeat(8)).unwrap().unwrap().len(), 98);
        assert!(grown(&"a".repeat(9)).is_err());
    }

    #[test]
    fn refuses_what_is_no_pattern() {
        assert!(Pattern::new("(").is_err());
        assert!(Pattern::with_options("a", "z").is_err());
        assert!(Pattern::new(&"(a{100}){100}".repeat(100)).is_err());
    }

    #[test]
    fn patterns_that_run_away_elsewhere_take_linear_time() {
        let text = format!("{}!", "a".repeat(64 << 10));
        for pattern in ["^(a+)+$", "(.*a){25}$", "(a|aa)+$", "^(([a-z])+.)+[A-Z]([a-z])+$"] {
            // A backtracking engine would not come to an end here.
            assert!(!Pattern::new(pattern).unwrap().is_match(text.as_bytes()), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_runs_away_gives_up() {
        let pattern = Pattern::new(r"^(a+)+(?=x)$").unwrap();
        assert!(!pattern.is_match("a".repeat(60).as_bytes()));
    }
}
