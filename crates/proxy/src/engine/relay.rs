//! The answer's body on its way to the client: no more of it is held than one read's worth, and a body that breaks off is cut visibly.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use usher_http1::body::BodyEvent;
use usher_http1::encode::encode_last_chunk;
use usher_http1::head::Head;
use usher_http1::request::Framing;
use usher_pipeline::body::{BodyError, BodyRead, BodySteps};
use usher_pipeline::exchange::Exchange;

use super::alarm::Wait;
use super::buffers::LARGE;
use super::client::Client;
use super::clock::millis;
use super::forward::Download;
use super::outbound::Outbound;
use super::state::State;

/// Where an answer's body comes from.
#[expect(clippy::large_enum_variant, reason = "the largest variant is the common one, and a box would cost an allocation a request")]
pub(super) enum Source {
    /// There is none.
    Nothing,
    /// It is there as a whole.
    Full(Bytes),
    /// A plugin makes it as it is read.
    Stream(Box<dyn BodyRead>),
    /// The upstream sends it.
    Upstream(Download),
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relayed {
    /// Everything is with the kernel.
    Done,
    /// The source broke off, or a plugin refused it.
    Cut,
    /// The client went away, or took nothing for too long.
    ClientGone,
}

enum Piece {
    Data(Bytes),
    End(Option<Head>),
}

impl Source {
    /// Sends a body that is there as a whole through its steps, which are done then.
    pub(super) fn through(self, steps: &mut BodySteps) -> Result<Self, BodyError> {
        if steps.is_empty() {
            return Ok(self);
        }
        let mut pieces = match self {
            Self::Full(bytes) => steps.chunk(bytes)?,
            Self::Nothing => Vec::new(),
            streaming => return Ok(streaming),
        };
        pieces.extend(steps.end(&mut Head::empty())?);
        *steps = BodySteps::default();
        Ok(Self::Full(pieces.concat().into()))
    }

    /// How the body is sent, or what is said of one that isn't.
    pub(super) fn framing(&self, bodiless: bool, untouched: bool) -> Framing {
        let length = match self {
            Self::Nothing => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Stream(stream) => stream.remaining(),
            Self::Upstream(download) if bodiless => {
                // Nothing is said where the upstream said nothing: of HEAD's and 304's length only it knows.
                return download.head.announced.map_or(Framing::UntilClose, Framing::Length);
            }
            Self::Upstream(download) => match download.head.framing {
                Framing::None => Some(0),
                Framing::Length(length) => Some(length),
                Framing::Chunked | Framing::UntilClose => None,
            },
        };
        match length {
            Some(0) if bodiless => Framing::UntilClose,
            Some(0) => Framing::None,
            Some(length) if untouched => Framing::Length(length),
            _ => Framing::Chunked,
        }
    }

    /// What is there without waiting; `None` asks for [`Source::poll_more`].
    fn next(&mut self) -> Result<Option<Piece>, BodyError> {
        match self {
            Self::Nothing => Ok(Some(Piece::End(None))),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Nothing;
                Ok(Some(Piece::Data(bytes)))
            }
            Self::Stream(_) => Ok(None),
            Self::Upstream(download) => match download.decoder.decode(&mut download.buffer) {
                Ok(BodyEvent::Data(piece)) => Ok(Some(Piece::Data(piece))),
                Ok(BodyEvent::End) => Ok(Some(Piece::End(download.decoder.trailers()))),
                Ok(BodyEvent::NeedMore) => Ok(None),
                Err(bad) => Err(BodyError::Malformed(bad.reason)),
            },
        }
    }
}

/// One answer on its way.
pub(super) struct Relay<'a> {
    client: &'a Client,
    exchange: &'a mut Exchange,
    down: &'a mut Outbound,
    up: &'a mut Outbound,
    body_bytes: &'a mut u64,
    source: Source,
    steps: BodySteps,
    framing: Framing,
    /// Bytes that were announced and are still to come.
    owed: Option<u64>,
    /// Whether everything was handed to the connection's queue.
    gathered: bool,
}

impl<'a> Relay<'a> {
    /// `bodiless`: nothing follows the head, whatever it says.
    pub(super) fn new(
        client: &'a Client,
        state: &'a mut State,
        mut source: Source,
        steps: BodySteps,
        framing: Framing,
        bodiless: bool,
    ) -> Self {
        if bodiless && !matches!(source, Source::Upstream(_)) {
            source = Source::Nothing;
        }
        let owed = match framing {
            Framing::Length(length) if !bodiless => Some(length),
            _ => None,
        };
        let framing = if bodiless { Framing::None } else { framing };
        let State { exchange, down, up, body_bytes, .. } = state;
        Self { client, exchange, down, up, body_bytes, source, steps, framing, owed, gathered: false }
    }

    /// Sends head and body.
    pub(super) async fn run(&mut self) -> Relayed {
        let relayed = poll_fn(|context| self.poll(context)).await;
        self.client.alarm.disarm_all();
        relayed
    }

    /// The upstream's connection, for what follows an answer that switches protocols.
    pub(super) fn into_download(self) -> Option<Download> {
        match self.source {
            Source::Upstream(download) => Some(download),
            _ => None,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Relayed> {
        self.send_request(context);
        loop {
            if let Err(error) = self.gather() {
                self.complain(&error);
                // What came before goes out, as far as it does at once.
                let _ = self.client.poll_send(context, self.down);
                return Poll::Ready(Relayed::Cut);
            }
            match self.client.poll_send(context, self.down) {
                Poll::Ready(Ok(())) if self.gathered => return Poll::Ready(Relayed::Done),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Relayed::ClientGone),
                Poll::Pending => return Poll::Pending,
            }
            match self.poll_more(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.complain(&error);
                    return Poll::Ready(Relayed::Cut);
                }
                Poll::Pending if self.client.poll_gone(context).is_ready() => {
                    return Poll::Ready(Relayed::ClientGone);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The upstream may answer while the request's body is still on its way.
    fn send_request(&mut self, context: &mut Context<'_>) {
        let Source::Upstream(download) = &mut self.source else { return };
        if download.upload.is_over() {
            return;
        }
        let body = &mut self.exchange.request.body;
        let patience = download.timeouts.send;
        let socket = &mut download.link.socket;
        // A request that can't be sent to its end shows in its answer, or in how the client goes on.
        if let Poll::Ready(Err(cut)) = download.upload.poll(context, self.client, body, self.up, socket, patience)
        {
            tracing::debug!(?cut, "a request's body broke off behind its answer's head");
            download.upload.give_up();
        }
    }

    /// Puts what is there into the queue.
    fn gather(&mut self) -> Result<(), BodyError> {
        while !self.gathered && self.down.has_room() {
            match self.source.next()? {
                None => return Ok(()),
                Some(Piece::Data(piece)) if self.steps.is_empty() => self.push(piece)?,
                Some(Piece::Data(piece)) => {
                    for piece in self.steps.chunk(piece)? {
                        self.push(piece)?;
                    }
                }
                Some(Piece::End(trailers)) => self.end(trailers)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, piece: Bytes) -> Result<(), BodyError> {
        let length = piece.len() as u64;
        match self.framing {
            Framing::Chunked => self.down.push_chunk(piece),
            Framing::None => return Ok(()),
            Framing::Length(_) | Framing::UntilClose => {
                if let Some(owed) = &mut self.owed {
                    *owed = owed
                        .checked_sub(length)
                        .ok_or_else(|| BodyError::Refused("the body is longer than it said".to_owned()))?;
                }
                self.down.push(piece);
            }
        }
        *self.body_bytes += length;
        Ok(())
    }

    fn end(&mut self, trailers: Option<Head>) -> Result<(), BodyError> {
        let mut trailers = trailers.unwrap_or_default();
        if !self.steps.is_empty() {
            for piece in self.steps.end(&mut trailers)? {
                self.push(piece)?;
            }
        }
        if self.owed.is_some_and(|owed| owed > 0) {
            return Err(BodyError::Closed);
        }
        if self.framing == Framing::Chunked {
            self.down.write(|text| encode_last_chunk(text, Some(&trailers)));
        }
        self.gathered = true;
        if matches!(&self.source, Source::Upstream(download) if !download.head.switching)
            && let Source::Upstream(download) = std::mem::replace(&mut self.source, Source::Nothing)
        {
            self.exchange.times.upstream_end = Some(self.client.local.clock.now());
            download.finish(self.client);
        }
        Ok(())
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let client = self.client;
        match &mut self.source {
            Source::Nothing | Source::Full(_) => Poll::Ready(Ok(())),
            Source::Stream(stream) => match stream.poll_read(context) {
                Poll::Ready(Some(Ok(piece))) => {
                    let gathered = if self.steps.is_empty() {
                        self.push(piece)
                    } else {
                        self.steps.chunk(piece).and_then(|pieces| {
                            pieces.into_iter().try_for_each(|piece| self.push(piece))
                        })
                    };
                    Poll::Ready(gathered)
                }
                Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
                Poll::Ready(None) => {
                    let trailers = stream.take_trailers();
                    Poll::Ready(self.end(trailers))
                }
                Poll::Pending => Poll::Pending,
            },
            Source::Upstream(download) => download.poll_more(context, client),
        }
    }

    fn complain(&self, error: &BodyError) {
        tracing::warn!(
            route = self.exchange.route.as_ref().map(|route| &*route.id),
            node = self.exchange.upstream.address.map(tracing::field::display),
            %error,
            "an answer's body broke off; the client's connection is cut"
        );
    }
}

impl Download {
    /// Reads more of the body.
    fn poll_more(&mut self, context: &mut Context<'_>, client: &Client) -> Poll<Result<(), BodyError>> {
        let left = self.decoder.remaining().map_or(LARGE, |left| usize::try_from(left).unwrap_or(LARGE));
        client.local.buffers.make_room(&mut self.buffer, left.max(LARGE));
        match self.link.socket.poll_fill(context, &mut self.buffer) {
            Poll::Ready(Ok(came)) if came > 0 => {
                client.alarm.disarm(Wait::UpstreamRead);
                Poll::Ready(Ok(()))
            }
            // The end is a good one only where closing is the framing; then the decoder says so next.
            Poll::Ready(Ok(_)) => Poll::Ready(self.decoder.eof().map(drop).map_err(|_| BodyError::Closed)),
            Poll::Ready(Err(_)) => Poll::Ready(Err(BodyError::Closed)),
            Poll::Pending if client.alarm.rang(Wait::UpstreamRead) => {
                Poll::Ready(Err(BodyError::TimedOut))
            }
            Poll::Pending => {
                client.alarm.arm(Wait::UpstreamRead, client.local.clock.ms() + millis(self.timeouts.read));
                Poll::Pending
            }
        }
    }

    /// Keeps the connection if it can carry another request (reliability rule D11), and gives the buffer back.
    fn finish(self, client: &Client) {
        let local = &client.local;
        let clean = self.head.keep_alive
            && self.upload.is_done()
            && self.buffer.is_empty()
            && self.decoder.is_done();
        if clean {
            self.idle.put(self.link, local.clock.ms());
        }
        local.buffers.give_back(self.buffer);
    }
}
