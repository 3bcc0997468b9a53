//! Decodes the heads of requests, strictly.
//!
//! httparse splits the bytes; what it tolerates is refused here: bare line feeds, doubtful lengths, targets and hosts, disguised framing.

use std::mem::MaybeUninit;

use bytes::{Buf as _, BytesMut};

use crate::field::{Meaning, disguises_framing, meaning};
use crate::head::{Head, Version, tokens};
use crate::limits::Limits;
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
    if !skip_empty_line(buf, progress)? || buf.is_empty() {
        return Ok(None);
    }
    if !progress.is_worth_a_look(buf) {
        return too_long(buf, limits).map_or(Ok(None), Err);
    }
    let mut slots = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let config = httparse::ParserConfig::default();
    let (Some(slots), bytes) = (slots.get_mut(..limits.fields.min(MAX_FIELDS)), &buf[..]) else {
        return Err(Reject::bad("no field is allowed"));
    };
    let length = match config.parse_request_with_uninit_headers(&mut parsed, bytes, slots) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => {
            // A bare line feed ends a line for httparse, never for us.
            if has_bare_line_feed(buf) {
                return Err(Reject::bad("a line that ends without CR"));
            }
            return too_long(buf, limits).map_or(Ok(None), Err);
        }
        // Which version it is shows only when the line is complete.
        Err(httparse::Error::Version) if memchr::memchr(b'\n', buf).is_none() => {
            return too_long(buf, limits).map_or(Ok(None), Err);
        }
        Err(error) => return Err(refused(error, buf, limits)),
    };
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Reject::bad("no request line"));
    };
    if method.len() > limits.method_bytes {
        return Err(Reject::of(501, "a method that is too long"));
    }
    if target.len() > limits.target_bytes {
        return Err(Reject::of(414, "a target that is too long"));
    }
    if length > limits.head_bytes {
        return Err(Reject::of(431, "a head that is too long"));
    }
    let form = form(method.as_bytes(), target.as_bytes())?;

    head.begin(
        bytes.get(..length).unwrap_or_default(),
        if version == 0 { Version::Http10 } else { Version::Http11 },
    );
    head.place_method(0, method.len());
    let target_at = method.len() + 1;
    head.place_target(target_at, target.len());

    let mut facts = Facts::default();
    let mut line_start = target_at + target.len() + " HTTP/1.1\r\n".len();
    if !ends_line(bytes, line_start) {
        return Err(Reject::bad("a request line that ends without CR"));
    }
    let base = bytes.as_ptr() as usize;
    let fields = &*parsed.headers;
    for (at, field) in fields.iter().enumerate() {
        let name = field.name.as_bytes();
        let value_at = if field.value.is_empty() {
            line_start + name.len() + 1
        } else {
            field.value.as_ptr() as usize - base
        };
        let end = fields.get(at + 1).map_or(length - 2, |next| next.name.as_ptr() as usize - base);
        if !ends_line(bytes, end) {
            return Err(Reject::bad("a line that ends without CR"));
        }
        if end - line_start > limits.line_bytes {
            return Err(Reject::of(431, "a line that is too long"));
        }
        let meaning = facts.look_at(name, field.value, version)?;
        if memchr::memchr(b'_', name).is_some() {
            if disguises_framing(name) {
                return Err(Reject::bad("a framing field spelled with underscores"));
            }
            head.note_underscore();
        }
        head.add_original((line_start, name.len()), (value_at, field.value.len()), end, meaning);
        line_start = end;
    }
    if !bytes.get(..length).is_some_and(|whole| whole.ends_with(b"\r\n\r\n")) {
        return Err(Reject::bad("a head that ends without CR"));
    }
    let decided = facts.decide(method.as_bytes(), version, form, target.as_bytes())?;
    if let Form::Absolute { path, .. } = form {
        let rest = target.get(path..).unwrap_or_default();
        if rest.starts_with('/') {
            head.place_target(target_at + path, rest.len());
        } else {
            let origin = format!("/{rest}");
            head.put_target(origin.as_bytes());
        }
    }
    buf.advance(length);
    *progress = HeadProgress::default();
    Ok(Some(decided))
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

fn ends_line(bytes: &[u8], end: usize) -> bool {
    end.checked_sub(2).and_then(|start| bytes.get(start..end)) == Some(b"\r\n")
}

fn has_bare_line_feed(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| at == 0 || bytes.get(at - 1) != Some(&b'\r'))
}

/// Whether an unfinished head has grown beyond what it may have.
fn too_long(buf: &[u8], limits: &Limits) -> Option<Reject> {
    if memchr::memchr(b'\n', buf.get(..limits.target_bytes.saturating_add(64)).unwrap_or(buf)).is_none() {
        if buf.len() > limits.target_bytes + 64 {
            return Some(Reject::of(414, "a request line that is too long"));
        }
        let method = memchr::memchr(b' ', buf).unwrap_or(buf.len());
        if method > limits.method_bytes + 1 {
            return Some(Reject::of(501, "a method that is too long"));
        }
    }
    (buf.len() > limits.head_bytes).then_some(Reject::of(431, "a head that is too long"))
}

fn refused(error: httparse::Error, buf: &[u8], limits: &Limits) -> Reject {
    match error {
        httparse::Error::TooManyHeaders => Reject::of(431, "too many fields"),
        httparse::Error::Version if names_other_version(buf) => {
            Reject::of(505, "a version that is not served")
        }
        httparse::Error::Version => Reject::bad("no version, or a malformed one"),
        httparse::Error::Token
            if buf.iter().take_while(|byte| byte.is_ascii_uppercase()).count() > limits.method_bytes =>
        {
            Reject::of(501, "a method that is too long")
        }
        httparse::Error::Token => Reject::bad("a malformed request line"),
        httparse::Error::HeaderName => Reject::bad("a malformed field name"),
        httparse::Error::HeaderValue => Reject::bad("a malformed field value"),
        _ => Reject::bad("a malformed head"),
    }
}

/// `HTTP/` digit `.` digit at the end of a request line of three parts: well formed, but not ours.
fn names_other_version(buf: &[u8]) -> bool {
    let line = buf.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    match (words.next(), words.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None) => {
            major.is_ascii_digit() && minor.is_ascii_digit()
        }
        _ => false,
    }
}

/// What the fields say, gathered in one pass.
#[derive(Default)]
struct Facts<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrade_token: bool,
    upgrade: Option<&'a [u8]>,
    expect: bool,
}

impl<'a> Facts<'a> {
    fn look_at(&mut self, name: &[u8], value: &'a [u8], version: u8) -> Result<Meaning, Reject> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"host") => {
                if self.host.replace(value).is_some() {
                    return Err(Reject::bad("two Host fields"));
                }
                if !is_authority(value) {
                    return Err(Reject::bad("a malformed Host"));
                }
            }
            6 if is(b"expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Reject::of(417, "an expectation other than 100-continue"));
                }
                self.expect = version == 1;
            }
            7 if is(b"upgrade") => self.upgrade = Some(value),
            10 if is(b"connection") => match value {
                // What nearly every client says.
                b"keep-alive" => self.keep_alive = true,
                b"close" => self.close = true,
                _ => {
                    for token in tokens(value) {
                        self.close |= token.eq_ignore_ascii_case(b"close");
                        self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                        self.upgrade_token |= token.eq_ignore_ascii_case(b"upgrade");
                    }
                }
            },
            14 if is(b"content-length") => {
                let length = content_length(value).ok_or(Reject::bad("a malformed Content-Length"))?;
                if self.length.replace(length).is_some() {
                    return Err(Reject::bad("two Content-Length fields"));
                }
            }
            17 if is(b"transfer-encoding") => {
                if version == 0 {
                    return Err(Reject::bad("Transfer-Encoding in HTTP/1.0"));
                }
                if self.chunked {
                    return Err(Reject::bad("two Transfer-Encoding fields"));
                }
                transfer_encoding(value)?;
                self.chunked = true;
            }
            _ => {}
        }
        Ok(meaning(name))
    }

    fn decide(self, method: &[u8], version: u8, form: Form, target: &[u8]) -> Result<RequestHead, Reject> {
        if self.host.is_none() && version == 1 {
            return Err(Reject::bad("no Host"));
        }
        if let Form::Absolute { authority, path } = form {
            let named = target.get(authority..path).unwrap_or_default();
            if !is_authority(named) || self.host.is_some_and(|host| !host.eq_ignore_ascii_case(named)) {
                return Err(Reject::bad("a target whose authority is not the Host"));
            }
        }
        let framing = match (self.chunked, self.length) {
            (true, Some(_)) => return Err(Reject::bad("both Transfer-Encoding and Content-Length")),
            (true, None) => Framing::Chunked,
            (false, Some(0) | None) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
        };
        let has_body_by_nature = matches!(method, b"POST" | b"PUT" | b"PATCH");
        if version == 0 && has_body_by_nature && self.length.is_none() {
            return Err(Reject::of(411, "a body of unknown length in HTTP/1.0"));
        }
        let upgrade = match self.upgrade {
            Some(protocol)
                if self.upgrade_token && version == 1 && protocol.eq_ignore_ascii_case(b"websocket") =>
            {
                if framing != Framing::None {
                    return Err(Reject::bad("a WebSocket upgrade with a body"));
                }
                Upgrade::WebSocket
            }
            Some(_) => Upgrade::Other,
            None => Upgrade::None,
        };
        Ok(RequestHead {
            framing,
            keep_alive: !self.close && (version == 1 || self.keep_alive),
            expect_continue: self.expect && framing != Framing::None,
            upgrade,
            asterisk: form == Form::Asterisk,
        })
    }
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
