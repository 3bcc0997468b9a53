//! The arguments behind the `?` of a request.

use super::answer::Answer;
use super::place::Verb;

/// As many as nginx reads.
const MAX_ARGS: usize = 100;

/// The longest time to live, in seconds: what etcd takes.
const LONGEST_TTL_SECS: f64 = 9_000_000_000.0;

/// Arguments in their order; the first of a name counts.
#[derive(Debug, Default)]
pub(super) struct Args(Vec<(String, String)>);

impl Args {
    /// Decodes a query: `%XX`, and `+` for a blank. A name without `=` has an empty value.
    pub(super) fn of(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned();
        Self(pairs.take(MAX_ARGS).collect())
    }

    /// The value of a name.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a name where it says more than nothing.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.first(name).filter(|value| !value.is_empty())
    }

    /// The value of a name where it is a number.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.first(name).and_then(number)
    }

    /// How long what is written lives, in seconds; `None` where it stays until it is deleted. A fraction of a second doesn't count.
    ///
    /// # Errors
    /// No number, with every method; less than a second, with those that write.
    pub(super) fn ttl_secs(&self, verb: Verb) -> Result<Option<u64>, Answer> {
        let Some(text) = self.first("ttl") else { return Ok(None) };
        let secs = number(text).ok_or_else(|| Answer::bad("invalid argument ttl: should be a number"))?;
        if matches!(verb, Verb::Get | Verb::Delete) {
            return Ok(None);
        }
        if !(1.0..=LONGEST_TTL_SECS).contains(&secs) {
            return Err(Answer::bad(format!(
                "invalid argument ttl: {text} is no time to live; write seconds from 1 to {LONGEST_TTL_SECS}, or leave ttl out"
            )));
        }
        Ok(Some(secs as u64))
    }
}

/// What Lua's `tonumber` takes for a number, short of its rarer spellings.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_matches([' ', '\t']);
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    // Rust would take a second sign, and words such as `inf` and `nan`.
    let good = |text: &str, first: fn(u8) -> bool| text.bytes().next().is_some_and(first);
    let value = match hex {
        Some(hex) if good(hex, |byte| byte.is_ascii_hexdigit()) => {
            u32::from_str_radix(hex, 16).ok().map(f64::from)?
        }
        None if good(digits, |byte| byte.is_ascii_digit() || byte == b'.') => {
            digits.parse().ok().filter(|value: &f64| value.is_finite())?
        }
        _ => return None,
    };
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::{Args, number};
    use crate::http::place::Verb;

    #[test]
    fn arguments_are_decoded_and_the_first_counts() {
        let args = Args::of(Some("name=a%2Bb+c&label&name=z&page=2"));
        assert_eq!(args.first("name"), Some("a+b c"));
        assert_eq!(args.first("label"), Some(""));
        assert_eq!(args.filled("label"), None);
        assert_eq!(args.first("uri"), None);
        assert_eq!(args.number("page"), Some(2.0));
        assert_eq!(Args::of(None).first("x"), None);
        let many: String = (0..200).map(|at| format!("a{at}=1&")).collect();
        assert_eq!(Args::of(Some(&many)).first("a150"), None);
    }

    #[test]
    fn a_time_to_live_is_a_number_of_seconds() {
        let ttl = |query: &str, verb| Args::of(Some(query)).ttl_secs(verb).map_err(|answer| answer.status());
        for (query, wanted) in [
            ("", Ok(None)),
            ("ttl=60", Ok(Some(60))),
            ("ttl=1.9", Ok(Some(1))),
            ("ttl=0x10", Ok(Some(16))),
            ("ttl=0", Err(400)),
            ("ttl=0.5", Err(400)),
            ("ttl=-1", Err(400)),
            ("ttl=1e12", Err(400)),
            ("ttl=", Err(400)),
            ("ttl=soon", Err(400)),
        ] {
            for verb in [Verb::Put, Verb::Post, Verb::Patch] {
                assert_eq!(ttl(query, verb), wanted, "{query}");
            }
        }
        assert_eq!((ttl("ttl=0", Verb::Get), ttl("ttl=x", Verb::Delete)), (Ok(None), Err(400)));
    }

    #[test]
    fn numbers_are_those_of_lua() {
        for (text, wanted) in [
            ("10", Some(10.0)),
            (" 10 ", Some(10.0)),
            ("1.5", Some(1.5)),
            ("1e2", Some(100.0)),
            ("0x10", Some(16.0)),
            ("-3", Some(-3.0)),
            ("+3", Some(3.0)),
            (".5", Some(0.5)),
            ("", None),
            ("ten", None),
            ("10s", None),
            ("inf", None),
            ("nan", None),
            ("0x", None),
            ("--1", None),
            ("-+1", None),
            ("0x+1", None),
            (".", None),
            ("1e999", None),
        ] {
            assert_eq!(number(text), wanted, "{text:?}");
        }
    }
}
