//! Decodes the heads of answers, as strictly as those of requests: a doubtful answer is the upstream's failure, not the client's.

use bytes::BytesMut;

use crate::body::consume;
use crate::facts::Facts;
use crate::familiar::Familiar;
use crate::field::{Meaning, is_name, meaning};
use crate::head::{Head, Version};
use crate::limits::Limits;
use crate::lines::{self, Next};
use crate::request::{Framing, HeadProgress, MAX_FIELDS, content_length};
use crate::scan::value_end;

/// An answer that can't be trusted; its connection is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a malformed answer: {0}")]
pub struct BadResponse(pub &'static str);

/// What an answer's head says beyond its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// How the body is framed.
    pub framing: Framing,
    /// The length that is announced, also where no body follows (HEAD, 304).
    pub announced: Option<u64>,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
    /// 1xx other than 101: another head follows.
    pub interim: bool,
    /// 101: the connection is a tunnel from here on.
    pub switching: bool,
}

/// Decodes one answer's head from the beginning of `buf`; `None` asks for more bytes. `method` is that of the request.
///
/// # Errors
/// [`BadResponse`]: the connection is closed.
pub fn decode_response(
    buf: &mut BytesMut,
    head: &mut Head,
    limits: &Limits,
    progress: &mut HeadProgress,
    method: &str,
) -> Result<Option<ResponseHead>, BadResponse> {
    decode_familiar_response(buf, head, limits, progress, method, &mut Familiar::forgetful())
}

/// The same of an origin whose heads came before. They have to have been decoded within the same limits.
///
/// # Errors
/// As for [`decode_response`].
pub fn decode_familiar_response(
    buf: &mut BytesMut,
    head: &mut Head,
    limits: &Limits,
    progress: &mut HeadProgress,
    method: &str,
    familiar: &mut Familiar,
) -> Result<Option<ResponseHead>, BadResponse> {
    if buf.is_empty() || !progress.is_worth_a_look(buf) {
        return unfinished(buf, limits);
    }
    let bytes = &buf[..];
    let Some(line) = status_line(bytes)? else { return unfinished(bytes, limits) };
    head.begin(line.version);
    head.set_status(line.status);

    let (length, facts) = if let Some((length, facts)) = familiar.fields(bytes, line.end, line.version, head)
    {
        (length, facts)
    } else if let Some(read) = fields(bytes, &line, head, limits, familiar)? {
        read
    } else {
        return unfinished(bytes, limits);
    };
    if length > limits.head_bytes {
        return Err(BadResponse("a head that is too long"));
    }
    let decided = decide(facts, line.status, line.version, method)?;
    head.fill(bytes.get(..length).unwrap_or_default());
    consume(buf, length);
    *progress = HeadProgress::default();
    Ok(Some(decided))
}

/// Reads the fields one by one; `None` asks for more bytes. With what they say comes the length of the whole head.
fn fields(
    bytes: &[u8],
    line: &StatusLine,
    head: &mut Head,
    limits: &Limits,
    familiar: &mut Familiar,
) -> Result<Option<(usize, Facts)>, BadResponse> {
    let mut facts = Facts::default();
    let mut start = line.end;
    let mut left = limits.fields.min(MAX_FIELDS);
    let mut place = 0;
    loop {
        if let Some(field) = familiar.line(place, bytes, start) {
            left = left.checked_sub(1).ok_or(BadResponse("too many fields"))?;
            head.add_original(start, &field, Meaning::Ordinary);
            start = field.end;
            place += 1;
            continue;
        }
        let field = match lines::next(bytes, start).map_err(BadResponse)? {
            Next::Field(field) => field,
            Next::End(length) => {
                familiar.learn_fields(bytes.get(line.end..length), line.end, line.version, head, &facts);
                return Ok(Some((length, facts)));
            }
            Next::More => return Ok(None),
        };
        left = left.checked_sub(1).ok_or(BadResponse("too many fields"))?;
        if field.end - start > limits.line_bytes {
            return Err(BadResponse("a line that is too long"));
        }
        let name = bytes.get(start..field.name_end).unwrap_or_default();
        let value = bytes.get(field.value..field.value_end).unwrap_or_default();
        let meaning = look_at(&mut facts, name, value, line.version)?;
        if meaning == Meaning::Ordinary {
            familiar.learn(place, bytes, start, &field);
        }
        head.add_original(start, &field, meaning);
        start = field.end;
        place += 1;
    }
}

/// More bytes are needed, unless the head has grown beyond what it may have.
#[cold]
fn unfinished(buf: &[u8], limits: &Limits) -> Result<Option<ResponseHead>, BadResponse> {
    if buf.len() > limits.head_bytes { Err(BadResponse("a head that is too long")) } else { Ok(None) }
}

/// A whole status line.
struct StatusLine {
    version: Version,
    status: u16,
    /// Behind the line's CRLF.
    end: usize,
}

/// Reads the status line (RFC 9112, section 4); `None` asks for more bytes. Servers may leave the reason out, and even the space before it.
#[inline]
fn status_line(bytes: &[u8]) -> Result<Option<StatusLine>, BadResponse> {
    let Some((start, rest)) = bytes.split_first_chunk::<12>() else {
        let known = bytes.len().min(START.len());
        return if bytes.get(..known) == START.get(..known) {
            Ok(None)
        } else {
            Err(BadResponse("no status line"))
        };
    };
    let (version, digits) = match start {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', digits @ ..] => {
            (if *minor == b'0' { Version::Http10 } else { Version::Http11 }, digits)
        }
        _ => return Err(BadResponse("no status line")),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadResponse("a malformed status"));
    }
    let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    if status < 100 {
        return Err(BadResponse("a status out of range"));
    }
    if !matches!(rest, [] | [b' ' | b'\r', ..]) {
        return Err(BadResponse("a malformed status"));
    }
    let stop = value_end(bytes, start.len());
    match bytes.get(stop..) {
        Some([b'\r', b'\n', ..]) => Ok(Some(StatusLine { version, status, end: stop + 2 })),
        Some([] | [b'\r']) => Ok(None),
        _ => Err(BadResponse("a malformed reason, or a line that ends without CR")),
    }
}

/// What every status line of ours begins with.
const START: &[u8] = b"HTTP/1.";

/// What a field means. All that belongs to framing is gathered.
fn look_at(facts: &mut Facts, name: &[u8], value: &[u8], version: Version) -> Result<Meaning, BadResponse> {
    match name.len() {
        7 if is_name(name, b"upgrade") => facts.look_at_upgrade(value),
        10 if is_name(name, b"connection") => facts.look_at_connection(value),
        14 if is_name(name, b"content-length") => {
            let length = content_length(value).ok_or(BadResponse("a malformed Content-Length"))?;
            if facts.length.replace(length).is_some() {
                return Err(BadResponse("two Content-Length fields"));
            }
        }
        17 if is_name(name, b"transfer-encoding") => {
            if version == Version::Http10 {
                return Err(BadResponse("Transfer-Encoding in HTTP/1.0"));
            }
            if facts.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(BadResponse("a Transfer-Encoding other than chunked"));
            }
            facts.chunked = true;
        }
        _ => return Ok(meaning(name)),
    }
    // All of them belong to framing, or to this connection.
    Ok(Meaning::Hop)
}

fn decide(facts: Facts, status: u16, version: Version, method: &str) -> Result<ResponseHead, BadResponse> {
    if facts.chunked && facts.length.is_some() {
        return Err(BadResponse("both Transfer-Encoding and Content-Length"));
    }
    let bodiless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
    let framing = match (bodiless, facts.chunked, facts.length) {
        (true, _, _) | (false, false, Some(0)) => Framing::None,
        (false, true, _) => Framing::Chunked,
        (false, false, Some(length)) => Framing::Length(length),
        (false, false, None) => Framing::UntilClose,
    };
    let switching = status == 101;
    if switching && !facts.upgrade {
        return Err(BadResponse("101 without Upgrade"));
    }
    Ok(ResponseHead {
        framing,
        announced: facts.length,
        keep_alive: !facts.close
            && framing != Framing::UntilClose
            && (version == Version::Http11 || facts.keep_alive),
        interim: status < 200 && !switching,
        switching,
    })
}
