//! The request's body on its way to the upstream: what the client has sent goes on as fast as the upstream takes it, and no faster.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use usher_http1::encode::encode_last_chunk;
use usher_http1::head::Head;
use usher_http1::request::Framing;
use usher_pipeline::body::{Body, BodyError, BodySteps};

use super::alarm::Wait;
use super::client::Client;
use super::clock::millis;
use super::http2::Call;
use super::outbound::Outbound;
use super::socket::Socket;

/// Pieces are gathered up to this before they are sent. Larger ones are sent alone, so that the buffer that they came in is free for the next read.
const GATHERED: usize = 4 << 10;

/// One request's body, and how far it has come.
#[derive(Default)]
pub(super) struct Upload {
    steps: BodySteps,
    chunked: bool,
    /// What a call sends behind it.
    trailers: Option<Head>,
    /// Bytes that were announced and are still to come.
    owed: Option<u64>,
    /// Whether the first piece was asked for: from then on the body can't be sent again.
    begun: bool,
    /// Whether everything was handed to the connection's queue.
    gathered: bool,
    /// Whether everything has left.
    done: bool,
    /// Why the upstream takes no more of it. It may have answered before it closed.
    broken: Option<io::Error>,
}

/// What a body is sent by.
pub(super) enum Way<'a> {
    /// A connection of HTTP/1.
    Socket(&'a mut Socket),
    /// A call over HTTP/2.
    Call(&'a mut Call),
}

/// Why a body can't be sent to its end.
#[derive(Debug)]
pub(super) enum Cut {
    /// The body's own source failed.
    Body(BodyError),
    /// The upstream takes too long.
    TimedOut,
}

impl Upload {
    /// Readies a body for being sent. One that is there as a whole goes through its steps at once.
    ///
    /// # Errors
    /// A step refuses it.
    pub(super) fn prepare(&mut self, body: &mut Body, mut steps: BodySteps) -> Result<(), BodyError> {
        if !steps.is_empty() && !matches!(body, Body::Stream(_)) {
            let whole = std::mem::take(body);
            let mut pieces = match whole {
                Body::Full(bytes) => steps.chunk(bytes)?,
                Body::Empty | Body::Stream(_) => Vec::new(),
            };
            pieces.extend(steps.end(&mut Head::empty())?);
            *body = Body::Full(pieces.concat().into());
            steps = BodySteps::default();
        }
        self.steps = steps;
        self.begun = false;
        Ok(())
    }

    /// Begins to send the body anew, and says how it is framed. A whole body is put into the queue behind its head by [`Upload::poll`].
    pub(super) fn begin(&mut self, body: &Body) -> Framing {
        let length = if self.steps.keep_length() { body.known_length() } else { None };
        self.owed = length;
        self.chunked = length.is_none();
        self.gathered = false;
        self.trailers = None;
        self.done = false;
        self.broken = None;
        match length {
            Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        }
    }

    /// The same for a call, which frames its pieces by itself.
    pub(super) fn begin_call(&mut self, body: &Body) -> Framing {
        let framing = self.begin(body);
        self.chunked = false;
        // Trailers may come behind a body of no bytes.
        if matches!(body, Body::Stream(_)) && framing == Framing::None { Framing::Chunked } else { framing }
    }

    /// Whether the body can be sent once more.
    pub(super) fn is_repeatable(&self) -> bool {
        !self.begun
    }

    /// Whether all of it has left.
    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// Whether nothing more will be sent.
    pub(super) const fn is_over(&self) -> bool {
        self.done || self.broken.is_some()
    }

    /// Sends no more of it.
    pub(super) fn give_up(&mut self) {
        self.broken.get_or_insert_with(|| io::ErrorKind::ConnectionAborted.into());
    }

    /// Why the upstream took no more of it.
    pub(super) fn take_broken(&mut self) -> Option<io::Error> {
        self.broken.take()
    }

    /// Sends on. Ready means: all of it has left, or the upstream takes no more.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        body: &mut Body,
        up: &mut Outbound,
        way: &mut Way<'_>,
        patience: Duration,
    ) -> Poll<Result<(), Cut>> {
        if self.is_over() {
            return Poll::Ready(Ok(()));
        }
        loop {
            self.gather(context, client, body, up).map_err(Cut::Body)?;
            let before = up.written();
            let sent = match way {
                Way::Socket(socket) => up.poll_send(context, *socket),
                Way::Call(call) => {
                    if self.gathered {
                        call.outlet.end(self.trailers.take());
                    }
                    call.outlet.poll_send(context, up)
                }
            };
            match sent {
                Poll::Ready(Ok(())) => client.alarm.disarm(Wait::UpstreamWrite),
                Poll::Ready(Err(error)) => {
                    client.alarm.disarm(Wait::UpstreamWrite);
                    self.broken = Some(error);
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending => {
                    if up.written() != before {
                        client.alarm.disarm(Wait::UpstreamWrite);
                    }
                    if client.alarm.rang(Wait::UpstreamWrite) {
                        return Poll::Ready(Err(Cut::TimedOut));
                    }
                    client.alarm.arm(Wait::UpstreamWrite, client.local.clock.ms() + millis(patience));
                    return Poll::Pending;
                }
            }
            if self.gathered {
                self.done = true;
                return Poll::Ready(Ok(()));
            }
            if up.written() == before {
                // Nothing was there to send: the client is waited for.
                return Poll::Pending;
            }
        }
    }

    /// Puts what has come into the queue.
    fn gather(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        body: &mut Body,
        up: &mut Outbound,
    ) -> Result<(), BodyError> {
        while !self.gathered && up.pending() < GATHERED {
            let stream = match body {
                Body::Stream(stream) => stream,
                whole => {
                    if client.poll_continue(context)?.is_pending() {
                        return Ok(());
                    }
                    if let Body::Full(bytes) = whole {
                        up.push(bytes.clone());
                    }
                    self.gathered = true;
                    return Ok(());
                }
            };
            self.begun = true;
            match stream.poll_read(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Some(piece)) => {
                    let piece = piece?;
                    if self.steps.is_empty() {
                        self.push(piece, up)?;
                    } else {
                        for piece in self.steps.chunk(piece)? {
                            self.push(piece, up)?;
                        }
                    }
                }
                Poll::Ready(None) => {
                    let mut trailers = stream.take_trailers().unwrap_or_default();
                    if !self.steps.is_empty() {
                        for piece in self.steps.end(&mut trailers)? {
                            self.push(piece, up)?;
                        }
                    }
                    if self.owed.is_some_and(|owed| owed > 0) {
                        return Err(BodyError::Closed);
                    }
                    if self.chunked {
                        up.write(|text| encode_last_chunk(text, Some(&trailers)));
                    } else {
                        self.trailers = Some(trailers);
                    }
                    self.gathered = true;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, piece: bytes::Bytes, up: &mut Outbound) -> Result<(), BodyError> {
        if self.chunked {
            up.push_chunk(piece);
            return Ok(());
        }
        if let Some(owed) = &mut self.owed {
            *owed = owed
                .checked_sub(piece.len() as u64)
                .ok_or_else(|| BodyError::Refused("the body is longer than it said".to_owned()))?;
        }
        up.push(piece);
        Ok(())
    }
}
