//! `gateway_probe`: one real request to our own gateway, to see that what was applied works.
//!
//! The only address it can reach is a listener of this gateway; a path, a host name or a redirect can't lead elsewhere. What comes back is
//! somebody else's text and shown as such.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::Full;
use serde_json::{Value, json};
use usher_admin::probe::{self, FRAMING, ProbeError, Seen, is_framing};
use usher_model::live::RouteName;

use super::arguments::Arguments;
use super::explain::{named, sketch};
use super::refusal::Refusal;
use super::text::{clean, untrusted};
use super::{Answer, Call};

/// Bytes of an answer that are read; what comes after is not waited for.
const MOST_READ: usize = 64 * 1024;
/// Characters of a body that are shown.
const MOST_BODY: usize = 2_000;
/// Headers of an answer that are shown, and characters of each.
const MOST_HEADERS: usize = 30;
const MOST_HEADER: usize = 300;

impl Call<'_> {
    pub(super) async fn probe(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let sketch = sketch(arguments)?;
        let live = self.service.live();
        let Some(address) = probe::address(&**live) else {
            return Err(
                Refusal::new("this gateway has no listener to probe").next("start it with --proxy-listen")
            );
        };
        let request = request(arguments, &sketch.target, address)?;
        let route = self.service.live().explain(&sketch).route;
        let sent = probe::send(&**live, address, request, MOST_READ).await;
        let seen = sent.map_err(|error| match error {
            ProbeError::Late => Refusal::new(error.to_string())
                .next("gateway_explain_request names the upstream that is waited for"),
            ProbeError::Gone(..) => Refusal::new(clean(&error.to_string(), 300)),
        })?;
        let millis = u64::try_from(seen.took.as_millis()).unwrap_or(u64::MAX);
        Ok(told(&seen, millis, route.as_ref()))
    }
}

fn request(
    arguments: &Arguments,
    target: &str,
    address: SocketAddr,
) -> Result<Request<Full<Bytes>>, Refusal> {
    let method = arguments.text("method").to_ascii_uppercase();
    let method = Method::from_bytes(method.as_bytes()).ok().filter(|method| *method != Method::CONNECT);
    let method = method.ok_or_else(|| {
        Refusal::new("this is no method to probe with")
            .at("/method")
            .allowed("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS and the like")
    })?;
    let uri = Uri::builder().path_and_query(target).build().map_err(|_| {
        Refusal::new(format!("{:?} is no path", clean(target, 100)))
            .at("/path")
            .allowed("a path as it stands in a request: percent-encoded, without spaces")
    })?;
    let body = arguments
        .text_or_null("body")
        .map(|body| Bytes::copy_from_slice(body.as_bytes()))
        .unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, value) in arguments.headers() {
        let (name, value) = header(name, value)?;
        headers.append(name, value);
    }
    let host = arguments
        .text_or_null("host")
        .filter(|host| !host.is_empty())
        .map_or_else(|| address.to_string(), str::to_owned);
    let host = HeaderValue::from_str(&host).map_err(|_| {
        Refusal::new(format!("{:?} is no host", clean(&host, 100)))
            .at("/host")
            .allowed("a name such as api.example.com, or null")
    })?;
    headers.insert(HOST, host);
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("usher-probe"));
    if !body.is_empty() {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// A header that a caller may set: how the message is framed is ours to say.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Refusal> {
    let at = || format!("{:?} can't be sent", clean(name, 64));
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Refusal::new(at()).at("/headers").allowed("a header's name"))?;
    if parsed == HOST {
        return Err(Refusal::new("the host has its own argument").at("/headers").next("give it as host"));
    }
    if is_framing(&parsed) {
        return Err(Refusal::new(at())
            .at("/headers")
            .allowed(format!("any header but {}", FRAMING.join(", "))));
    }
    let value = HeaderValue::from_str(value)
        .map_err(|_| Refusal::new(format!("the value of {parsed} can't be sent")).at("/headers"))?;
    Ok((parsed, value))
}

fn told(seen: &Seen, millis: u64, route: Option<&RouteName>) -> Answer {
    let headers: Vec<(String, String)> = seen.headers.iter().take(MOST_HEADERS).map(shown).collect();
    let body = String::from_utf8_lossy(&seen.body);
    let letters = body.chars().count();
    let body = match body.as_ref() {
        "" => String::new(),
        _ if looks_binary(&seen.body) => format!("{} bytes that are no text", seen.body.len()),
        text => untrusted("answer", text, MOST_BODY),
    };
    let by = route.map_or_else(|| "no route".to_owned(), |route| format!("route {}", named(route)));
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let mut text = format!(
        "{} in {millis} ms by {by}\n{}",
        seen.status,
        untrusted("headers", &lines.join("\n"), MOST_HEADERS * MOST_HEADER)
    );
    if !body.is_empty() {
        text.push_str(&format!("\n{body}"));
    }
    if seen.is_cut || letters > MOST_BODY {
        let read = if seen.is_cut { "more than " } else { "" };
        text.push_str(&format!(
            "\nthe body has {read}{} bytes; its first {MOST_BODY} characters at most are shown",
            seen.body.len()
        ));
    }
    let headers: Vec<Value> =
        headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let route = route.map(|route| clean(&route.id, 100));
    let structured =
        json!({ "status": seen.status, "headers": headers, "body": body, "millis": millis, "route": route });
    Answer { text, structured }
}

/// A header as it may be shown: a session that a backend hands out is no text for a transcript.
fn shown((name, value): (&HeaderName, &HeaderValue)) -> (String, String) {
    let hidden = ["set-cookie", "authorization", "proxy-authorization", "cookie"].contains(&name.as_str());
    let value = if hidden {
        "***".to_owned()
    } else {
        clean(&String::from_utf8_lossy(value.as_bytes()), MOST_HEADER)
    };
    (name.as_str().to_owned(), value)
}

fn looks_binary(body: &[u8]) -> bool {
    let odd = body.iter().take(512).filter(|byte| **byte < 9 || (14..32).contains(*byte)).count();
    odd > 8
}

#[cfg(test)]
mod tests {
    use super::header;

    #[test]
    fn framing_is_not_the_callers() {
        assert!(header("X-A", "b").is_ok());
        for (name, value) in [
            ("Host", "evil"),
            ("Content-Length", "5"),
            ("transfer-encoding", "chunked"),
            ("a b", "c"),
            ("X-A", "b\r\nX-B: c"),
        ] {
            assert!(header(name, value).is_err(), "{name}");
        }
    }
}
