//! Heads that came in frames instead of text, as those of HTTP/2: held to the same rules before they become a [`Head`].
//!
//! What is admitted here is forwarded as HTTP/1 text without another look, so nothing may pass that the text's decoder would refuse.

use crate::field::{Meaning, disguises_framing, is_name, is_token, is_value, meaning};
use crate::head::{Head, Version};
use crate::limits::Limits;
use crate::reject::Reject;
use crate::request::{Framing, MAX_FIELDS, RequestHead, Upgrade, content_length};
use crate::response::BadResponse;
use crate::target::{Form, form, is_authority, target_end};
use crate::trailers;

/// What HTTP/2 says in pseudo fields (RFC 9113, section 8.3.1), and in the frame itself.
#[derive(Clone, Copy, Debug)]
pub struct Pseudo<'a> {
    /// `:method`
    pub method: &'a [u8],
    /// `:path`; empty where there was none.
    pub path: &'a [u8],
    /// `:scheme`, where it is known.
    pub scheme: Option<&'a [u8]>,
    /// `:authority`
    pub authority: Option<&'a [u8]>,
    /// `:protocol` of an extended CONNECT (RFC 8441).
    pub protocol: Option<&'a [u8]>,
    /// Whether nothing follows the head.
    pub ended: bool,
}

/// Makes a request's head of pseudo fields and fields. Cookies that came in crumbs are joined; an extended CONNECT for a WebSocket becomes the
/// `GET` that it stands for, without a key.
///
/// # Errors
/// [`Reject`]: the stream gets its answer, and nothing of it goes any further.
pub fn admit<'a>(
    pseudo: Pseudo<'a>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    limits: &Limits,
    head: &mut Head,
) -> Result<RequestHead, Reject> {
    head.begin(Version::Http2);
    let method = method(pseudo, limits)?;
    let form = target(pseudo, method, limits)?;
    head.put_start(method, pseudo.path);
    let mut facts = Facts { host: pseudo.authority, ..Facts::default() };
    if let Some(authority) = pseudo.authority {
        if !is_authority(authority) {
            return Err(Reject::bad("a malformed :authority"));
        }
        head.put(b"host", authority);
    }
    let mut room = Room::of(limits, pseudo.method.len() + pseudo.path.len());
    let mut cookies = Vec::new();
    for (name, value) in fields {
        room.take(name, value, limits)?;
        if !is_token(name) || name.iter().any(u8::is_ascii_uppercase) || !is_value(value) {
            return Err(Reject::bad("a malformed field"));
        }
        if name.contains(&b'_') {
            if disguises_framing(name) {
                return Err(Reject::bad("a framing field spelled with underscores"));
            }
            head.note_underscore();
        }
        if name == b"cookie" {
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(value);
        } else if facts.look_at(name, value)? {
            head.put(name, value);
        }
    }
    if !cookies.is_empty() {
        head.put(b"cookie", &cookies);
    }
    if facts.host.is_none() {
        return Err(Reject::bad("no :authority and no host"));
    }
    facts.decide(pseudo, form)
}

/// The fields of an answer that came in frames. `ended`: nothing follows.
///
/// # Errors
/// [`BadResponse`]: the answer can't be believed.
pub fn admit_answer<'a>(
    status: u16,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    limits: &Limits,
    head: &mut Head,
) -> Result<Option<u64>, BadResponse> {
    head.begin(Version::Http2);
    head.set_status(status);
    let mut room = Room::of(limits, 0);
    let mut length = None;
    for (name, value) in fields {
        room.take(name, value, limits).map_err(|reject| BadResponse(reject.reason))?;
        if !is_token(name) || !is_value(value) {
            return Err(BadResponse("a malformed field"));
        }
        if is_name(name, b"content-length") {
            let announced = content_length(value).ok_or(BadResponse("a malformed Content-Length"))?;
            if length.replace(announced).is_some() {
                return Err(BadResponse("two Content-Length fields"));
            }
        }
        if meaning(name) == Meaning::Ordinary {
            head.put(name, value);
        }
    }
    Ok(length)
}

/// Trailers that came in frames. `any` lets every name pass that isn't about framing or one connection, as gRPC needs it for an answer's metadata;
/// otherwise only names that are known to be harmless there do.
///
/// # Errors
/// They are malformed, or more than `limits` allow.
pub fn admit_trailers<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    limits: &Limits,
    any: bool,
) -> Result<Head, &'static str> {
    let mut head = Head::empty();
    let mut left = limits.trailer_bytes;
    for (at, (name, value)) in fields.enumerate() {
        let size = name.len() + value.len() + LINE;
        left = left.checked_sub(size).ok_or("trailers that are too large")?;
        if at >= limits.trailer_fields {
            return Err("too many trailers");
        }
        if !is_token(name) || !is_value(value) {
            return Err("malformed trailers");
        }
        let passes = if any { meaning(name) == Meaning::Ordinary } else { trailers::is_allowed(name) };
        if passes {
            head.put(name, value);
        }
    }
    Ok(head)
}

/// `: ` and CRLF.
const LINE: usize = 4;

/// What a head may still have.
struct Room {
    fields: usize,
    bytes: usize,
}

impl Room {
    fn of(limits: &Limits, taken: usize) -> Self {
        Self { fields: limits.fields.min(MAX_FIELDS), bytes: limits.head_bytes.saturating_sub(taken) }
    }

    fn take(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> Result<(), Reject> {
        let size = name.len() + value.len() + LINE;
        self.fields = self.fields.checked_sub(1).ok_or(Reject::of(431, "too many fields"))?;
        if size > limits.line_bytes {
            return Err(Reject::of(431, "a line that is too long"));
        }
        self.bytes = self.bytes.checked_sub(size).ok_or(Reject::of(431, "a head that is too long"))?;
        Ok(())
    }
}

fn method<'a>(pseudo: Pseudo<'a>, limits: &Limits) -> Result<&'a [u8], Reject> {
    let method = pseudo.method;
    if !is_token(method) || method.len() > limits.method_bytes {
        return Err(Reject::bad("a malformed method"));
    }
    match pseudo.protocol {
        None => Ok(method),
        Some(b"websocket") if method == b"CONNECT" => Ok(b"GET"),
        Some(_) => Err(Reject::of(501, "a protocol other than websocket")),
    }
}

fn target(pseudo: Pseudo<'_>, method: &[u8], limits: &Limits) -> Result<Form, Reject> {
    if method == b"CONNECT" {
        return Err(Reject::of(405, "CONNECT is not served"));
    }
    if pseudo.scheme.is_some_and(|scheme| scheme != b"http" && scheme != b"https") {
        return Err(Reject::bad("a :scheme other than http and https"));
    }
    let path = pseudo.path;
    if path.len() > limits.target_bytes {
        return Err(Reject::of(414, "a target that is too long"));
    }
    if path.is_empty() || target_end(path, 0) != path.len() {
        return Err(Reject::bad("a malformed :path"));
    }
    match form(method, path)? {
        Form::Absolute { .. } => Err(Reject::bad("an absolute :path")),
        form => Ok(form),
    }
}

#[derive(Default)]
struct Facts<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    expect: bool,
}

impl<'a> Facts<'a> {
    /// Whether the field is kept.
    fn look_at(&mut self, name: &[u8], value: &'a [u8]) -> Result<bool, Reject> {
        if name == b"host" {
            return match self.host {
                Some(host) if host.eq_ignore_ascii_case(value) => Ok(false),
                Some(_) => Err(Reject::bad("a host that is not the :authority, or two of them")),
                None if is_authority(value) => {
                    self.host = Some(value);
                    Ok(true)
                }
                None => Err(Reject::bad("a malformed host")),
            };
        }
        if name == b"expect" {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Reject::of(417, "an expectation other than 100-continue"));
            }
            self.expect = true;
            return Ok(true);
        }
        if meaning(name) == Meaning::Ordinary {
            return Ok(true);
        }
        match name {
            b"content-length" => {
                let length = content_length(value).ok_or(Reject::bad("a malformed content-length"))?;
                match self.length.replace(length) {
                    Some(_) => Err(Reject::bad("two content-length fields")),
                    None => Ok(false),
                }
            }
            b"te" if value.eq_ignore_ascii_case(b"trailers") => Ok(false),
            b"te" | b"connection" | b"keep-alive" | b"upgrade" | b"transfer-encoding"
            | b"proxy-connection" => Err(Reject::bad("a field of a connection (RFC 9113, section 8.2.2)")),
            // What belongs to one connection, though HTTP/2 doesn't forbid it, ends here.
            _ => Ok(false),
        }
    }

    fn decide(self, pseudo: Pseudo<'_>, form: Form) -> Result<RequestHead, Reject> {
        let websocket = pseudo.protocol.is_some();
        let framing = match (pseudo.ended, self.length) {
            (true, Some(1..)) => return Err(Reject::bad("a content-length without a body")),
            (true, _) | (false, Some(0)) => Framing::None,
            (false, Some(_)) if websocket => return Err(Reject::bad("a WebSocket with a content-length")),
            // What follows is the WebSocket's.
            (false, None) if websocket => Framing::None,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Chunked,
        };
        Ok(RequestHead {
            framing,
            keep_alive: true,
            expect_continue: self.expect && framing != Framing::None,
            upgrade: if websocket { Upgrade::WebSocket } else { Upgrade::None },
            asterisk: form == Form::Asterisk,
        })
    }
}

#[cfg(test)]
#[path = "framed/tests.rs"]
mod tests;
