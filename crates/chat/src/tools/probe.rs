//! `gateway_probe`: one real request to our own gateway, to see that what was applied works.
//!
//! The only address it can reach is a listener of this gateway; a path, a host name or a redirect can't lead elsewhere. What comes back is
//! somebody else's text and shown as such.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use usher_model::live::RouteName;

use super::arguments::Arguments;
use super::explain::{named, sketch};
use super::refusal::Refusal;
use super::text::{clean, untrusted};
use super::{Answer, Call};

/// How long a probe may take, the whole answer included.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read; what comes after is not waited for.
const MOST_READ: usize = 64 * 1024;
/// Characters of a body that are shown.
const MOST_BODY: usize = 2_000;
/// Headers of an answer that are shown, and characters of each.
const MOST_HEADERS: usize = 30;
const MOST_HEADER: usize = 300;

/// What an answer has, as far as it was read.
struct Seen {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    is_cut: bool,
}

impl Call<'_> {
    pub(super) async fn probe(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let sketch = sketch(arguments)?;
        let listener = self.service.live().listeners().into_iter().next().map(reachable);
        let Some(address) = listener else {
            return Err(
                Refusal::new("this gateway has no listener to probe").next("start it with --proxy-listen")
            );
        };
        let request = request(arguments, &sketch.target, address)?;
        let route = self.service.live().explain(&sketch).route;
        let began = Instant::now();
        let seen = tokio::time::timeout(WITHIN, send(address, request))
            .await
            .map_err(|_| {
                Refusal::new(format!("the gateway did not answer within {} s", WITHIN.as_secs()))
                    .next("gateway_explain_request names the upstream that is waited for")
            })?
            .map_err(|error| {
                Refusal::new(format!("the gateway on {address} gave no answer: {}", clean(&error, 200)))
            })?;
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(told(&seen, millis, route.as_ref()))
    }
}

/// An address that means "any" is reached on loopback.
const fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
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
    let framing = [
        CONTENT_LENGTH.as_str(),
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "keep-alive",
        "proxy-connection",
    ];
    if parsed == HOST {
        return Err(Refusal::new("the host has its own argument").at("/headers").next("give it as host"));
    }
    if framing.contains(&parsed.as_str()) {
        return Err(Refusal::new(at())
            .at("/headers")
            .allowed(format!("any header but {}", framing.join(", "))));
    }
    let value = HeaderValue::from_str(value)
        .map_err(|_| Refusal::new(format!("the value of {parsed} can't be sent")).at("/headers"))?;
    Ok((parsed, value))
}

async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Seen, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let shaken = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MOST_READ)
        .max_headers(200)
        .handshake(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    // The connection works as long as its answer is read; whichever ends first ends both.
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        read(response).await
    });
    let mut is_open = true;
    loop {
        tokio::select! {
            seen = &mut exchange => return seen,
            closed = &mut connection, if is_open => match closed {
                // Closed after its last byte: what came is still in the exchange's hands.
                Ok(()) => is_open = false,
                Err(error) => return Err(error.to_string()),
            },
        }
    }
}

async fn read(response: Response<Incoming>) -> Result<Seen, String> {
    let (head, mut body) = response.into_parts();
    let mut seen =
        Seen { status: head.status.as_u16(), headers: head.headers, body: Vec::new(), is_cut: false };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        let Some(data) = frame.data_ref() else { continue };
        let room = MOST_READ - seen.body.len();
        seen.body.extend(data.iter().take(room));
        if data.len() > room {
            seen.is_cut = true;
            break;
        }
    }
    Ok(seen)
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
    use super::{header, reachable};

    #[test]
    fn a_listener_on_every_address_is_reached_on_loopback() {
        for (listener, wanted) in
            [("0.0.0.0:9080", "127.0.0.1:9080"), ("[::]:9080", "[::1]:9080"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listener.parse().unwrap()), wanted.parse().unwrap());
        }
    }

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
