//! Who may come in: `Host` and `Origin` are judged before anything else looks at a request, and browsers' preflights are answered here.
//!
//! A keyless listener on loopback is reached by every web page that the person at this machine opens. A page of a foreign origin is told
//! apart by `Origin`, a page whose name was pointed at 127.0.0.1 by `Host`.

mod body;
mod origin;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;
use tokio_util::sync::DropGuard;

pub(crate) use body::{gathered, whole};

/// Requests worked on at the same time; more are told to come back.
const AT_ONCE: usize = 128;
/// How long a browser may keep a preflight's answer, in seconds.
const PREFLIGHT_SECS: &str = "600";
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const PRIVATE_NETWORK_ASKED: HeaderName = HeaderName::from_static("access-control-request-private-network");
const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// What the guard knows.
pub(crate) struct Guard {
    hosts: Vec<String>,
    /// The origin of our own pages under their outer address.
    own_origin: Option<String>,
    slots: Semaphore,
    // Ends the sessions of the MCP door when the router goes.
    _sessions: DropGuard,
}

impl Guard {
    /// A guard that takes these names, each `host:port`, and the name in `public_url`.
    pub(crate) fn new(allowed_hosts: &[String], public_url: &str, sessions: DropGuard) -> Self {
        let mut hosts: Vec<String> = allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        hosts.extend(authority_of(public_url));
        // A browser leaves the scheme's own port out.
        let bare: Vec<String> = hosts
            .iter()
            .filter_map(|host| host.strip_suffix(":80").or_else(|| host.strip_suffix(":443")))
            .map(str::to_owned)
            .collect();
        hosts.extend(bare);
        let own_origin = public_url.split_once("://").map(|(scheme, rest)| {
            let authority = rest.split('/').next().unwrap_or_default();
            let port = if scheme == "https" { ":443" } else { ":80" };
            format!("{scheme}://{}", authority.strip_suffix(port).unwrap_or(authority)).to_ascii_lowercase()
        });
        Self { hosts, own_origin, slots: Semaphore::new(AT_ONCE), _sessions: sessions }
    }

    fn judge_host(&self, request: &Request) -> Result<(), Refused> {
        let mut given = request.headers().get_all(HOST).iter();
        let host = given.next();
        if given.next().is_some() {
            return Err(Refused::new(StatusCode::BAD_REQUEST, "the request has more than one Host header"));
        }
        let named = host.and_then(|host| host.to_str().ok());
        let target = request.uri().authority().map(http::uri::Authority::as_str);
        if named.is_none() && target.is_none() {
            return Err(Refused::new(StatusCode::BAD_REQUEST, "the request has no readable Host header"));
        }
        for name in [named, target].into_iter().flatten() {
            if !self.hosts.contains(&name.to_ascii_lowercase()) {
                tracing::warn!(host = %name.escape_debug(), "refused a request for a foreign host on the chat side");
                let allowed = self.hosts.first().map_or("localhost", String::as_str);
                return Err(Refused::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    format!(
                        "this is not the host that was asked for; use its own address, such as {allowed}"
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl Guard {
    /// The origin that a browser names, if it is one of those that may read here.
    fn judge_origin(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refused> {
        let mut given = headers.get_all(ORIGIN).iter();
        let Some(origin) = given.next() else { return Ok(None) };
        let is_known = |text: &str| origin::is_known(text) || self.own_origin.as_deref() == Some(text);
        if given.next().is_none() && origin.to_str().is_ok_and(is_known) {
            return Ok(Some(origin.clone()));
        }
        tracing::warn!(origin = ?origin, "refused a request of a foreign origin on the chat side");
        Err(Refused::new(
            StatusCode::FORBIDDEN,
            format!("this origin may not call Usher; {} may", origin::KNOWN),
        ))
    }
}

/// Lets a request in, or says why not.
pub(crate) async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if let Err(refused) = guard.judge_host(&request) {
        return refused.into_response();
    }
    let origin = match guard.judge_origin(request.headers()) {
        Ok(origin) => origin,
        Err(refused) => return refused.into_response(),
    };
    let mut response = match &origin {
        Some(_) if is_preflight(&request) => preflight(request.headers()),
        _ => match guard.slots.try_acquire() {
            Ok(_slot) => in_words(next.run(request).await),
            Err(_) => busy(),
        },
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("mcp-session-id"));
    }
    response
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECS));
    headers.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    // A list of names can't say `openai-*`, so those that were asked for and may come are named one by one.
    let wanted =
        asked.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|names| names.to_str().ok()).unwrap_or_default();
    let names: Vec<String> = wanted
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| may_come(name))
        .collect();
    let names = if names.is_empty() { CONTENT_TYPE.as_str().to_owned() } else { names.join(", ") };
    if let Ok(names) = HeaderValue::from_str(&names) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    if asked.contains_key(&PRIVATE_NETWORK_ASKED) {
        headers.insert(PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    response
}

/// Whether a page may send this header: the content's type, what ChatGPT adds, and what MCP needs.
fn may_come(name: &str) -> bool {
    name == "content-type"
        || name == "accept"
        || name == "authorization"
        || name == "last-event-id"
        || name.starts_with("openai-")
        || name.starts_with("mcp-")
}

/// A body that is too long is refused in several places below, not all of which say it as this port says everything else.
fn in_words(response: Response) -> Response {
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if response.status() != StatusCode::PAYLOAD_TOO_LARGE || is_json {
        return response;
    }
    body::too_long()
}

fn busy() -> Response {
    let mut response =
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests at the same time; try again")
            .into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// `host:port` of a URL, lower case.
fn authority_of(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    uri.authority().map(|authority| authority.as_str().to_ascii_lowercase())
}

struct Refused {
    status: StatusCode,
    reason: String,
}

impl Refused {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    fn into_response(self) -> Response {
        (self.status, axum::Json(serde_json::json!({ "error_msg": self.reason }))).into_response()
    }
}
