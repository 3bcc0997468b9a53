//! A request's body as it comes from the client: whole where it has come already, a stream where it hasn't.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite as _;
use usher_http1::body::{BadBody, BodyDecoder, BodyEvent};
use usher_http1::head::Head;
use usher_http1::limits::Limits;
use usher_http1::request::{Framing, RequestHead};
use usher_pipeline::body::{Body, BodyError, BodyRead};

use super::pace::Pace;
use super::{Client, Io, Side};
use crate::engine::alarm::Wait;
use crate::engine::buffers::LARGE;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is known of the body that is being read.
pub(super) struct Inbound {
    decoder: BodyDecoder,
    /// Pieces that were decoded when the head was.
    ahead: VecDeque<Bytes>,
    /// Bytes of `100 Continue` that are still owed.
    owed: usize,
    /// Whether some of it was written, but not yet seen to the kernel.
    unflushed: bool,
    failed: Option<(BodyError, u16)>,
    /// Bytes that may still come before the body is too large.
    room: u64,
    pace: Pace,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
            decoder: BodyDecoder::new(Framing::None, &Limits::default()),
            ahead: VecDeque::new(),
            owed: 0,
            unflushed: false,
            failed: None,
            room: u64::MAX,
            pace: Pace::default(),
        }
    }
}

impl Inbound {
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done() && self.ahead.is_empty()
    }
}

/// What is left of a request's body when its answer is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Unread {
    /// Nothing: the next request may come.
    Nothing,
    /// So little that reading it is cheaper than a new connection.
    Little,
    /// More than that, or nobody knows how much.
    Much,
}

/// The most that is read and thrown away so that a connection can go on.
pub(super) const LITTLE: u64 = 256 << 10;

impl Client {
    /// The body that this head announces.
    ///
    /// # Errors
    /// What has come of it already breaks the framing, or is too large: the status and why.
    pub(in crate::engine) fn open_body(self: &Rc<Self>, head: &RequestHead) -> Result<Body, BadBody> {
        let settings = &self.local.settings;
        let io = match &self.side {
            Side::Connection(io) => &mut *io.borrow_mut(),
            Side::Stream(stream) => {
                return Ok(if stream.open_body(head, settings)? { self.stream() } else { Body::Empty });
            }
        };
        let most = settings.body_bytes.unwrap_or(u64::MAX);
        let body = &mut io.body;
        body.decoder = BodyDecoder::new(head.framing, &settings.head);
        body.ahead.clear();
        body.failed = None;
        body.owed = if head.expect_continue { CONTINUE.len() } else { 0 };
        body.room = most;
        body.pace = Pace::default();
        match head.framing {
            Framing::None => return Ok(Body::Empty),
            Framing::Length(length) if length > most => {
                return Err(BadBody { status: 413, reason: "a body that is too large" });
            }
            // Decoded as it comes: there is nothing to find out ahead.
            Framing::Length(length) if length > io.buffer.len() as u64 => return Ok(self.stream()),
            _ => {}
        }
        loop {
            match self.decode(io)? {
                BodyEvent::Data(piece) => io.body.ahead.push_back(piece),
                BodyEvent::NeedMore => return Ok(self.stream()),
                BodyEvent::End => break,
            }
        }
        if io.body.ahead.len() > 1 {
            let mut whole = Vec::new();
            io.body.ahead.drain(..).for_each(|piece| whole.extend_from_slice(&piece));
            io.body.ahead.push_back(whole.into());
        }
        // A body with trailers stays a stream, because only streams carry them.
        match io.body.decoder.trailers() {
            Some(trailers) => {
                Ok(Body::Stream(Box::new(ClientBody { client: Rc::clone(self), trailers: Some(trailers) })))
            }
            None => Ok(io.body.ahead.pop_front().map_or(Body::Empty, Body::Full)),
        }
    }

    pub(super) fn stream(self: &Rc<Self>) -> Body {
        Body::Stream(Box::new(ClientBody { client: Rc::clone(self), trailers: None }))
    }

    /// What is left of the body. A client that still waits for `100 Continue` may never send it.
    pub(in crate::engine) fn unread(&self) -> Unread {
        let io = match &self.side {
            Side::Connection(io) => io.borrow(),
            // It ends with its answer, whatever was read of it.
            Side::Stream(_) => return Unread::Nothing,
        };
        let body = &io.body;
        if body.is_done() {
            return Unread::Nothing;
        }
        let left = body.decoder.remaining();
        match left {
            Some(left) if left <= LITTLE && body.owed == 0 && body.failed.is_none() => Unread::Little,
            _ => Unread::Much,
        }
    }

    /// The status to answer a broken body with.
    pub(in crate::engine) fn body_status(&self) -> u16 {
        match &self.side {
            Side::Connection(io) => io.borrow().body.failed.as_ref().map_or(400, |(_, status)| *status),
            Side::Stream(stream) => stream.body_status(),
        }
    }

    /// Sends `100 Continue` where it is owed and the body has come without waiting for it.
    pub(in crate::engine) fn poll_continue(&self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let Some(mut io) = self.io() else { return Poll::Ready(Ok(())) };
        let io = &mut *io;
        if io.body.is_done() { self.poll_owed(io, context) } else { Poll::Ready(Ok(())) }
    }

    fn poll_owed(&self, io: &mut Io, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while io.body.owed > 0 {
            let rest = CONTINUE.get(CONTINUE.len() - io.body.owed..).unwrap_or_default();
            match Pin::new(&mut io.stream).poll_write(context, rest) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    io.body.owed -= written.min(io.body.owed);
                    io.body.unflushed = true;
                }
                Poll::Ready(_) => return Poll::Ready(Err(BodyError::Closed)),
                Poll::Pending => {
                    return self.waiting(io).map_or(Poll::Pending, |late| Poll::Ready(Err(late)));
                }
            }
        }
        if io.body.unflushed {
            // Inside of TLS it may still lie here.
            match Pin::new(&mut io.stream).poll_flush(context) {
                Poll::Ready(Ok(())) => io.body.unflushed = false,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(BodyError::Closed)),
                Poll::Pending => {
                    return self.waiting(io).map_or(Poll::Pending, |late| Poll::Ready(Err(late)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The next piece of the body.
    fn poll_piece(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let io = match &self.side {
            Side::Connection(io) => &mut *io.borrow_mut(),
            Side::Stream(stream) => return stream.poll_piece(self, context),
        };
        if let Some((failed, _)) = &io.body.failed {
            return Poll::Ready(Some(Err(failed.clone())));
        }
        match self.poll_piece_of(io, context) {
            Poll::Ready(Some(Err((error, status)))) => {
                self.alarm.disarm(Wait::ClientRead);
                io.body.failed = Some((error.clone(), status));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(Some(Ok(piece))) => Poll::Ready(Some(Ok(piece))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_piece_of(
        &self,
        io: &mut Io,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, (BodyError, u16)>>> {
        if let Some(piece) = io.body.ahead.pop_front() {
            return Poll::Ready(Some(Ok(piece)));
        }
        loop {
            match self.decode(io) {
                Ok(BodyEvent::Data(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(BodyEvent::End) => return Poll::Ready(None),
                Ok(BodyEvent::NeedMore) => {}
                Err(bad) => return Poll::Ready(Some(Err((BodyError::Malformed(bad.reason), bad.status)))),
            }
            match self.poll_owed(io, context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err((error, 400)))),
                Poll::Pending => return Poll::Pending,
            }
            let left =
                io.body.decoder.remaining().map_or(LARGE, |left| usize::try_from(left).unwrap_or(LARGE));
            self.local.buffers.make_room(&mut io.buffer, left);
            match tokio_util::io::poll_read_buf(Pin::new(&mut io.stream), context, &mut io.buffer) {
                Poll::Ready(Ok(came)) if came > 0 => {
                    if self.is_too_slow(io, came as u64) {
                        return Poll::Ready(Some(Err((BodyError::TimedOut, 408))));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Some(Err((BodyError::Closed, 400)))),
                Poll::Pending => {
                    return self
                        .waiting(io)
                        .map_or(Poll::Pending, |late| Poll::Ready(Some(Err((late, 408)))));
                }
            }
        }
    }

    fn decode(&self, io: &mut Io) -> Result<BodyEvent, BadBody> {
        let before = io.buffer.len();
        let event = io.body.decoder.decode(&mut io.buffer)?;
        let taken = (before - io.buffer.len()) as u64;
        self.received.set(self.received.get() + taken);
        if let BodyEvent::Data(piece) = &event {
            io.body.room = io
                .body
                .room
                .checked_sub(piece.len() as u64)
                .ok_or(BadBody { status: 413, reason: "a body that is too large" })?;
        }
        Ok(event)
    }

    /// Notes that the client is waited for; an error once that took too long.
    fn waiting(&self, io: &mut Io) -> Option<BodyError> {
        if self.alarm.rang(Wait::ClientRead) {
            return Some(BodyError::TimedOut);
        }
        let now = self.local.clock.ms();
        io.body.pace.wait(now);
        self.alarm.arm(Wait::ClientRead, now + self.local.settings.body_ms);
        None
    }

    fn is_too_slow(&self, io: &mut Io, came: u64) -> bool {
        self.alarm.disarm(Wait::ClientRead);
        io.body.pace.is_too_slow(self.local.clock.ms(), came)
    }
}

/// A request's body, for whoever reads it first.
struct ClientBody {
    client: Rc<Client>,
    trailers: Option<Head>,
}

impl BodyRead for ClientBody {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.client.poll_piece(context)
    }

    fn remaining(&self) -> Option<u64> {
        if self.trailers.is_some() {
            // A body with a length carries no trailers.
            return None;
        }
        let io = match &self.client.side {
            Side::Connection(io) => io.borrow(),
            Side::Stream(stream) => return stream.left(),
        };
        let ahead: u64 = io.body.ahead.iter().map(|piece| piece.len() as u64).sum();
        io.body.decoder.remaining().map(|left| left + ahead)
    }

    fn take_trailers(&mut self) -> Option<Head> {
        self.trailers.take().or_else(|| match &self.client.side {
            Side::Connection(io) => io.borrow_mut().body.decoder.trailers(),
            Side::Stream(stream) => stream.take_trailers(),
        })
    }
}
