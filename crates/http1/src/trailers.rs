//! Trailer fields: read behind the last chunk, and passed on only where a name is known to be harmless there.

use crate::field::{is_token, is_value};
use crate::head::Head;
use crate::limits::Limits;

/// Why trailers are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadTrailers {
    TooLarge,
    Malformed,
}

/// Names, or beginnings of names, that may travel as trailers. Framing, routing, authentication and identity never may (RFC 9110,
/// section 6.5.1), so the list says what may instead of what may not.
const ALLOWED: [&str; 10] = [
    "grpc-",
    "digest",
    "content-digest",
    "repr-digest",
    "content-md5",
    "server-timing",
    "x-checksum",
    "x-amz-checksum-",
    "x-amz-trailer-signature",
    "x-trailer-",
];

/// Parses whole trailer lines, each ended by CRLF, without the empty line behind them.
pub(crate) fn parse(text: &[u8], limits: &Limits) -> Result<Head, BadTrailers> {
    let mut head = Head::empty();
    let mut count = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n").ok_or(BadTrailers::Malformed)?;
        let (line, behind) = (rest.get(..end).unwrap_or_default(), rest.get(end + 2..).unwrap_or_default());
        rest = behind;
        count += 1;
        if count > limits.trailer_fields {
            return Err(BadTrailers::TooLarge);
        }
        let colon = memchr::memchr(b':', line).ok_or(BadTrailers::Malformed)?;
        let (name, value) =
            (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
        if !is_token(name) || !is_value(value) {
            return Err(BadTrailers::Malformed);
        }
        if is_allowed(name) {
            head.put(name, value);
        }
    }
    Ok(head)
}

/// Whether a trailer of this name may travel on.
pub(crate) fn is_allowed(name: &[u8]) -> bool {
    ALLOWED.iter().any(|known| {
        name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()))
            && (name.len() == known.len() || known.ends_with('-') || known.starts_with("x-"))
    })
}
