//! A connection whose requests are judged by our own strict parser before hyper sees them.
//!
//! hyper takes requests that two servers could read differently, such as those with both `Content-Length` and `Transfer-Encoding`. Here such a one never
//! arrives: in its place comes a line that no parser takes, which is answered with 400 and closes the connection. Chunked bodies are framed anew.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use usher_http1::body::{BodyDecoder, BodyEvent};
use usher_http1::encode::{encode_chunk, encode_last_chunk};
use usher_http1::head::Head;
use usher_http1::limits::Limits;
use usher_http1::request::{Framing, HeadProgress, decode_request};

/// What is read from the socket at a time, in bytes.
const PIECE: usize = 8 << 10;

/// What no parser takes for the beginning of a request, nor for the size of a chunk.
const NONSENSE: &[u8] = b"\0\r\n\r\n";

/// The stream of a server's connection.
pub(super) struct Strict<S> {
    stream: S,
    limits: Limits,
    head: Head,
    state: State,
    /// What came and isn't judged yet.
    raw: BytesMut,
    /// What is being read.
    piece: Box<[u8]>,
    /// What was judged and hyper hasn't taken yet.
    good: BytesMut,
}

enum State {
    Head(HeadProgress),
    Body {
        decoder: BodyDecoder,
        chunked: bool,
    },
    /// Nothing more is let through.
    Refused,
}

impl<S> Strict<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            limits: Limits::default(),
            head: Head::empty(),
            state: State::Head(HeadProgress::default()),
            raw: BytesMut::new(),
            piece: vec![0; PIECE].into_boxed_slice(),
            good: BytesMut::new(),
        }
    }

    /// Judges what came, as far as it goes.
    fn judge(&mut self) {
        while !self.raw.is_empty() {
            let went_on = match &mut self.state {
                State::Head(_) => self.judge_head(),
                State::Body { .. } => self.judge_body(),
                State::Refused => {
                    self.raw.clear();
                    false
                }
            };
            if !went_on {
                return;
            }
        }
    }

    /// Whether a head was let through.
    fn judge_head(&mut self) -> bool {
        let State::Head(progress) = &mut self.state else { return false };
        let came = self.raw.clone().freeze();
        match decode_request(&mut self.raw, &mut self.head, &self.limits, progress) {
            Ok(None) => false,
            Ok(Some(decided)) => {
                let length = came.len() - self.raw.len();
                self.good.extend_from_slice(came.get(..length).unwrap_or_default());
                let decoder = BodyDecoder::new(decided.framing, &self.limits);
                if decoder.is_done() {
                    self.state = State::Head(HeadProgress::default());
                } else {
                    self.state = State::Body { decoder, chunked: decided.framing == Framing::Chunked };
                }
                true
            }
            Err(reject) => self.refuse(reject.reason),
        }
    }

    /// Whether a piece of a body was let through, or its end.
    fn judge_body(&mut self) -> bool {
        let State::Body { decoder, chunked } = &mut self.state else { return false };
        let mut framed = Vec::new();
        let ended = match decoder.decode(&mut self.raw) {
            Ok(BodyEvent::NeedMore) => return false,
            Ok(BodyEvent::Data(data)) if *chunked => {
                encode_chunk(&mut framed, &data);
                false
            }
            Ok(BodyEvent::Data(data)) => {
                self.good.extend_from_slice(&data);
                decoder.is_done()
            }
            Ok(BodyEvent::End) => {
                if *chunked {
                    encode_last_chunk(&mut framed, None);
                }
                true
            }
            Err(error) => return self.refuse(error.reason),
        };
        self.good.extend_from_slice(&framed);
        if ended {
            self.state = State::Head(HeadProgress::default());
        }
        true
    }

    fn refuse(&mut self, reason: &'static str) -> bool {
        tracing::debug!(reason, "a malformed request to the admin side was refused");
        self.state = State::Refused;
        self.raw.clear();
        self.good.extend_from_slice(NONSENSE);
        false
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.good.is_empty() {
            if matches!(this.state, State::Refused) {
                // The end of what is let through.
                return Poll::Ready(Ok(()));
            }
            let mut piece = ReadBuf::new(&mut this.piece);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.raw.extend_from_slice(piece.filled());
            this.judge();
        }
        let length = this.good.len().min(out.remaining());
        out.put_slice(this.good.get(..length).unwrap_or_default());
        this.good.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::Strict;

    /// What is let through of these pieces, until the end.
    async fn through(pieces: &[&str]) -> String {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let mut strict = Strict::new(server);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        let sender = tokio::spawn(async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        });
        let mut seen = Vec::new();
        strict.read_to_end(&mut seen).await.unwrap();
        sender.await.unwrap();
        String::from_utf8(seen).unwrap()
    }

    #[tokio::test]
    async fn good_requests_pass_and_doubtful_ones_become_nonsense() {
        let get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
        let put = "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n{\"\"}";
        let chunked = "PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: v\r\n\r\n";
        let clean =
            "PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let both = "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: h\r\n\r\n";
        for (pieces, wanted) in [
            (vec![get, put, get], format!("{get}{put}{get}")),
            (vec!["GET /a HT", "TP/1.1\r\nHost: h\r\n\r", "\n"], get.to_owned()),
            (vec![chunked, get], format!("{clean}{get}")),
            (vec![get, both], format!("{get}\0\r\n\r\n")),
            (vec!["GET /a HTTP/1.1\nHost: h\n\n"], "\0\r\n\r\n".to_owned()),
            (vec!["GET /a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n"], "\0\r\n\r\n".to_owned()),
        ] {
            assert_eq!(through(&pieces).await, wanted, "{pieces:?}");
        }
        let bad =
            ["PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "+2\r\nab\r\n0\r\n\r\n"];
        assert!(through(&bad).await.ends_with("\r\n\r\n\0\r\n\r\n"));
    }
}
