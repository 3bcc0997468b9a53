//! The answer's body on its way to the client: no more of it is held than one read's worth, and a body that breaks off is cut visibly.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use usher_http1::body::BodyEvent;
use usher_http1::encode::{encode_chunk, encode_last_chunk};
use usher_http1::head::Head;
use usher_http1::request::Framing;
use usher_http1::response::ResponseHead;
use usher_pipeline::body::{BodyError, BodyRead, BodySteps};
use usher_pipeline::exchange::Exchange;

use super::client::Client;
use super::far::Far;
use super::outbound::{COPIED_BELOW, Outbound};
use super::state::State;

/// Where an answer's body comes from.
pub(super) enum Source {
    /// There is none.
    Nothing,
    /// It is there as a whole.
    Full(Bytes),
    /// A plugin makes it as it is read.
    Stream(Box<dyn BodyRead>),
    /// The upstream sends it, by the connection in the state.
    Upstream,
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

/// How far the queue was filled.
enum Gathered {
    /// With everything that was there.
    All,
    /// As far as it may be, or to the body's end.
    Full,
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

    /// How the body is sent, or what is said of one that isn't. `said` is what the upstream said, where the body is its.
    pub(super) fn framing(&self, said: &ResponseHead, bodiless: bool, untouched: bool) -> Framing {
        let length = match self {
            Self::Nothing => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Stream(stream) => stream.remaining(),
            // Nothing is said where the upstream said nothing: of HEAD's and 304's length only it knows.
            Self::Upstream if bodiless => return said.announced.map_or(Framing::UntilClose, Framing::Length),
            Self::Upstream => match said.framing {
                Framing::None => Some(0),
                Framing::Length(length) => Some(length),
                Framing::Chunked | Framing::UntilClose => None,
            },
        };
        match length {
            Some(0) if bodiless => Framing::UntilClose,
            Some(0) if untouched => Framing::None,
            Some(length) if untouched => Framing::Length(length),
            _ => Framing::Chunked,
        }
    }

    /// What is there without waiting; `None` asks for [`Far::poll_more`].
    fn next(&mut self, far: &mut Far) -> Result<Option<Piece>, BodyError> {
        match self {
            Self::Nothing => Ok(Some(Piece::End(None))),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Nothing;
                Ok(Some(Piece::Data(bytes)))
            }
            Self::Stream(_) => Ok(None),
            Self::Upstream => match far.next() {
                Ok((BodyEvent::Data(piece), _)) => Ok(Some(Piece::Data(piece))),
                Ok((BodyEvent::End, trailers)) => Ok(Some(Piece::End(trailers))),
                Ok((BodyEvent::NeedMore, _)) => Ok(None),
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
    far: &'a mut Far,
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
        if bodiless && !(matches!(source, Source::Upstream) && state.far.skip_body()) {
            source = Source::Nothing;
        }
        let owed = match framing {
            Framing::Length(length) if !bodiless => Some(length),
            _ => None,
        };
        let framing = if bodiless { Framing::None } else { framing };
        let State { exchange, down, up, far, body_bytes, .. } = state;
        Self { client, exchange, down, up, far, body_bytes, source, steps, framing, owed, gathered: false }
    }

    /// Sends head and body.
    pub(super) async fn run(&mut self) -> Relayed {
        let relayed = poll_fn(|context| self.poll(context)).await;
        self.client.alarm.disarm_all();
        relayed
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Relayed> {
        self.send_request(context);
        loop {
            let gathered = self.gather();
            if let Err(error) = &gathered {
                self.complain(error);
                // What came before goes out, as far as it does at once.
                let _ = self.client.poll_send(context, self.down);
                return Poll::Ready(Relayed::Cut);
            }
            match self.client.poll_send(context, self.down) {
                Poll::Ready(Ok(())) if self.gathered => return Poll::Ready(Relayed::Done),
                // The queue was full, and now it is not: there may be more of what was read, or the body's end.
                Poll::Ready(Ok(())) if matches!(gathered, Ok(Gathered::Full)) => continue,
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
        if !matches!(self.source, Source::Upstream) || self.far.upload.is_over() {
            return;
        }
        let sent = self.far.send(context, self.client, &mut self.exchange.request.body, self.up);
        // A request that can't be sent to its end shows in its answer, or in how the client goes on.
        if let Poll::Ready(Err(cut)) = sent {
            tracing::debug!(?cut, "a request's body broke off behind its answer's head");
            self.far.upload.give_up();
        }
    }

    /// Puts what is there into the queue.
    fn gather(&mut self) -> Result<Gathered, BodyError> {
        while !self.gathered && self.down.has_room() {
            if self.steps.is_empty() && matches!(self.source, Source::Upstream) && self.copy_small() {
                continue;
            }
            let next = self.source.next(self.far)?;
            if let (Some(Piece::Data(piece)), Source::Upstream) = (&next, &self.source) {
                self.exchange.times.upstream_body_bytes += piece.len() as u64;
            }
            match next {
                None => return Ok(Gathered::All),
                Some(Piece::Data(piece)) if self.steps.is_empty() => self.push(piece)?,
                Some(Piece::Data(piece)) => {
                    for piece in self.steps.chunk(piece)? {
                        self.push(piece)?;
                    }
                }
                Some(Piece::End(trailers)) => self.end(trailers)?,
            }
        }
        Ok(Gathered::Full)
    }

    /// A small piece that goes on as it is.
    fn copy_small(&mut self) -> bool {
        let Far { decoder, buffer, call: None, .. } = &mut *self.far else { return false };
        let (down, framing) = (&mut *self.down, self.framing);
        let (mut came, mut copied, owed) = (0, 0, &mut self.owed);
        let taken = decoder.copy_small(buffer, COPIED_BELOW, |piece| {
            came = piece.len() as u64;
            copied = came;
            match framing {
                Framing::Chunked => down.write(|text| encode_chunk(text, piece)),
                Framing::None => copied = 0,
                Framing::Length(_) | Framing::UntilClose => {
                    down.write(|text| text.extend_from_slice(piece));
                }
            }
        });
        if let Some(owed) = owed {
            // Both lengths come from the same head, and the decoder keeps to it.
            *owed = owed.saturating_sub(copied);
        }
        *self.body_bytes += copied;
        self.exchange.times.upstream_body_bytes += came;
        taken
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
        } else if !self.is_tunnel() {
            self.client.end_body(trailers);
        }
        self.gathered = true;
        if matches!(self.source, Source::Upstream) && !self.is_tunnel() {
            self.exchange.times.upstream_end = Some(self.client.local.clock.now());
            self.far.finish(self.client);
        }
        Ok(())
    }

    /// Whether a tunnel follows the head.
    fn is_tunnel(&self) -> bool {
        matches!(self.source, Source::Upstream) && self.far.head.switching
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
                        self.steps
                            .chunk(piece)
                            .and_then(|pieces| pieces.into_iter().try_for_each(|piece| self.push(piece)))
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
            Source::Upstream => self.far.poll_more(context, client),
        }
    }

    fn complain(&self, error: &BodyError) {
        let local = &self.client.local;
        if let Some(silent) = local.complaints.bodies.speak(local.clock.ms()) {
            tracing::warn!(
                route = self.exchange.route.as_ref().map(|route| &*route.id),
                node = self.exchange.upstream.address.map(tracing::field::display),
                %error,
                silent,
                "an answer's body broke off; the client's connection is cut"
            );
        }
    }
}
