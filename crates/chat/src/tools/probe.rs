//! `gateway_probe`: one real request to our own gateway, to see that what was applied works.
//!
//! The only address it can reach is a listener of this gateway; a path, a host name or a redirect can't lead elsewhere. What comes back is
//! somebody else's text and shown as such.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http::header::{HeaderName, HeaderValue};
use http_body_util::Full;
use serde_json::{Value, json};
use usher_admin::probe::{self, BadHeader, ProbeError, Seen, Unsendable, Wanted, framing_headers};
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
        self.service.may_send(self.who, request.method().as_str()).map_err(|error| self.refuse(error))?;
        let explained = self.service.explain(self.who, &sketch).await;
        let route = explained.map_err(|error| self.refuse(error))?.route;
        if route.is_none() && !self.who.scope.is_all() {
            return Err(Refusal::new("no route of your scope takes this request, so that nothing was sent")
                .at("/path")
                .next("gateway_find {\"kind\":\"route\"} lists the routes that you may see"));
        }
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
    let body = arguments.text_or_null("body");
    let host = arguments.text_or_null("host");
    let wanted = Wanted {
        method: arguments.text("method"),
        target,
        host,
        headers: arguments.headers(),
        body: body.map(|body| Bytes::copy_from_slice(body.as_bytes())).unwrap_or_default(),
        agent: "usher-probe",
    };
    wanted.request(address).map_err(|reason| match reason {
        Unsendable::Method => Refusal::new("this is no method to probe with")
            .at("/method")
            .allowed("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS and the like"),
        Unsendable::Target => Refusal::new(format!("{:?} is no path", clean(target, 100)))
            .at("/path")
            .allowed("a path as it stands in a request: percent-encoded, without spaces"),
        Unsendable::Host => Refusal::new(format!("{:?} is no host", clean(host.unwrap_or_default(), 100)))
            .at("/host")
            .allowed("a name such as api.example.com, or null"),
        Unsendable::Header(name, reason) => bad_header(&name, reason),
    })
}

fn bad_header(name: &str, reason: BadHeader) -> Refusal {
    let refusal = Refusal::new(format!("{:?} can't be sent", clean(name, 64))).at("/headers");
    match reason {
        BadHeader::Name => refusal.allowed("a header's name"),
        BadHeader::Host => {
            Refusal::new("the host has its own argument").at("/headers").next("give it as host")
        }
        BadHeader::Framing => refusal.allowed(format!("any header but {}", framing_headers())),
        BadHeader::Value => refusal.allowed("a value of one line"),
    }
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
