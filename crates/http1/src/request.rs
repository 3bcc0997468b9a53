//! Decodes the heads of requests, strictly, in one pass: what servers could read differently is refused, such as bare line feeds, doubtful
//! lengths, targets and hosts, disguised framing.

mod line;

use bytes::{Buf as _, BytesMut};

use self::line::RequestLine;
use crate::body::consume;
use crate::facts::Facts;
use crate::familiar::Familiar;
use crate::field::{Meaning, disguises_framing, is_name, meaning};
use crate::head::{Head, Span, Version, span};
use crate::limits::Limits;
use crate::lines::{self, Next};
use crate::reject::Reject;
use crate::target::{Form, form, is_authority};

/// As many fields as a head may have at the most.
pub(crate) const MAX_FIELDS: usize = 100;

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, then trailers.
    Chunked,
    /// Until the sender closes; answers only.
    UntilClose,
}

/// What the client wants to change to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing.
    None,
    /// WebSocket (RFC 6455), without a body.
    WebSocket,
    /// Something else, which is not served: the request is treated as an ordinary one.
    Other,
}

/// What a request's head says beyond its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the client wants to go on with this connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// What the client wants to change to.
    pub upgrade: Upgrade,
    /// `OPTIONS *`: answered by the gateway itself.
    pub asterisk: bool,
}

/// How far the search for the end of a head has come, so that slow senders don't cost more than fast ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadProgress {
    seen: usize,
    skipped_line: bool,
}

impl HeadProgress {
    /// Whether bytes came that can decide anything: the end of a line, or a short beginning, where nonsense is refused early.
    pub(crate) fn is_worth_a_look(&mut self, buf: &[u8]) -> bool {
        let worth =
            self.seen < 16 || memchr::memchr(b'\n', buf.get(self.seen..).unwrap_or_default()).is_some();
        self.seen = buf.len();
        worth
    }
}

/// Decodes one request's head from the beginning of `buf`. `None` asks for more bytes. On success the head's bytes are taken out of `buf`
/// and `head` holds them; an absolute target has become a path.
///
/// # Errors
/// [`Reject`]: the connection gets its answer and is closed.
pub fn decode_request(
    buf: &mut BytesMut,
    head: &mut Head,
    limits: &Limits,
    progress: &mut HeadProgress,
) -> Result<Option<RequestHead>, Reject> {
    decode_familiar_request(buf, head, limits, progress, &mut Familiar::forgetful())
}

/// The same of a client whose heads came before. They have to have been decoded within the same limits.
///
/// # Errors
/// As for [`decode_request`].
pub fn decode_familiar_request(
    buf: &mut BytesMut,
    head: &mut Head,
    limits: &Limits,
    progress: &mut HeadProgress,
    familiar: &mut Familiar,
) -> Result<Option<RequestHead>, Reject> {
    if !skip_empty_line(buf, progress)? || buf.is_empty() {
        return Ok(None);
    }
    if !progress.is_worth_a_look(buf) {
        return line::unfinished(buf, limits);
    }
    let bytes = &buf[..];
    let Some(line) = line::read(bytes, limits)? else { return line::unfinished(bytes, limits) };
    let target = bytes.get(line.target..line.target_end).unwrap_or_default();
    let form = form(line.method(bytes), target)?;
    head.begin(line.version);

    let (length, facts) = if let Some((length, facts)) = familiar.fields(bytes, line.end, line.version, head)
    {
        (length, facts)
    } else if let Some(read) = fields(bytes, &line, head, limits, familiar)? {
        read
    } else {
        return line::unfinished(bytes, limits);
    };
    if length > limits.head_bytes {
        return Err(Reject::of(431, "a head that is too long"));
    }
    let decided = decide(facts, line.method(bytes), &line, bytes, form)?;
    head.fill(bytes.get(..length).unwrap_or_default());
    head.place_method(0, line.method_end);
    head.place_target(line.target, target.len());
    if let Form::Absolute { path, .. } = form {
        let rest = target.get(path..).unwrap_or_default();
        if rest.starts_with(b"/") {
            head.place_target(line.target + path, rest.len());
        } else {
            head.put_target(&[b"/", rest].concat());
        }
    }
    consume(buf, length);
    *progress = HeadProgress::default();
    Ok(Some(decided))
}

/// Reads the fields one by one; `None` asks for more bytes. With what they say comes the length of the whole head.
fn fields(
    bytes: &[u8],
    line: &RequestLine,
    head: &mut Head,
    limits: &Limits,
    familiar: &mut Familiar,
) -> Result<Option<(usize, Facts)>, Reject> {
    let mut facts = Facts::default();
    let mut start = line.end;
    let mut left = limits.fields.min(MAX_FIELDS);
    let mut place = 0;
    loop {
        if let Some(field) = familiar.line(place, bytes, start) {
            left = left.checked_sub(1).ok_or(Reject::of(431, "too many fields"))?;
            head.add_original(start, &field, Meaning::Ordinary);
            start = field.end;
            place += 1;
            continue;
        }
        let field = match lines::next(bytes, start).map_err(Reject::bad)? {
            Next::Field(field) => field,
            Next::End(length) => {
                if !head.has_underscore_names() {
                    familiar.learn_fields(bytes.get(line.end..length), line.end, line.version, head, &facts);
                }
                return Ok(Some((length, facts)));
            }
            Next::More => return Ok(None),
        };
        left = left.checked_sub(1).ok_or(Reject::of(431, "too many fields"))?;
        if field.end - start > limits.line_bytes {
            return Err(Reject::of(431, "a line that is too long"));
        }
        let name = bytes.get(start..field.name_end).unwrap_or_default();
        let value = bytes.get(field.value..field.value_end).unwrap_or_default();
        let value = (value, span(field.value - line.end, value.len()));
        let (meaning, passes) = look_at(&mut facts, name, value, line.version)?;
        if field.underscore {
            if disguises_framing(name) {
                return Err(Reject::bad("a framing field spelled with underscores"));
            }
            head.note_underscore();
        }
        if passes {
            familiar.learn(place, bytes, start, &field);
        }
        head.add_original(start, &field, meaning);
        start = field.end;
        place += 1;
    }
}

/// Takes one empty line away, which some old clients send behind a body. `false` asks for more bytes.
fn skip_empty_line(buf: &mut BytesMut, progress: &mut HeadProgress) -> Result<bool, Reject> {
    match buf.first() {
        Some(b'\r') if !progress.skipped_line => match buf.get(1) {
            None => Ok(false),
            Some(b'\n') => {
                buf.advance(2);
                progress.skipped_line = true;
                skip_empty_line(buf, progress)
            }
            Some(_) => Err(Reject::bad("a CR before the request")),
        },
        Some(b'\r' | b'\n') => Err(Reject::bad("empty lines before the request")),
        _ => Ok(true),
    }
}

/// What a field means, and whether that is nothing but to be passed on.
fn look_at(
    facts: &mut Facts,
    name: &[u8],
    (value, place): (&[u8], Span),
    version: Version,
) -> Result<(Meaning, bool), Reject> {
    match name.len() {
        4 if is_name(name, b"host") => {
            if facts.host.replace(place).is_some() {
                return Err(Reject::bad("two Host fields"));
            }
            if !is_authority(value) {
                return Err(Reject::bad("a malformed Host"));
            }
        }
        6 if is_name(name, b"expect") => {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Reject::of(417, "an expectation other than 100-continue"));
            }
            facts.expect = version == Version::Http11;
        }
        7 if is_name(name, b"upgrade") => facts.look_at_upgrade(value),
        10 if is_name(name, b"connection") => facts.look_at_connection(value),
        14 if is_name(name, b"content-length") => {
            let length = content_length(value).ok_or(Reject::bad("a malformed Content-Length"))?;
            if facts.length.replace(length).is_some() {
                return Err(Reject::bad("two Content-Length fields"));
            }
        }
        17 if is_name(name, b"transfer-encoding") => {
            if version == Version::Http10 {
                return Err(Reject::bad("Transfer-Encoding in HTTP/1.0"));
            }
            if facts.chunked {
                return Err(Reject::bad("two Transfer-Encoding fields"));
            }
            transfer_encoding(value)?;
            facts.chunked = true;
        }
        _ => {
            let meaning = meaning(name);
            return Ok((meaning, meaning == Meaning::Ordinary));
        }
    }
    Ok((meaning(name), false))
}

fn decide(
    facts: Facts,
    method: &[u8],
    line: &RequestLine,
    bytes: &[u8],
    form: Form,
) -> Result<RequestHead, Reject> {
    let is_old = line.version == Version::Http10;
    if facts.host.is_none() && !is_old {
        return Err(Reject::bad("no Host"));
    }
    if let Form::Absolute { authority, path } = form {
        let named = bytes.get(line.target + authority..line.target + path).unwrap_or_default();
        let fields = bytes.get(line.end..).unwrap_or_default();
        let is_other = |host: Span| !host.of(fields).eq_ignore_ascii_case(named);
        if !is_authority(named) || facts.host.is_some_and(is_other) {
            return Err(Reject::bad("a target whose authority is not the Host"));
        }
    }
    let framing = match (facts.chunked, facts.length) {
        (true, Some(_)) => return Err(Reject::bad("both Transfer-Encoding and Content-Length")),
        (true, None) => Framing::Chunked,
        (false, Some(0) | None) => Framing::None,
        (false, Some(length)) => Framing::Length(length),
    };
    let has_body_by_nature = matches!(method, b"POST" | b"PUT" | b"PATCH");
    if is_old && has_body_by_nature && facts.length.is_none() {
        return Err(Reject::of(411, "a body of unknown length in HTTP/1.0"));
    }
    let upgrade = if facts.websocket && facts.upgrade_token && !is_old {
        if framing != Framing::None {
            return Err(Reject::bad("a WebSocket upgrade with a body"));
        }
        Upgrade::WebSocket
    } else if facts.upgrade {
        Upgrade::Other
    } else {
        Upgrade::None
    };
    Ok(RequestHead {
        framing,
        keep_alive: !facts.close && (!is_old || facts.keep_alive),
        expect_continue: facts.expect && framing != Framing::None,
        upgrade,
        asterisk: form == Form::Asterisk,
    })
}

/// Digits alone, without a sign or leading zero, below 2^63.
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    let plain = (1..=19).contains(&value.len())
        && value.iter().all(u8::is_ascii_digit)
        && (value.len() == 1 || value.first() != Some(&b'0'));
    if !plain {
        return None;
    }
    // Nineteen digits fit into 64 bits.
    let length = value.iter().fold(0_u64, |length, digit| length * 10 + u64::from(digit - b'0'));
    (length < 1 << 63).then_some(length)
}

/// Only `chunked` is served; other codings in front of it are well formed, but not ours.
fn transfer_encoding(value: &[u8]) -> Result<(), Reject> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let codings: Vec<&[u8]> = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    let known = |coding: &[u8]| {
        [b"gzip".as_slice(), b"x-gzip", b"deflate", b"compress", b"x-compress"]
            .iter()
            .any(|known| coding.eq_ignore_ascii_case(known))
    };
    match codings.split_last() {
        Some((last, before))
            if last.eq_ignore_ascii_case(b"chunked")
                && !before.is_empty()
                && before.iter().all(|coding| known(coding)) =>
        {
            Err(Reject::of(501, "a transfer coding that is not served"))
        }
        _ => Err(Reject::bad("a malformed Transfer-Encoding")),
    }
}
