//! Path patterns: exact, with a wildcard at the end, with wildcards in the middle, and with parameters (data plane contract, section 3.1).

use std::borrow::Cow;
use std::fmt::Write as _;

use super::super::tree::Slot;
use super::parameters::Parameters;
use crate::engine::Spelling;
use crate::options::RouterMode;

/// A path pattern as the index needs it.
pub(super) struct PathPattern<'a> {
    /// What stands before the first `*` and, where parameters are known, the first `:`.
    pub(super) text: Cow<'a, str>,
    /// Whether the text is the whole path or the beginning of it.
    pub(super) slot: Slot,
    /// What the whole path has to fit beside that.
    pub(super) shape: Option<Shape>,
}

/// What a whole path has to look like, beside its beginning.
#[derive(Debug)]
pub(super) enum Shape {
    /// Wildcards in the middle.
    Glob(Glob),
    /// Parameters, and perhaps wildcards.
    Parameters(Parameters),
}

impl Shape {
    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.matches(path),
            Self::Parameters(parameters) => parameters.matches(path),
        }
    }

    /// Calls for every part that has a name, with the name and what stands there.
    pub(super) fn each_parameter(&self, path: &str, see: &mut dyn FnMut(&str, &str)) {
        match self {
            Self::Glob(glob) => glob.each_parameter(path, see),
            Self::Parameters(parameters) => parameters.each(path, see),
        }
    }
}

/// A pattern with wildcards in the middle: these texts, in this order, with anything in between, slashes too.
#[derive(Debug)]
pub(super) struct Glob {
    texts: Box<[Box<str>]>,
    /// The name of each wildcard; [`UNNAMED`] where it has none.
    names: Box<[Box<str>]>,
}

/// What a wildcard without a name is called, as in APISIX.
pub(super) const UNNAMED: &str = ":ext";

impl<'a> PathPattern<'a> {
    /// A pattern in the spelling that requests' paths have. `:name` is a parameter in one mode only; elsewhere it means itself.
    pub(super) fn of(uri: &'a str, mode: RouterMode) -> Self {
        let uri = spelled(uri);
        let parameters = mode == RouterMode::UriWithParameter && uri.contains(':');
        let (end, shape) = if parameters {
            let end = uri.find([':', '*']).unwrap_or(uri.len());
            (end, Some(Shape::Parameters(Parameters::of(&uri))))
        } else {
            let Some((text, rest)) = uri.split_once('*') else {
                return Self { text: uri, slot: Slot::Exact, shape: None };
            };
            // A wildcard inside a segment ends what is looked at, as in APISIX.
            let whole_segment = text.is_empty() || text.ends_with('/');
            (text.len(), (whole_segment && !rest.is_empty()).then(|| Shape::Glob(Glob::of(&uri))))
        };
        let text = match uri {
            Cow::Borrowed(uri) => Cow::Borrowed(uri.get(..end).unwrap_or_default()),
            Cow::Owned(mut uri) => {
                uri.truncate(end);
                Cow::Owned(uri)
            }
        };
        Self { text, slot: Slot::Prefix, shape }
    }

    /// Whether a path fits it.
    pub(super) fn matches(&self, path: &str) -> bool {
        match self.slot {
            Slot::Exact => path == self.text,
            Slot::Prefix => {
                path.starts_with(&*self.text) && self.shape.as_ref().is_none_or(|shape| shape.matches(path))
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
        Ok(Spelling::New) if shape(&canonical) == shape(&escaped) => Cow::Owned(canonical),
        Ok(Spelling::Plain | Spelling::Canonical) => Cow::Owned(escaped),
        Ok(Spelling::New) | Err(_) => Cow::Borrowed(uri),
    }
}

impl Glob {
    /// A segment that begins with `*` stands for anything, whatever name follows; a `*` at the very end does so too. Elsewhere it means itself.
    fn of(uri: &str) -> Self {
        let mut texts = vec![String::new()];
        let mut names = Vec::new();
        for (at, segment) in uri.split('/').enumerate() {
            if at > 0
                && let Some(text) = texts.last_mut()
            {
                text.push('/');
            }
            if let Some(name) = segment.strip_prefix('*') {
                texts.push(String::new());
                names.push(if name.is_empty() { UNNAMED } else { name }.into());
            } else if let Some(text) = texts.last_mut() {
                text.push_str(segment);
            }
        }
        let open = texts.last().and_then(|text| text.strip_suffix('*')).map(str::to_owned);
        if let (Some(open), Some(text)) = (open, texts.last_mut()) {
            *text = open;
            texts.push(String::new());
            names.push(UNNAMED.into());
        }
        Self { texts: texts.into_iter().map(Into::into).collect(), names: names.into() }
    }

    /// What each wildcard stands for: the first as much as it can, then the next, as a greedy pattern has it. So texts are looked for from behind.
    fn each_parameter(&self, path: &str, see: &mut dyn FnMut(&str, &str)) {
        let [first, middle @ .., last] = &*self.texts else { return };
        let Some(rest) = path.strip_prefix(&**first) else { return };
        let Some(mut rest) = rest.strip_suffix(&**last) else { return };
        let mut found = Vec::with_capacity(self.names.len());
        for text in middle.iter().rev() {
            let Some((before, behind)) = rest.rsplit_once(&**text) else { return };
            found.push(behind);
            rest = before;
        }
        found.push(rest);
        for (name, value) in self.names.iter().zip(found.into_iter().rev()) {
            see(name, value);
        }
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        let [first, middle @ .., last] = &*self.texts else { return false };
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
    use super::{PathPattern, RouterMode};

    #[test]
    fn parameters_stand_for_one_segment_and_named_wildcards_for_the_rest() {
        for (mode, pattern, path, wanted) in [
            (RouterMode::UriWithParameter, "/user/:id", "/user/7", Some("id=7")),
            (RouterMode::UriWithParameter, "/user/:id", "/user/", None),
            (RouterMode::UriWithParameter, "/user/:id", "/user/7/x", None),
            (RouterMode::UriWithParameter, "/user/:id/name/:name", "/user/7/name/a", Some("id=7 name=a")),
            (RouterMode::UriWithParameter, "/user/:id/*rest", "/user/7/a/b", Some("id=7 rest=a/b")),
            (RouterMode::UriWithParameter, "/user/:id/*", "/user/7/", Some("id=7 :ext=")),
            (RouterMode::UriWithParameter, "/user/:id/*", "/user/7", None),
            (RouterMode::UriWithParameter, "/:a/*b/c/*d/e", "/1/2/c/c/3/e", Some("a=1 b=2/c d=3")),
            (RouterMode::UriWithParameter, "/:a/*b/c/:d", "/1/2/c/3/c/4", Some("a=1 b=2/c/3 d=4")),
            (RouterMode::UriWithParameter, "/x:y/:z", "/x:y/1", Some("z=1")),
            (RouterMode::UriWithParameter, "/x:y/:z", "/x1/1", None),
            (RouterMode::UriWithParameter, "/:id/a*", "/7/abc/d", Some("id=7 :ext=bc/d")),
            (RouterMode::UriWithParameter, "/plain/*", "/plain/x", Some("")),
            (RouterMode::Uri, "/a/*x/c/*y/e", "/a/1/c/c/2/e", Some("x=1/c y=2")),
            (RouterMode::Uri, "/a/*/c", "/a/x/y/c", Some(":ext=x/y")),
            (RouterMode::Uri, "/user/:id", "/user/7", None),
        ] {
            let parsed = PathPattern::of(pattern, mode);
            let found = parsed.matches(path).then(|| {
                let mut all = Vec::new();
                if let Some(shape) = &parsed.shape {
                    shape.each_parameter(path, &mut |name, value| all.push(format!("{name}={value}")));
                }
                all.join(" ")
            });
            assert_eq!(found.as_deref(), wanted, "{pattern} {path}");
        }
    }

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
            let parsed = PathPattern::of(pattern, RouterMode::HostUri);
            for path in yes {
                assert!(parsed.matches(path), "{pattern} should take {path}");
            }
            for path in no {
                assert!(!parsed.matches(path), "{pattern} should not take {path}");
            }
        }
    }
}
