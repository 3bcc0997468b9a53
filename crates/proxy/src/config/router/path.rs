//! Path patterns: exact, with a wildcard at the end, and with wildcards in the middle (data plane contract, section 3.1).

use std::borrow::Cow;
use std::fmt::Write as _;

use super::super::tree::Slot;

/// A path pattern as the index needs it.
pub(super) struct PathPattern<'a> {
    /// What stands before the first `*`.
    pub(super) text: Cow<'a, str>,
    /// Whether the text is the whole path or the beginning of it.
    pub(super) slot: Slot,
    /// What the whole path has to fit beside that.
    pub(super) glob: Option<Glob>,
}

/// A pattern with wildcards in the middle: these texts, in this order, with anything in between, slashes too.
#[derive(Debug)]
pub(super) struct Glob(Box<[Box<str>]>);

impl<'a> PathPattern<'a> {
    /// A pattern in the spelling that requests' paths have. `:name` is no parameter in the modes that Usher has, but means itself.
    pub(super) fn of(uri: &'a str) -> Self {
        let uri = spelled(uri);
        let Some((text, rest)) = uri.split_once('*') else {
            return Self { text: uri, slot: Slot::Exact, glob: None };
        };
        // A wildcard inside a segment ends what is looked at, as in APISIX.
        let whole_segment = text.is_empty() || text.ends_with('/');
        let glob = (whole_segment && rest.contains('/')).then(|| Glob::of(&uri));
        let end = text.len();
        let text = match uri {
            Cow::Borrowed(uri) => Cow::Borrowed(uri.get(..end).unwrap_or_default()),
            Cow::Owned(mut uri) => {
                uri.truncate(end);
                Cow::Owned(uri)
            }
        };
        Self { text, slot: Slot::Prefix, glob }
    }

    /// Whether a path fits it.
    pub(super) fn matches(&self, path: &str) -> bool {
        match self.slot {
            Slot::Exact => path == self.text,
            Slot::Prefix => {
                path.starts_with(&*self.text) && self.glob.as_ref().is_none_or(|glob| glob.matches(path))
            }
        }
    }
}

/// The pattern with each character spelled as in the canonical path of a request. Dot segments and doubled slashes stay as they are, and no request
/// matches them: what they would be resolved to was not asked for.
fn spelled(uri: &str) -> Cow<'_, str> {
    if !uri.starts_with('/') || uri.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%') {
        return Cow::Borrowed(uri);
    }
    let mut escaped = String::with_capacity(uri.len());
    for byte in uri.bytes() {
        if byte.is_ascii_graphic() {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    let mut canonical = String::new();
    let shape = |path: &str| (path.matches('/').count(), path.ends_with('/'));
    match crate::engine::canonical(&escaped, &mut canonical) {
        Ok(true) if shape(&canonical) == shape(&escaped) => Cow::Owned(canonical),
        Ok(false) => Cow::Owned(escaped),
        Ok(true) | Err(_) => Cow::Borrowed(uri),
    }
}

impl Glob {
    /// A segment that begins with `*` stands for anything, whatever name follows; a `*` at the very end does so too. Elsewhere it means itself.
    fn of(uri: &str) -> Self {
        let mut texts = vec![String::new()];
        for (at, segment) in uri.split('/').enumerate() {
            if at > 0
                && let Some(text) = texts.last_mut()
            {
                text.push('/');
            }
            if segment.starts_with('*') {
                texts.push(String::new());
            } else if let Some(text) = texts.last_mut() {
                text.push_str(segment);
            }
        }
        let open = texts.last().and_then(|text| text.strip_suffix('*')).map(str::to_owned);
        if let (Some(open), Some(text)) = (open, texts.last_mut()) {
            *text = open;
            texts.push(String::new());
        }
        Self(texts.into_iter().map(Into::into).collect())
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        let [first, middle @ .., last] = &*self.0 else { return false };
        let Some(rest) = path.strip_prefix(&**first) else { return false };
        let Some(mut rest) = rest.strip_suffix(&**last) else { return false };
        for text in middle {
            let Some((_, behind)) = rest.split_once(&**text) else { return false };
            rest = behind;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::PathPattern;

    #[test]
    fn patterns_match_as_in_apisix() {
        for (pattern, yes, no) in [
            ("/foo", &["/foo"][..], &["/foo/", "/fo", "/foobar", "/Foo"][..]),
            ("/foo*", &["/foo", "/foobar", "/foo/x"], &["/fo", "/"]),
            ("/foo/*", &["/foo/", "/foo/x", "/foo/x/y"], &["/foo", "/foobar"]),
            ("/*", &["/", "/x"], &["x", ""]),
            ("*", &["/", "x", ""], &[]),
            ("/a/*/c", &["/a/x/c", "/a/x/y/c", "/a//c"], &["/a/c", "/a/x/d", "/a/x/c/", "/b/x/c"]),
            ("/a/*name/c", &["/a/x/c"], &["/a/x/d"]),
            ("/a/*rest", &["/a/", "/a/x/y"], &["/a"]),
            ("/a/x*y", &["/a/x", "/a/xy", "/a/xz/y"], &["/a/y"]),
            ("/a/x*y/z", &["/a/x", "/a/x1"], &["/a/y"]),
            ("/*/b/*/d", &["/a/b/c/d", "/x/y/b/z/d", "/a/b/b/d/d"], &["/a/b/d", "/a/c/d", "/b/c/d"]),
            ("/a/*/x*", &["/a/b/x", "/a/b/xyz"], &["/a/b/y", "/a/x"]),
            ("/user/:id", &["/user/:id"], &["/user/7"]),
            ("*/c", &["/a/c", "/c"], &["/a/d"]),
            ("/caf\u{e9}/*", &["/caf%C3%A9/", "/caf%C3%A9/x"], &["/caf\u{e9}/x", "/cafe/x"]),
            ("/a b", &["/a%20b"], &["/a b", "/ab"]),
            ("/a%20b", &["/a%20b"], &["/a b"]),
            ("/%c3%a9x", &["/%C3%A9x"], &["/%c3%a9x"]),
            ("/%61b/*/%7Ec", &["/ab/x/~c", "/ab/x/y/~c"], &["/%61b/x/~c", "/ab/~c"]),
            ("/a%2fb", &["/a%2Fb"], &["/a/b"]),
            ("/%2a*", &["/%2A", "/%2Ax"], &["/x"]),
            ("/user/:\u{e9}", &["/user/:%C3%A9"], &["/user/7"]),
            ("/\u{e9}/../b", &[], &["/b", "/%C3%A9/b"]),
            ("/%2e%2e/b", &[], &["/b"]),
            ("/b/%2e", &[], &["/b/", "/b"]),
            ("/ //b", &[], &["/%20/b"]),
            ("/%zz", &[], &["/zz"]),
        ] {
            let parsed = PathPattern::of(pattern);
            for path in yes {
                assert!(parsed.matches(path), "{pattern} should take {path}");
            }
            for path in no {
                assert!(!parsed.matches(path), "{pattern} should not take {path}");
            }
        }
    }
}
