//! Decodes the heads of answers, as strictly as those of requests: a doubtful answer is the upstream's failure, not the client's.

use std::mem::MaybeUninit;

use bytes::{Buf as _, BytesMut};

use crate::field::{Meaning, meaning};
use crate::head::{Head, Version, tokens};
use crate::limits::Limits;
use crate::request::{Framing, HeadProgress, MAX_FIELDS, content_length};

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
    if buf.is_empty() || !progress.is_worth_a_look(buf) {
        return if buf.len() > limits.head_bytes {
            Err(BadResponse("a head that is too long"))
        } else {
            Ok(None)
        };
    }
    let mut slots = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let bytes = &buf[..];
    let Some(slots) = slots.get_mut(..limits.fields.min(MAX_FIELDS)) else {
        return Err(BadResponse("no field is allowed"));
    };
    let length = match config.parse_response_with_uninit_headers(&mut parsed, bytes, slots) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buf.len() > limits.head_bytes => {
            return Err(BadResponse("a head that is too long"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(BadResponse("too many fields")),
        Err(_) => return Err(BadResponse("a line that breaks the grammar")),
    };
    if length > limits.head_bytes {
        return Err(BadResponse("a head that is too long"));
    }
    let (Some(status), Some(version)) = (parsed.code, parsed.version) else {
        return Err(BadResponse("no status line"));
    };
    if !(100..=999).contains(&status) {
        return Err(BadResponse("a status out of range"));
    }
    let whole = bytes.get(..length).unwrap_or_default();
    let first_line = memchr::memchr(b'\n', whole).map_or(0, |at| at + 1);
    if !whole.ends_with(b"\r\n\r\n") || !ends_line(whole, first_line) {
        return Err(BadResponse("a line that ends without CR"));
    }
    head.begin(whole, if version == 0 { Version::Http10 } else { Version::Http11 });
    head.set_status(status);

    let mut facts = Facts::default();
    let base = bytes.as_ptr() as usize;
    let mut line_start = first_line;
    let fields = &*parsed.headers;
    for (at, field) in fields.iter().enumerate() {
        let name = field.name.as_bytes();
        let value_at = if field.value.is_empty() {
            line_start + name.len() + 1
        } else {
            field.value.as_ptr() as usize - base
        };
        let end = fields.get(at + 1).map_or(length - 2, |next| next.name.as_ptr() as usize - base);
        if !ends_line(whole, end) {
            return Err(BadResponse("a line that ends without CR"));
        }
        if end - line_start > limits.line_bytes {
            return Err(BadResponse("a line that is too long"));
        }
        let meaning = facts.look_at(name, field.value, version)?;
        head.add_original((line_start, name.len()), (value_at, field.value.len()), end, meaning);
        line_start = end;
    }
    let decided = facts.decide(status, version, method)?;
    buf.advance(length);
    *progress = HeadProgress::default();
    Ok(Some(decided))
}

fn ends_line(bytes: &[u8], end: usize) -> bool {
    end.checked_sub(2).and_then(|start| bytes.get(start..end)) == Some(b"\r\n")
}

#[derive(Default)]
struct Facts {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl Facts {
    fn look_at(&mut self, name: &[u8], value: &[u8], version: u8) -> Result<Meaning, BadResponse> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            7 if is(b"upgrade") => self.upgrade = true,
            10 if is(b"connection") => match value {
                // What nearly every server says.
                b"keep-alive" => self.keep_alive = true,
                b"close" => self.close = true,
                _ => {
                    for token in tokens(value) {
                        self.close |= token.eq_ignore_ascii_case(b"close");
                        self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
            },
            14 if is(b"content-length") => {
                let length = content_length(value).ok_or(BadResponse("a malformed Content-Length"))?;
                if self.length.replace(length).is_some() {
                    return Err(BadResponse("two Content-Length fields"));
                }
            }
            17 if is(b"transfer-encoding") => {
                if version == 0 {
                    return Err(BadResponse("Transfer-Encoding in HTTP/1.0"));
                }
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadResponse("a Transfer-Encoding other than chunked"));
                }
                self.chunked = true;
            }
            _ => return Ok(meaning(name)),
        }
        // All of them belong to framing, or to this connection.
        Ok(Meaning::Hop)
    }

    fn decide(self, status: u16, version: u8, method: &str) -> Result<ResponseHead, BadResponse> {
        if self.chunked && self.length.is_some() {
            return Err(BadResponse("both Transfer-Encoding and Content-Length"));
        }
        let bodiless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        let framing = match (bodiless, self.chunked, self.length) {
            (true, _, _) | (false, false, Some(0)) => Framing::None,
            (false, true, _) => Framing::Chunked,
            (false, false, Some(length)) => Framing::Length(length),
            (false, false, None) => Framing::UntilClose,
        };
        let switching = status == 101;
        if switching && !self.upgrade {
            return Err(BadResponse("101 without Upgrade"));
        }
        Ok(ResponseHead {
            framing,
            announced: self.length,
            keep_alive: !self.close && framing != Framing::UntilClose && (version == 1 || self.keep_alive),
            interim: status < 200 && !switching,
            switching,
        })
    }
}
