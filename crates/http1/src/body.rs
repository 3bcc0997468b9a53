//! Decodes bodies by their framing.
//!
//! The chunk syntax is our own: what libraries tolerate in sizes and extensions is what smuggling is made of (RFC 9112, section 7.1).

use bytes::{Buf as _, Bytes, BytesMut};

use crate::head::Head;
use crate::limits::Limits;
use crate::request::Framing;
use crate::trailers::{self, BadTrailers};

/// A body that breaks its framing. From a client it is answered with `status` where that is still possible; the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a malformed body: {reason}")]
pub struct BadBody {
    /// 400 or 431.
    pub status: u16,
    /// Why, for the log.
    pub reason: &'static str,
}

const fn bad(reason: &'static str) -> BadBody {
    BadBody { status: 400, reason }
}

/// What a decoder has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyEvent {
    /// More bytes are needed.
    NeedMore,
    /// A piece of the body, never empty.
    Data(Bytes),
    /// The body ended well; what is left in the buffer belongs to the next message.
    End,
}

/// Decodes one body.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    limits: BodyLimits,
    extension_bytes: usize,
    trailers: Option<Head>,
}

#[derive(Clone, Copy, Debug)]
struct BodyLimits {
    chunk_line: usize,
    extensions: usize,
    trailer_bytes: usize,
    trailer_fields: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    ChunkLine,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Done,
}

impl BodyDecoder {
    /// A decoder for a body that is framed so.
    #[must_use]
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkLine,
            Framing::UntilClose => State::UntilClose,
        };
        let limits = BodyLimits {
            chunk_line: limits.chunk_line_bytes,
            extensions: limits.chunk_extension_bytes,
            trailer_bytes: limits.trailer_bytes,
            trailer_fields: limits.trailer_fields,
        };
        Self { state, limits, extension_bytes: 0, trailers: None }
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many bytes are left, where the framing says it.
    #[must_use]
    pub const fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// The trailers that may be passed on, once the end was reached. Empty ones are `None`.
    pub fn trailers(&mut self) -> Option<Head> {
        self.trailers.take().filter(|head| !head.is_empty())
    }

    /// Takes the next piece out of `buf`.
    ///
    /// # Errors
    /// [`BadBody`]: the connection is closed, whatever was passed on is cut visibly.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<BodyEvent, BadBody> {
        loop {
            match self.state {
                State::Done => return Ok(BodyEvent::End),
                _ if buf.is_empty() => return Ok(BodyEvent::NeedMore),
                State::UntilClose => return Ok(BodyEvent::Data(buf.split().freeze())),
                State::Length(left) => {
                    let data = take(buf, left);
                    let left = left - data.len() as u64;
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    return Ok(BodyEvent::Data(data));
                }
                State::ChunkData(left) => {
                    let data = take(buf, left);
                    let left = left - data.len() as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                    return Ok(BodyEvent::Data(data));
                }
                State::ChunkEnd => {
                    if !take_crlf(buf)? {
                        return Ok(BodyEvent::NeedMore);
                    }
                    self.state = State::ChunkLine;
                }
                State::ChunkLine => match self.chunk_line(buf)? {
                    None => return Ok(BodyEvent::NeedMore),
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::ChunkData(size),
                },
                State::Trailers => {
                    if !self.trailer_lines(buf)? {
                        return Ok(BodyEvent::NeedMore);
                    }
                    self.state = State::Done;
                }
            }
        }
    }

    /// Hands the next piece over where it is, if all of it that is there is shorter than `below`: small pieces are cheaper to copy than to
    /// share. `false`, with nothing done, asks for [`BodyDecoder::decode`].
    pub fn copy_small(&mut self, buf: &mut BytesMut, below: usize, take: impl FnOnce(&[u8])) -> bool {
        let (State::Length(left) | State::ChunkData(left)) = self.state else { return false };
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        if count == 0 || count >= below {
            return false;
        }
        take(buf.get(..count).unwrap_or_default());
        consume(buf, count);
        let left = left - count as u64;
        self.state = match self.state {
            State::Length(_) if left == 0 => State::Done,
            State::Length(_) => State::Length(left),
            _ if left == 0 => State::ChunkEnd,
            _ => State::ChunkData(left),
        };
        true
    }

    /// The sender has closed: a good end only where closing is the framing.
    ///
    /// # Errors
    /// The body is cut.
    pub const fn eof(&mut self) -> Result<BodyEvent, BadBody> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(BodyEvent::End)
            }
            _ => Err(bad("the sender closed before the end")),
        }
    }

    /// Reads a size line; `None` asks for more bytes.
    fn chunk_line(&mut self, buf: &mut BytesMut) -> Result<Option<u64>, BadBody> {
        let seen = buf.get(..buf.len().min(self.limits.chunk_line + 2)).unwrap_or_default();
        let digits = seen.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > 15 {
            return Err(bad("a chunk size beyond 60 bits"));
        }
        let Some(next) = seen.get(digits) else { return Ok(None) };
        if digits == 0 || !matches!(next, b'\r' | b';') {
            return Err(bad("a malformed chunk size"));
        }
        let mut quoted = false;
        let mut escaped = false;
        for (at, byte) in seen.iter().enumerate().skip(digits) {
            match byte {
                b'\r' if quoted => return Err(bad("a line end inside a quoted chunk extension")),
                b'\r' => {
                    let Some(feed) = seen.get(at + 1) else { break };
                    if *feed != b'\n' {
                        return Err(bad("a CR inside a chunk's size line"));
                    }
                    self.extension_bytes += at - digits;
                    if self.extension_bytes > self.limits.extensions {
                        return Err(bad("chunk extensions that are too long"));
                    }
                    let size = seen.get(..digits).and_then(|text| std::str::from_utf8(text).ok());
                    let size = size.and_then(|text| u64::from_str_radix(text, 16).ok());
                    let size = size.ok_or(bad("a malformed chunk size"))?;
                    buf.advance(at + 2);
                    return Ok(Some(size));
                }
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'\t' | b' '..=b'~' | 0x80.. => {}
                _ => return Err(bad("a control character in a chunk extension")),
            }
        }
        if buf.len() > self.limits.chunk_line {
            Err(bad("a chunk's size line that is too long"))
        } else {
            Ok(None)
        }
    }

    /// Reads the lines behind the last chunk; `false` asks for more bytes.
    fn trailer_lines(&mut self, buf: &mut BytesMut) -> Result<bool, BadBody> {
        if buf.first() == Some(&b'\r') {
            return take_crlf(buf);
        }
        let seen = buf.get(..buf.len().min(self.limits.trailer_bytes + 4)).unwrap_or_default();
        let end = memchr::memmem::find(seen, b"\r\n\r\n");
        // What follows the trailers is another message, and judged when its turn comes.
        let lines = end.and_then(|end| seen.get(..end + 4)).unwrap_or(seen);
        let bare = memchr::memchr_iter(b'\n', lines).any(|at| at == 0 || lines.get(at - 1) != Some(&b'\r'));
        if bare {
            return Err(bad("a trailer line that ends without CR"));
        }
        let Some(end) = end else {
            // A line end followed by a lone CR can only go on with LF.
            return if buf.len() > self.limits.trailer_bytes {
                Err(BadBody { status: 431, reason: "trailers that are too long" })
            } else {
                Ok(false)
            };
        };
        let limits = Limits { trailer_fields: self.limits.trailer_fields, ..Limits::default() };
        let parsed = trailers::parse(seen.get(..end + 2).unwrap_or_default(), &limits);
        self.trailers = Some(parsed.map_err(|error| match error {
            BadTrailers::TooLarge => BadBody { status: 431, reason: "too many trailer fields" },
            BadTrailers::Malformed => bad("a malformed trailer line"),
        })?);
        buf.advance(end + 4);
        Ok(true)
    }
}

fn take(buf: &mut BytesMut, most: u64) -> Bytes {
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(buf.len());
    buf.split_to(count).freeze()
}

/// Takes bytes away that were used. A buffer of which nothing is left begins anew instead of shrinking from its front.
#[inline]
pub(crate) fn consume(buf: &mut BytesMut, count: usize) {
    if count == buf.len() {
        buf.clear();
    } else {
        buf.advance(count);
    }
}

/// Takes a CRLF away; `false` asks for more bytes.
fn take_crlf(buf: &mut BytesMut) -> Result<bool, BadBody> {
    match (buf.first(), buf.get(1)) {
        (Some(b'\r'), None) => Ok(false),
        (Some(b'\r'), Some(b'\n')) => {
            buf.advance(2);
            Ok(true)
        }
        _ => Err(bad("no line end where one has to be")),
    }
}
