//! The request line: method, target and version (RFC 9112, section 3).

use super::RequestHead;
use crate::head::Version;
use crate::limits::Limits;
use crate::reject::Reject;
use crate::scan::token_end;
use crate::target::target_end;

/// A whole request line. Places count from the beginning of the head, where the method begins.
pub(super) struct RequestLine {
    pub(super) method_end: usize,
    pub(super) target: usize,
    pub(super) target_end: usize,
    pub(super) version: Version,
    /// Behind the line's CRLF.
    pub(super) end: usize,
}

impl RequestLine {
    pub(super) fn method<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(..self.method_end).unwrap_or_default()
    }
}

/// Reads the line; `None` asks for more bytes. The target has only bytes that may stand in one.
///
/// # Errors
/// [`Reject`], as soon as it can't become a request line any more.
#[inline]
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Option<RequestLine>, Reject> {
    let method_end = token_end(bytes, 0).at;
    if method_end == bytes.len() {
        return Ok(None);
    }
    let target = method_end + 1;
    let target_end = target_end(bytes, target);
    if method_end == 0 || bytes.get(method_end) != Some(&b' ') {
        return Err(strange(bytes, limits));
    }
    if target_end == bytes.len() {
        return Ok(None);
    }
    let version = match bytes.get(target_end..).and_then(<[u8]>::first_chunk) {
        _ if target_end == target => return Err(strange(bytes, limits)),
        Some(b" HTTP/1.1\r\n") => Version::Http11,
        Some(b" HTTP/1.0\r\n") => Version::Http10,
        // Which version it is shows only when the line is complete.
        _ if bytes.get(target_end) == Some(&b' ') && memchr::memchr(b'\n', bytes).is_none() => {
            return Ok(None);
        }
        _ => return Err(strange(bytes, limits)),
    };
    if method_end > limits.method_bytes {
        return Err(Reject::of(501, "a method that is too long"));
    }
    if target_end - target > limits.target_bytes {
        return Err(Reject::of(414, "a target that is too long"));
    }
    Ok(Some(RequestLine { method_end, target, target_end, version, end: target_end + " HTTP/1.1\r\n".len() }))
}

/// More bytes are needed, unless the head has grown beyond what it may have.
#[cold]
pub(super) fn unfinished(buf: &[u8], limits: &Limits) -> Result<Option<RequestHead>, Reject> {
    if memchr::memchr(b'\n', buf.get(..limits.target_bytes.saturating_add(64)).unwrap_or(buf)).is_none() {
        if buf.len() > limits.target_bytes + 64 {
            return Err(Reject::of(414, "a request line that is too long"));
        }
        let method = memchr::memchr(b' ', buf).unwrap_or(buf.len());
        if method > limits.method_bytes + 1 {
            // As the whole line would be refused, however it is cut.
            return Err(if has_long_method(buf, limits) {
                Reject::of(501, "a method that is too long")
            } else {
                Reject::bad("a malformed request line")
            });
        }
    }
    if buf.len() > limits.head_bytes {
        return Err(Reject::of(431, "a head that is too long"));
    }
    Ok(None)
}

/// Whether the line begins with more letters of a method than one may have.
fn has_long_method(bytes: &[u8], limits: &Limits) -> bool {
    token_end(bytes, 0).at > limits.method_bytes
}

/// Why it is no request line of ours.
#[cold]
fn strange(bytes: &[u8], limits: &Limits) -> Reject {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let (line, ended) = line.strip_suffix(b"\r").map_or((line, false), |line| (line, true));
    if has_long_method(bytes, limits) {
        return Reject::of(501, "a method that is too long");
    }
    let words: Vec<&[u8]> = line.splitn(4, |byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else { return Reject::bad("a malformed request line") };
    if method.is_empty()
        || token_end(method, 0).at < method.len()
        || target.is_empty()
        || target_end(target, 0) < target.len()
    {
        return Reject::bad("a malformed request line");
    }
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" if !ended => Reject::bad("a request line that ends without CR"),
        // Well formed, but not ours.
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Reject::of(505, "a version that is not served")
        }
        _ => Reject::bad("no version, or a malformed one"),
    }
}
