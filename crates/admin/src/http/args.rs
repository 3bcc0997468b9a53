//! The arguments behind the `?` of a request.

use super::answer::Answer;
use super::place::Verb;

/// As many as nginx reads.
const MAX_ARGS: usize = 100;

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

    /// Objects don't vanish by themselves here, so a write that asks for it is refused instead of staying longer than its caller thinks.
    pub(super) fn refuse_ttl(&self, verb: Verb) -> Result<(), Answer> {
        match self.first("ttl") {
            None => Ok(()),
            Some(text) if number(text).is_none() => {
                Err(Answer::bad("invalid argument ttl: should be a number"))
            }
            Some(_) if matches!(verb, Verb::Get | Verb::Delete) => Ok(()),
            Some(text) => Err(Answer::bad(format!(
                "invalid argument ttl: {text} is not supported by this version of Usher, which keeps an object until it is deleted; \
                 leave ttl out"
            ))),
        }
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
