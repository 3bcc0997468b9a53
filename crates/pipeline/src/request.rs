//! A request as plugins see it: its head, its one canonical path, its body.

use usher_http1::head::Head;

use crate::body::Body;

/// A request on its way to the upstream. Kept by a connection and refilled, so that its buffers are allocated once.
#[derive(Debug)]
pub struct Request {
    /// Method, raw target and fields. Plugins change method and fields here; the path is changed by [`Request::set_path`].
    pub head: Head,
    /// The body.
    pub body: Body,
    /// Whether the client came over TLS.
    pub tls: bool,
    path: String,
    query: String,
    has_query: bool,
    host: String,
    port: Option<u16>,
    target: Target,
    /// The path as it is forwarded, where that isn't the one that is judged.
    sent_path: String,
    seen_path: String,
    seen_query: Option<String>,
}

/// Which target is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// The head's own.
    AsItCame,
    /// The path and the query.
    Made,
    /// `sent_path` and the query: slashes that the client escaped stay escaped.
    Sent,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            head: Head::empty(),
            body: Body::Empty,
            tls: false,
            path: String::new(),
            query: String::new(),
            has_query: false,
            host: String::new(),
            port: None,
            target: Target::AsItCame,
            sent_path: String::new(),
            seen_path: String::new(),
            seen_query: None,
        }
    }
}

impl Request {
    /// Refills the request. `path` is canonical; `rewritten` says that it differs from the raw target, so that the target has to be written
    /// anew; `host` has no port, and is kept in lower case.
    pub fn refill(
        &mut self,
        path: &str,
        query: Option<&str>,
        rewritten: bool,
        host: &str,
        port: Option<u16>,
    ) {
        self.path.clear();
        self.path.push_str(path);
        self.query.clear();
        self.query.push_str(query.unwrap_or_default());
        self.has_query = query.is_some();
        self.host.clear();
        self.host.push_str(host);
        self.host.make_ascii_lowercase();
        self.port = port;
        self.target = if rewritten { Target::Made } else { Target::AsItCame };
        self.seen_path.clear();
        self.seen_query = None;
        self.body = Body::Empty;
    }

    /// Lets routes and plugins judge `path`, while the one that was there is forwarded as long as no plugin writes another.
    pub fn judge_as(&mut self, path: String) {
        self.sent_path = std::mem::replace(&mut self.path, path);
        self.target = Target::Sent;
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.head.method()
    }

    /// `http` or `https`, as the client came.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The one canonical path: what was routed by is what plugins judge. It is what is forwarded too, but for escaped slashes:
    /// [`Request::sent_path`].
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path that is forwarded: the judged one, but with slashes escaped where the client escaped them and no plugin wrote another.
    #[must_use]
    pub fn sent_path(&self) -> &str {
        if self.target == Target::Sent { &self.sent_path } else { &self.path }
    }

    /// The canonical path as the client spelled it: slashes that it escaped are escaped, unless a plugin has written another path.
    #[must_use]
    pub fn asked_path(&self) -> &str {
        if self.target == Target::Sent { &self.sent_path } else { self.original_path() }
    }

    /// The query without its `?`; `None` when there is no `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.has_query.then_some(self.query.as_str())
    }

    /// The host that the client asked for: lower case, no port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port in the `Host` header, if it has one.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Changes the path that is forwarded. Characters that may not stand in a path are percent-encoded.
    pub fn set_path(&mut self, path: &str) {
        self.remember();
        self.path.clear();
        encode_into(path, &mut self.path);
        self.target = Target::Made;
    }

    /// Changes the query that is forwarded; `None` takes the `?` away too.
    pub fn set_query(&mut self, query: Option<&str>) {
        self.remember();
        self.query.clear();
        encode_into(query.unwrap_or_default(), &mut self.query);
        self.has_query = query.is_some();
        if self.target == Target::AsItCame {
            self.target = Target::Made;
        }
    }

    /// Shows another query from now on, as it was asked for and as it is forwarded, and in the raw target: for logs of a request that is over.
    pub fn mask_query(&mut self, masked: impl Fn(&str) -> Option<String>) {
        self.remember();
        let target = self.head.target().to_owned();
        if let Some((path, query)) = target.split_once('?')
            && let Some(query) = masked(query)
        {
            let target = joined(path, &query);
            if let Err(error) = self.head.set_target(&target) {
                tracing::debug!(%error, "a masked target can't be written, and is left out");
                // A path alone can be.
                let _ = self.head.set_target(path);
            }
        }
        if let Some(query) = self.seen_query.as_deref().and_then(&masked) {
            self.seen_query = Some(query).filter(|query| !query.is_empty());
        }
        if let Some(query) = self.query().and_then(&masked) {
            self.set_query(Some(&query).filter(|query| !query.is_empty()).map(String::as_str));
        }
    }

    /// Whether the target has to be written anew instead of being forwarded as it came.
    #[must_use]
    pub const fn is_rewritten(&self) -> bool {
        !matches!(self.target, Target::AsItCame)
    }

    /// The canonical path as the client asked for it, before any plugin changed it.
    #[must_use]
    pub fn original_path(&self) -> &str {
        if self.seen_path.is_empty() { &self.path } else { &self.seen_path }
    }

    /// The query as the client asked for it, before any plugin changed it.
    #[must_use]
    pub fn original_query(&self) -> Option<&str> {
        if self.seen_path.is_empty() { self.query() } else { self.seen_query.as_deref() }
    }

    /// The value of the first query argument of this name, percent-decoded where needed. At most 256 arguments are looked at.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
        self.query()?.split('&').take(MAX_ARGUMENTS).find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
    }

    /// Takes away every query argument of this name.
    pub fn remove_argument(&mut self, name: &str) {
        let Some(query) = self.query() else { return };
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| decode(pair.split_once('=').map_or(*pair, |(key, _)| key)) != name)
            .collect();
        let kept = kept.join("&");
        if kept.len() != query.len() {
            self.set_query((!kept.is_empty()).then_some(kept.as_str()));
        }
    }

    /// The value of the cookie of this name.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.head.get_all("cookie").filter_map(|line| std::str::from_utf8(line).ok()).find_map(|line| {
            line.split(';').find_map(|pair| {
                let (key, value) = pair.trim().split_once('=')?;
                (key == name).then_some(value)
            })
        })
    }

    fn remember(&mut self) {
        if self.seen_path.is_empty() {
            self.seen_path.clone_from(&self.path);
            self.seen_query = self.query().map(str::to_owned);
        }
    }
}

/// How many query arguments are looked at; the rest matches nothing (reliability rule: bounded everything).
const MAX_ARGUMENTS: usize = 256;

/// Percent-encodes what may not stand in a request target, also a percent sign that begins no escape; what is already encoded stays as it is.
fn encode_into(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut digit = || ahead.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        let is_lone_percent = byte == b'%' && !(digit() && digit());
        if byte.is_ascii_graphic()
            && !is_lone_percent
            && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#')
        {
            out.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn joined(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

fn decode(text: &str) -> std::borrow::Cow<'_, str> {
    decode_form(text)
}

/// Decodes `%XX` and `+`; text that isn't UTF-8 afterwards stays encoded.
pub(crate) fn decode_form(text: &str) -> std::borrow::Cow<'_, str> {
    decode_with(text, true)
}

/// Decodes `%XX` alone, as in a path; text that isn't UTF-8 afterwards stays encoded.
pub(crate) fn decode_path(text: &str) -> std::borrow::Cow<'_, str> {
    decode_with(text, false)
}

fn decode_with(text: &str, plus: bool) -> std::borrow::Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if plus => out.push(b' '),
            b'%' => {
                let mut ahead = bytes.clone();
                let digits = ahead.next().zip(ahead.next());
                let value = digits.and_then(|(high, low)| {
                    Some(char::from(high).to_digit(16)? * 16 + char::from(low).to_digit(16)?)
                });
                match value.and_then(|value| u8::try_from(value).ok()) {
                    Some(value) => {
                        out.push(value);
                        bytes = ahead;
                    }
                    None => out.push(b'%'),
                }
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).map_or(text.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::Request;

    fn request(path: &str, query: Option<&str>) -> Request {
        let mut request = Request::default();
        request.refill(path, query, false, "a.test", None);
        request
    }

    #[test]
    fn arguments_are_found_decoded_and_removed() {
        let mut request = request("/x", Some("a=1&b=%20c+d&a=2&%61pi=k"));
        assert_eq!(request.argument("b").as_deref(), Some(" c d"));
        assert_eq!(request.argument("api").as_deref(), Some("k"));
        request.remove_argument("a");
        assert_eq!(request.query(), Some("b=%20c+d&%61pi=k"));
        request.remove_argument("b");
        request.remove_argument("api");
        assert_eq!(request.query(), None);
        assert_eq!(request.original_query(), Some("a=1&b=%20c+d&a=2&%61pi=k"));
    }

    #[test]
    fn a_new_path_is_encoded_and_the_old_one_remembered() {
        let mut request = request("/old", None);
        request.set_path("/new one\r\nX: y/%41");
        assert_eq!(request.path(), "/new%20one%0D%0AX:%20y/%41");
        assert_eq!(request.original_path(), "/old");
        assert!(request.is_rewritten());
    }

    #[test]
    fn an_escaped_slash_is_forwarded_until_a_plugin_writes_the_path() {
        let mut request = request("/a%2Fb", None);
        request.judge_as("/a/b".to_owned());
        request.set_query(Some("x=1"));
        assert_eq!((request.path(), request.sent_path(), request.is_rewritten()), ("/a/b", "/a%2Fb", true));
        request.set_path("/c");
        assert_eq!((request.path(), request.sent_path(), request.original_path()), ("/c", "/c", "/a/b"));
        request.refill("/d", None, false, "a.test", None);
        request.set_query(Some("x=1"));
        assert_eq!(request.sent_path(), "/d");
    }

    #[test]
    fn a_percent_sign_that_begins_no_escape_is_encoded_and_an_escape_is_not() {
        for (path, wanted) in [
            ("/a b/\u{e9}%zz", "/a%20b/%C3%A9%25zz"),
            ("/%41%c3%A9", "/%41%c3%A9"),
            ("/100%", "/100%25"),
            ("/%4", "/%254"),
            ("/%%41", "/%25%41"),
            ("/%2g%2G", "/%252g%252G"),
            ("/%25zz", "/%25zz"),
        ] {
            let mut request = request("/old", None);
            request.set_path(path);
            assert_eq!(request.path(), wanted, "{path}");
            request.set_query(Some(path));
            assert_eq!(request.query(), Some(wanted), "{path} as a query");
        }
    }
}
