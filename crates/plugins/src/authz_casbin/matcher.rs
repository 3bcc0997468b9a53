//! Casbin's pattern functions, each pattern compiled once.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::pattern::Pattern;

/// How a pattern is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/orders/*`.
    Key,
    /// `/orders/:id`, `/orders/*`.
    Key2,
    /// `/orders/{id}`, `/orders/*`.
    Key3,
    /// The same, where equal names stand for equal texts.
    Key4,
    /// The same as the third, without a query.
    Key5,
    /// A regular expression that matches anywhere.
    Regex,
    /// An address or a network.
    Ip,
    /// `*` and `?` within a part of a path.
    Glob,
}

impl Kind {
    /// The function of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "keyMatch" => Self::Key,
            "keyMatch2" => Self::Key2,
            "keyMatch3" => Self::Key3,
            "keyMatch4" => Self::Key4,
            "keyMatch5" => Self::Key5,
            "regexMatch" => Self::Regex,
            "ipMatch" => Self::Ip,
            "globMatch" => Self::Glob,
            _ => return None,
        })
    }
}

/// A compiled pattern.
pub(super) enum Matcher {
    Exact(String),
    Prefix(String),
    Regex(Pattern),
    /// A pattern with names: those of its groups, in order.
    Named(Pattern, Vec<String>),
    WithoutQuery(Pattern),
    Net(IpNet),
}

impl Matcher {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(kind: Kind, pattern: &str) -> Result<Self, String> {
        let refused = |reason: String| format!("the policy's pattern {pattern:?} can't be used: {reason}");
        let compiled = |text: &str| Pattern::new(text).map_err(refused);
        Ok(match kind {
            Kind::Key => match pattern.split_once('*') {
                Some((before, _)) => Self::Prefix(before.to_owned()),
                None => Self::Exact(pattern.to_owned()),
            },
            Kind::Key2 => Self::Regex(compiled(&key_pattern(pattern, ':', false).0)?),
            Kind::Key3 => Self::Regex(compiled(&key_pattern(pattern, '{', false).0)?),
            Kind::Key4 => {
                let (text, names) = key_pattern(pattern, '{', true);
                Self::Named(compiled(&text)?, names)
            }
            Kind::Key5 => Self::WithoutQuery(compiled(&key_pattern(pattern, '{', false).0)?),
            Kind::Regex => Self::Regex(compiled(pattern)?),
            Kind::Glob => Self::Regex(compiled(&glob_pattern(pattern))?),
            Kind::Ip => {
                let net = pattern.parse().ok().or_else(|| Some(IpNet::from(pattern.parse::<IpAddr>().ok()?)));
                Self::Net(net.ok_or_else(|| refused("it is no address or network".to_owned()))?)
            }
        })
    }

    /// Whether the text fits.
    pub(super) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::Regex(pattern) => pattern.is_match(text.as_bytes()),
            Self::WithoutQuery(pattern) => {
                pattern.is_match(text.split('?').next().unwrap_or_default().as_bytes())
            }
            Self::Named(pattern, names) => names_agree(pattern, names, text),
            Self::Net(net) => text.parse::<IpAddr>().is_ok_and(|ip| net.contains(&ip.to_canonical())),
        }
    }
}

/// Whether groups of one name caught one text.
fn names_agree(pattern: &Pattern, names: &[String], text: &str) -> bool {
    let Ok(Some(groups)) = pattern.groups(text.as_bytes()) else { return false };
    let caught = |at: usize| groups.get(at + 1).cloned().flatten().and_then(|range| text.get(range));
    names.iter().enumerate().all(|(at, name)| {
        let first = names.iter().position(|known| known == name).unwrap_or(at);
        caught(first) == caught(at)
    })
}

/// The regular expression of a path with names after `:` or in `{}`, and the names. Everything else stands for itself, `*` for anything.
fn key_pattern(pattern: &str, mark: char, catches: bool) -> (String, Vec<String>) {
    let (mut out, mut names) = ("^".to_owned(), Vec::new());
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        let name = match (letter, mark) {
            (':', ':') => {
                let end = rest.find('/').unwrap_or(rest.len());
                (end > 0).then(|| rest.split_at(end))
            }
            ('{', '{') => rest.split_once('}').filter(|(name, _)| !name.is_empty() && !name.contains('/')),
            _ => None,
        };
        if let Some((name, behind)) = name {
            out.push_str(if catches { "([^/]+)" } else { "[^/]+" });
            names.push(name.to_owned());
            rest = behind;
        } else if letter == '*' {
            out.push_str(".*");
        } else {
            push_literal(&mut out, letter);
        }
    }
    out.push('$');
    (out, names)
}

fn glob_pattern(pattern: &str) -> String {
    let mut out = "^".to_owned();
    for letter in pattern.chars() {
        match letter {
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            other => push_literal(&mut out, other),
        }
    }
    out.push('$');
    out
}

/// A letter that stands for itself.
fn push_literal(out: &mut String, letter: char) {
    if letter.is_ascii_alphanumeric() || matches!(letter, '/' | '_' | '-') || !letter.is_ascii() {
        out.push(letter);
    } else {
        // Writing to a String can't fail.
        let _ = write!(out, "\\x{:02x}", u32::from(letter));
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Matcher};

    #[test]
    fn patterns_match_as_casbins_do() {
        for (kind, pattern, text, wanted) in [
            (Kind::Key, "/foo/*", "/foo/bar", true),
            (Kind::Key, "/foo/*", "/foo", false),
            (Kind::Key, "/foo*", "/foo", true),
            (Kind::Key, "/foo", "/foo/bar", false),
            (Kind::Key2, "/r/:id", "/r/7", true),
            (Kind::Key2, "/r/:id", "/r/7/x", false),
            (Kind::Key2, "/r/:id/x", "/r/7/x", true),
            (Kind::Key2, "/r/*", "/r/7/x", true),
            (Kind::Key2, "/r.x", "/rax", false),
            (Kind::Key3, "/r/{id}", "/r/7", true),
            (Kind::Key3, "/r/{id}", "/r/", false),
            (Kind::Key3, "/r/{a}/{b}", "/r/1/2", true),
            (Kind::Key4, "/p/{id}/c/{id}", "/p/1/c/1", true),
            (Kind::Key4, "/p/{id}/c/{id}", "/p/1/c/2", false),
            (Kind::Key4, "/p/{id}/c/{other}", "/p/1/c/2", true),
            (Kind::Key5, "/r/{id}", "/r/7?x=1", true),
            (Kind::Regex, "^/r/[0-9]+$", "/r/12", true),
            (Kind::Regex, "r", "/r/12", true),
            (Kind::Regex, "^GET|POST$", "DELETE", false),
            (Kind::Ip, "10.0.0.0/8", "10.1.2.3", true),
            (Kind::Ip, "10.0.0.1", "10.0.0.2", false),
            (Kind::Ip, "10.0.0.1", "nonsense", false),
            (Kind::Glob, "/f/*", "/f/a", true),
            (Kind::Glob, "/f/*", "/f/a/b", false),
            (Kind::Glob, "/f/?.txt", "/f/a.txt", true),
        ] {
            let matcher = Matcher::new(kind, pattern).unwrap();
            assert_eq!(matcher.fits(text), wanted, "{kind:?} {pattern} {text}");
        }
        assert!(Matcher::new(Kind::Regex, "(").is_err());
        assert!(Matcher::new(Kind::Ip, "a").is_err());
    }
}
