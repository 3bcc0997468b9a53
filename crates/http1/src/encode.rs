//! Writes messages: the fields as they are, the framing always anew.
//!
//! Fields that belong to one connection are never copied, so that exactly one framing field leaves, and it is true.

use crate::head::{Head, Version};
use crate::reason::phrase;
use crate::request::Framing;

/// What a request's head says beyond its fields.
#[derive(Clone, Copy, Debug)]
pub struct RequestExtras<'a> {
    /// How the body will be sent.
    pub framing: Framing,
    /// The target, where it isn't the head's own.
    pub target: Option<&'a str>,
    /// Ask for a WebSocket.
    pub websocket: bool,
    /// Close behind the answer.
    pub close: bool,
}

/// Writes a request's head.
pub fn encode_request(out: &mut Vec<u8>, head: &Head, extras: RequestExtras<'_>) {
    let (method, target) = head.start_line();
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(extras.target.map_or(target, str::as_bytes));
    out.extend_from_slice(b" HTTP/1.1\r\n");
    head.write_lines(out);
    match extras.framing {
        Framing::Length(length) => write_length(out, length),
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        // A method that has a body by nature says that it is empty (RFC 9110, section 8.6).
        Framing::None | Framing::UntilClose if matches!(method, b"POST" | b"PUT" | b"PATCH") => {
            write_length(out, 0)
        }
        Framing::None | Framing::UntilClose => {}
    }
    if extras.websocket {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    } else if extras.close {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// What an answer's head says beyond its fields.
#[derive(Clone, Copy, Debug)]
pub struct ResponseExtras {
    /// How the body will be sent. A length is also written where no body follows (HEAD, 304).
    pub framing: Framing,
    /// Close behind it.
    pub close: bool,
    /// The client speaks HTTP/1.0 and was promised that the connection stays.
    pub keep_alive_1_0: bool,
    /// 101: the connection becomes a WebSocket.
    pub websocket: bool,
}

/// Writes an answer's head.
pub fn encode_response(out: &mut Vec<u8>, head: &Head, extras: ResponseExtras) {
    let status = head.status();
    write_status_line(out, status);
    head.write_lines(out);
    let bodiless = matches!(status, 100..=199 | 204);
    match extras.framing {
        _ if bodiless => {}
        Framing::Length(length) => write_length(out, length),
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::None if status == 304 => {}
        Framing::None => write_length(out, 0),
        Framing::UntilClose => {}
    }
    if extras.websocket {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    } else if extras.close {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if extras.keep_alive_1_0 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes one chunk; an empty piece writes nothing, because an empty chunk would end the body.
pub fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    write_chunk_line(out, data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Writes a chunk's size line alone, for senders that write the data by themselves and `CRLF` behind it.
pub fn write_chunk_line(out: &mut Vec<u8>, length: usize) {
    let mut digits = [0; 16];
    let mut rest = length;
    let mut at = digits.len();
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = HEX.get(rest & 15).copied().unwrap_or(b'0');
        }
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

const HEX: [u8; 16] = *b"0123456789abcdef";

/// Writes the last chunk and the trailers.
pub fn encode_last_chunk(out: &mut Vec<u8>, trailers: Option<&Head>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        trailers.write_lines(out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a client of this version understands chunks.
#[must_use]
pub fn takes_chunks(version: Version) -> bool {
    version >= Version::Http11
}

fn write_status_line(out: &mut Vec<u8>, status: u16) {
    // Nearly every answer's.
    if status == 200 {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What stands in front of a length.
const LENGTH: &[u8; 16] = b"Content-Length: ";

/// The whole line at once: its pieces are shorter than what adding each of them costs.
fn write_length(out: &mut Vec<u8>, length: u64) {
    let mut line = [0; LENGTH.len() + 22];
    let mut at = line.len() - 2;
    if let Some(end) = line.last_chunk_mut() {
        *end = *b"\r\n";
    }
    at = put_number(&mut line, at, length) - LENGTH.len();
    if let Some(start) = line.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *start = *LENGTH;
    }
    out.extend_from_slice(line.get(at..).unwrap_or_default());
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let at = put_number(&mut digits, 20, number);
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Puts the digits in front of `end`, and says where they begin.
fn put_number(place: &mut [u8], end: usize, number: u64) -> usize {
    let mut at = end;
    let mut rest = number;
    loop {
        at -= 1;
        if let Some(digit) = place.get_mut(at) {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        }
        rest /= 10;
        if rest == 0 {
            return at;
        }
    }
}
