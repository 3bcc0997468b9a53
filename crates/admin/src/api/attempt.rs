//! `POST /requests`: one real request through our own gateway, for whoever wants to see that a route works and which way it goes.
//!
//! It goes to a listener of this gateway and nowhere else, is bounded in size and time, and stands in the audit. What comes back is somebody
//! else's text: whoever shows it shows it as that.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::change::Role;
use usher_model::live::{Sketch, Watched};

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;
use super::requests::RequestShape;
use crate::probe::{self, BadHeader, ProbeError, Seen, Unsendable, Wanted};

/// Bytes of an answer's body that are read and given.
const MOST_READ: usize = 256 << 10;
/// Bytes of a request's body.
const MOST_SENT: usize = 64 << 10;
/// Headers of an answer that are given.
const MOST_HEADERS: usize = 100;

/// A request to send.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TryRequest")]
pub(super) struct Attempt {
    /// The method. Default `GET`.
    #[serde(default)]
    method: Option<String>,
    /// The `Host` header. Default: the listener's address.
    #[serde(default)]
    host: Option<String>,
    /// Path and query as they stand in a request, such as `/speaker/1?x=y`.
    target: String,
    /// Further headers; none that says how the message is framed.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body, at most 64 KiB. Default none.
    #[serde(default)]
    body: Option<String>,
}

/// What came back, and which way the request went.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tried")]
pub(super) struct Tried {
    /// The listener that it was sent to.
    listener: String,
    /// The answer's status.
    status: u16,
    /// The answer's headers, in order. Values of cookies are not told.
    headers: Vec<HeaderShape>,
    /// The answer's body as text, at most 256 KiB; nothing where it is no text.
    body: Option<String>,
    /// Bytes of the body that were read.
    body_bytes: usize,
    /// Whether there was more.
    is_cut: bool,
    /// From the connection to the last byte read, in milliseconds.
    took_ms: f64,
    /// The gateway's own word on its way; nothing where it wasn't watched, as for an answer that was cut off.
    way: Option<WayShape>,
}

/// A header.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Header")]
struct HeaderShape {
    /// Its name.
    name: String,
    /// Its value.
    value: String,
}

/// Which way a request went.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Way")]
struct WayShape {
    /// What became of it.
    request: RequestShape,
    /// The plugins that ran, in order.
    plugins: Vec<RanShape>,
    /// From the complete head to the first try of a node, in milliseconds.
    upstream_began_ms: Option<f64>,
}

/// A plugin in one phase.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Ran")]
struct RanShape {
    /// Its name.
    name: &'static str,
    /// The phase.
    phase: &'static str,
    /// From the complete head to its beginning, in milliseconds.
    began_ms: f64,
    /// How long it took, in milliseconds; nothing where it was cut short.
    took_ms: Option<f64>,
}

/// `POST /requests`.
pub(super) async fn send(call: Call, _: Nothing, attempt: Attempt) -> Result<Answer<Tried>, Refusal> {
    if call.who.role < Role::Editor {
        return Err(Refusal::forbidden(
            "sending requests through the gateway needs the role editor or admin",
        )
        .next("POST /usher/v1/explain says which way a request would take, without sending it"));
    }
    let live = call.service.live();
    let address = probe::address(&**live).ok_or_else(|| {
        Refusal::new(StatusCode::CONFLICT, "conflict", "this gateway has no listener to send a request to")
            .next("start it with --proxy-listen")
    })?;
    let request = built(&attempt, address)?;
    within(&call, &attempt).await?;
    let host = attempt.host.as_deref().unwrap_or_default();
    let path = attempt.target.split('?').next().unwrap_or_default();
    let at = if host.is_empty() { String::new() } else { format!(" at {host}") };
    call.service.request_sent(&call.who, &format!("{} {path}{at}", request.method())).await;
    let seen = probe::send(&**live, address, request, MOST_READ).await.map_err(|error| {
        let status = match error {
            ProbeError::Late => StatusCode::GATEWAY_TIMEOUT,
            ProbeError::Gone(..) => StatusCode::BAD_GATEWAY,
        };
        Refusal::new(status, "no_answer", error.to_string())
            .next("POST /usher/v1/explain names the upstream that is waited for")
    })?;
    Ok(Answer::ok(Tried::of(seen, address)))
}

/// Whoever sees a part of the routes sends requests to that part.
async fn within(call: &Call, attempt: &Attempt) -> Result<(), Refusal> {
    if call.who.scope.is_all() {
        return Ok(());
    }
    let sketch = Sketch {
        method: attempt.method.clone().unwrap_or_else(|| "GET".to_owned()).to_ascii_uppercase(),
        host: attempt.host.clone().unwrap_or_default(),
        target: attempt.target.clone(),
        headers: attempt.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        client: None,
    };
    if call.service.explain(&call.who, &sketch).await?.route.is_some() {
        return Ok(());
    }
    Err(Refusal::forbidden("no route of your scope takes this request").at("/target"))
}

fn built(attempt: &Attempt, address: SocketAddr) -> Result<Request<Full<Bytes>>, Refusal> {
    let body = attempt.body.clone().unwrap_or_default();
    if body.len() > MOST_SENT {
        return Err(Refusal::invalid(format!(
            "the body has {} bytes, at most {MOST_SENT} are sent",
            body.len()
        ))
        .at("/body"));
    }
    let wanted = Wanted {
        method: attempt.method.as_deref().unwrap_or("GET"),
        target: &attempt.target,
        host: attempt.host.as_deref(),
        headers: attempt.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        body: Bytes::from(body),
        agent: "usher-console",
    };
    wanted.request(address).map_err(refused)
}

fn refused(reason: Unsendable) -> Refusal {
    match reason {
        Unsendable::Method => Refusal::invalid("this is no method to try")
            .at("/method")
            .next("GET, POST, PUT and the like are some"),
        Unsendable::Target => {
            Refusal::invalid("the target is no path as it stands in a request").at("/target").next(
                "write path and query, percent-encoded, such as /speaker/1?x=y; the host has its own member",
            )
        }
        Unsendable::Host => {
            Refusal::invalid("this can't be sent as a host").at("/host").next("api.example.com is one")
        }
        Unsendable::Header(name, reason) => {
            let next = match reason {
                BadHeader::Name => "names of headers are letters, digits and -".to_owned(),
                BadHeader::Host => "the host has its own member".to_owned(),
                BadHeader::Framing => format!("any but {} may be sent", probe::framing_headers()),
                BadHeader::Value => "a value is one line of text".to_owned(),
            };
            Refusal::invalid(format!("the header {name:?} can't be sent")).at("/headers").next(next)
        }
    }
}

impl Tried {
    fn of(seen: Seen, address: SocketAddr) -> Self {
        let body_bytes = seen.body.len();
        Self {
            listener: address.to_string(),
            status: seen.status,
            headers: seen.headers.iter().take(MOST_HEADERS).map(HeaderShape::of).collect(),
            body: text(seen.body, seen.is_cut),
            body_bytes,
            is_cut: seen.is_cut,
            took_ms: (seen.took.as_secs_f64() * 1e6).round() / 1e3,
            way: seen.watched.map(WayShape::of),
        }
    }
}

impl HeaderShape {
    fn of((name, value): (&HeaderName, &HeaderValue)) -> Self {
        let text = String::from_utf8_lossy(value.as_bytes());
        let value = match (name.as_str(), text.split_once('=')) {
            // Whoever tries a route isn't to hold the session of somebody who uses it.
            ("set-cookie", Some((cookie, rest))) => {
                let attributes =
                    rest.split_once(';').map_or_else(String::new, |(_, more)| format!(";{more}"));
                format!("{cookie}=***{attributes}")
            }
            _ => text.into_owned(),
        };
        Self { name: name.as_str().to_owned(), value }
    }
}

impl WayShape {
    fn of(watched: Watched) -> Self {
        let plugins = watched.plugins.into_iter().map(|ran| RanShape {
            name: ran.name,
            phase: ran.phase,
            began_ms: ran.began_ms,
            took_ms: ran.took_ms,
        });
        Self {
            plugins: plugins.collect(),
            request: RequestShape::of(watched.request),
            upstream_began_ms: watched.upstream_began_ms,
        }
    }
}

/// A body as text; `None` where it is none. A character that the end cuts through is left out.
fn text(bytes: Vec<u8>, is_cut: bool) -> Option<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Some(text).filter(|text| !text.contains('\0')),
        Err(error) => {
            let (whole, broken) = (error.utf8_error().valid_up_to(), error.utf8_error().error_len());
            let mut bytes = error.into_bytes();
            bytes.truncate(whole);
            String::from_utf8(bytes).ok().filter(|_| is_cut && broken.is_none())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Attempt, HeaderShape, built, text};

    #[test]
    fn what_can_not_be_sent_is_named_by_its_member() {
        let address = "127.0.0.1:9080".parse().unwrap();
        let attempt = |body: Value| serde_json::from_value::<Attempt>(body).unwrap();
        assert!(built(&attempt(json!({ "target": "/a", "headers": { "X-A": "b" } })), address).is_ok());
        for (body, member) in [
            (json!({ "target": "http://evil.test/" }), "/target"),
            (json!({ "target": "/a", "method": "connect" }), "/method"),
            (json!({ "target": "/a", "host": "a\r\nb" }), "/host"),
            (json!({ "target": "/a", "headers": { "Content-Length": "5" } }), "/headers"),
            (json!({ "target": "/a", "body": "x".repeat(70_000) }), "/body"),
        ] {
            let refused = format!("{:?}", built(&attempt(body), address).unwrap_err());
            assert!(refused.contains(&format!("field: Some({member:?})")), "{refused}");
        }
    }

    #[test]
    fn a_body_is_text_or_nothing_and_a_cookie_keeps_its_value() {
        assert_eq!(text(b"abc".to_vec(), false).as_deref(), Some("abc"));
        assert_eq!(text(vec![0xff, 0xfe], true), None);
        assert_eq!(text(b"a\0b".to_vec(), false), None);
        assert_eq!(text("aé".as_bytes()[..2].to_vec(), true).as_deref(), Some("a"));
        assert_eq!(text("aé".as_bytes()[..2].to_vec(), false), None);
        let cookie = "session=secret; HttpOnly; Path=/".parse().unwrap();
        let shown = HeaderShape::of((&axum::http::header::SET_COOKIE, &cookie));
        assert_eq!(shown.value, "session=***; HttpOnly; Path=/");
    }
}
