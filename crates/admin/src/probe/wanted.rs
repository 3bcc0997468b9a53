//! A request as somebody wants it sent, checked: only a path of this gateway can be asked for, and how the message is framed is ours to say.

use std::net::SocketAddr;

use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use axum::http::{Method, Request, Uri};
use bytes::Bytes;
use http_body_util::Full;

/// Headers that say how a message is framed.
const FRAMING: [&str; 9] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "keep-alive",
    "proxy-connection",
];

/// A request to be sent.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The method, in any case.
    pub method: &'a str,
    /// Path and query as they stand in a request.
    pub target: &'a str,
    /// The `Host` header; that of the listener where there is none, or an empty one.
    pub host: Option<&'a str>,
    /// Further headers, in order.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The body; taken for JSON where no header says otherwise.
    pub body: Bytes,
    /// The `User-Agent` where no header says otherwise.
    pub agent: &'static str,
}

/// Why a request can't be sent. What was given is not in it: it may be long, or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// It is no method, or `CONNECT`.
    Method,
    /// It is no path as it stands in a request.
    Target,
    /// It can't stand in a `Host` header.
    Host,
    /// A header of this name, for a reason.
    Header(String, BadHeader),
}

/// Why a header can't be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHeader {
    /// Its name is none.
    Name,
    /// The host has its own member.
    Host,
    /// It says how the message is framed.
    Framing,
    /// Its value is more than one line of text.
    Value,
}

/// The names of headers that callers may not set, for people.
#[must_use]
pub fn framing_headers() -> String {
    FRAMING.join(", ")
}

impl Wanted<'_> {
    /// The request to the listener at this address.
    ///
    /// # Errors
    /// [`Unsendable`].
    pub fn request(self, address: SocketAddr) -> Result<Request<Full<Bytes>>, Unsendable> {
        let method = Method::from_bytes(self.method.to_ascii_uppercase().as_bytes()).ok();
        let method = method.filter(|method| *method != Method::CONNECT).ok_or(Unsendable::Method)?;
        let uri = Uri::builder().path_and_query(self.target).build().ok();
        let uri = uri.filter(|_| self.target.starts_with('/')).ok_or(Unsendable::Target)?;
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            let (name, value) =
                header(name, value).map_err(|reason| Unsendable::Header(name.to_owned(), reason))?;
            headers.append(name, value);
        }
        let host = self.host.filter(|host| !host.is_empty());
        let host = host.map_or_else(|| address.to_string(), str::to_owned);
        headers.insert(HOST, HeaderValue::from_str(&host).map_err(|_| Unsendable::Host)?);
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(self.agent));
        if !self.body.is_empty() {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        }
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), BadHeader> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| BadHeader::Name)?;
    if name == HOST {
        return Err(BadHeader::Host);
    }
    if FRAMING.contains(&name.as_str()) {
        return Err(BadHeader::Framing);
    }
    Ok((name, HeaderValue::from_str(value).map_err(|_| BadHeader::Value)?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{BadHeader, Unsendable, Wanted};

    fn wanted(target: &str) -> Wanted<'_> {
        Wanted { method: "get", target, agent: "usher-test", ..Wanted::default() }
    }

    #[test]
    fn a_request_says_what_its_caller_left_out() {
        let address = "127.0.0.1:9080".parse().unwrap();
        let request = wanted("/a?b=c").request(address).unwrap();
        assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("GET", "/a?b=c"));
        assert_eq!(request.headers()["host"], "127.0.0.1:9080");
        assert_eq!(request.headers()["user-agent"], "usher-test");
        assert!(!request.headers().contains_key("content-type"));
        let said = Wanted {
            host: Some("a.test"),
            headers: vec![("User-Agent", "mine"), ("X-A", "1"), ("x-a", "2")],
            body: Bytes::from_static(b"{}"),
            ..wanted("/")
        };
        let request = said.request(address).unwrap();
        assert_eq!(
            (&request.headers()["host"], &request.headers()["user-agent"]),
            (&"a.test".parse().unwrap(), &"mine".parse().unwrap())
        );
        assert_eq!(request.headers().get_all("x-a").iter().count(), 2);
        assert_eq!(request.headers()["content-type"], "application/json");
    }

    #[test]
    fn only_a_path_can_be_asked_for_and_framing_is_ours() {
        let address = "127.0.0.1:9080".parse().unwrap();
        for target in ["", "a", "http://evil.test/", "/a b", "*"] {
            assert_eq!(wanted(target).request(address).unwrap_err(), Unsendable::Target, "{target:?}");
        }
        assert!(wanted("//").request(address).is_ok());
        for method in ["", "a b", "connect"] {
            let refused = Wanted { method, ..wanted("/") }.request(address).unwrap_err();
            assert_eq!(refused, Unsendable::Method, "{method:?}");
        }
        let split = Wanted { host: Some("a\r\nb: c"), ..wanted("/") };
        assert_eq!(split.request(address).unwrap_err(), Unsendable::Host);
        for (name, value, reason) in [
            ("Host", "evil", BadHeader::Host),
            ("Content-Length", "5", BadHeader::Framing),
            ("transfer-encoding", "chunked", BadHeader::Framing),
            ("a b", "c", BadHeader::Name),
            ("X-A", "b\r\nX-B: c", BadHeader::Value),
        ] {
            let refused =
                Wanted { headers: vec![(name, value)], ..wanted("/") }.request(address).unwrap_err();
            assert_eq!(refused, Unsendable::Header(name.to_owned(), reason));
        }
    }
}
