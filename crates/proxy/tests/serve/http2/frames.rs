//! A client that writes frames by hand, and reads what comes back.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// The end of a stream; on SETTINGS and PING, their acknowledgement.
pub(crate) const END: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITISED: u8 = 32;

/// `GET / http`, authority `a`, from the static table (RFC 7541, appendix A).
pub(crate) const GET: &[u8] = &[0x82, 0x84, 0x86, 0x41, 1, b'a'];
/// The same with `POST`.
pub(crate) const POST: &[u8] = &[0x83, 0x84, 0x86, 0x41, 1, b'a'];

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// One literal field that enters no table.
pub(crate) fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127);
        bytes.push(u8::try_from(text.len()).unwrap());
        bytes.extend_from_slice(text);
    }
    bytes
}

/// One setting.
pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    [id.to_be_bytes().as_slice(), &value.to_be_bytes()].concat()
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The code of RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The first byte of a block of fields: `0x88` is `:status: 200`.
    pub(crate) fn status(&self) -> String {
        match self.payload.first() {
            Some(0x88) => "200".to_owned(),
            Some(0x8c) => "400".to_owned(),
            Some(0x8d) => "404".to_owned(),
            Some(0x8e) => "500".to_owned(),
            // A literal behind the name's index, in three digits as they are or by Huffman's code.
            _ => format!("{:02x?}", self.payload.get(..4)),
        }
    }
}

/// What came of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The connection was given up, with this code.
    GoAway(u32),
    /// The stream was given up, with this code.
    Reset(u32),
    /// An answer's head.
    Answer(String),
    /// A ping came back.
    Pong,
    /// The connection was closed.
    Closed,
    /// Nothing in time.
    Silence,
}

/// A raw connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    /// A connection that has said nothing yet.
    pub(crate) fn bare(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// One that has introduced itself with these settings.
    pub(crate) fn connect(to: SocketAddr, settings: &[u8]) -> Self {
        let mut raw = Self::bare(to);
        raw.write(&[PREFACE, &frame(SETTINGS, 0, 0, settings), &frame(SETTINGS, END, 0, b"")].concat());
        raw
    }

    /// Whether all of it could be written.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame; `None` at the end, or in silence.
    pub(crate) fn frame(&mut self) -> Result<Option<Frame>, ErrorKind> {
        loop {
            if let Some(head) = self.buffer.get(..9) {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if self.buffer.len() >= 9 + length {
                    let frame = Frame {
                        kind: head[3],
                        flags: head[4],
                        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff,
                        payload: self.buffer[9..9 + length].to_vec(),
                    };
                    self.buffer.drain(..9 + length);
                    return Ok(Some(frame));
                }
            }
            let mut piece = vec![0; 64 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.extend_from_slice(&piece[..count]),
                Err(error) => return Err(error.kind()),
            }
        }
    }

    /// What comes of what was sent on `stream`: the first frame that says so.
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            match self.frame() {
                Ok(Some(frame)) => match frame.kind {
                    GOAWAY if frame.code() != 0 => return Outcome::GoAway(frame.code()),
                    RST_STREAM if frame.stream == stream => return Outcome::Reset(frame.code()),
                    HEADERS if frame.stream == stream => return Outcome::Answer(frame.status()),
                    PING if frame.flags == END => return Outcome::Pong,
                    _ => {}
                },
                Ok(None) | Err(ErrorKind::ConnectionReset) => return Outcome::Closed,
                Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Outcome::Silence,
                Err(other) => panic!("{other}"),
            }
        }
    }
}
