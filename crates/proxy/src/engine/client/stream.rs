//! A client's stream of HTTP/2: the second shape that a client's side of a request has.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Response;
use usher_http1::body::BadBody;
use usher_http1::encode::ResponseExtras;
use usher_http1::head::Head;
use usher_http1::request::{Framing, RequestHead};
use usher_pipeline::body::BodyError;

use super::pace::Pace;
use super::{Client, NoHead, Side};
use crate::engine::alarm::Wait;
use crate::engine::http2::{self, Inlet, Lost, Outlet, Piece, Share};
use crate::engine::outbound::Outbound;
use crate::engine::settings::Settings;

/// One stream: both halves, and what all streams of its connection share.
pub(in crate::engine) struct Stream {
    reply: RefCell<Reply>,
    coming: RefCell<Coming>,
    pub(super) share: Rc<Share>,
}

/// The half towards the client.
struct Reply {
    respond: SendResponse<Piece>,
    /// The answer's head until it is sent, and its size.
    head: Option<(Response<()>, usize)>,
    /// The end of a body whose head was not sent yet.
    end: Option<Option<Head>>,
    outlet: Option<Outlet>,
}

/// The half from the client.
struct Coming {
    inlet: Inlet,
    /// Whether `100 Continue` is still owed.
    owed: bool,
    failed: Option<(BodyError, u16)>,
    /// Bytes that were announced and are still to come.
    left: Option<u64>,
    /// Bytes that may still come before the body is too large.
    room: u64,
    pace: Pace,
}

impl Stream {
    pub(in crate::engine) fn new(respond: SendResponse<Piece>, body: RecvStream, share: Rc<Share>) -> Self {
        let coming = Coming {
            inlet: Inlet::new(body, false),
            owed: false,
            failed: None,
            left: None,
            room: u64::MAX,
            pace: Pace::default(),
        };
        let reply = Reply { respond, head: None, end: None, outlet: None };
        Self { reply: RefCell::new(reply), coming: RefCell::new(coming), share }
    }

    /// What this head announces: whether a body comes.
    pub(super) fn open_body(&self, head: &RequestHead, settings: &Settings) -> Result<bool, BadBody> {
        let most = settings.body_bytes.unwrap_or(u64::MAX);
        let coming = &mut *self.coming.borrow_mut();
        coming.owed = head.expect_continue;
        coming.room = most;
        match head.framing {
            Framing::Length(length) if length > most => {
                Err(BadBody { status: 413, reason: "a body that is too large" })
            }
            Framing::Length(length) => {
                coming.left = Some(length);
                Ok(true)
            }
            Framing::None => Ok(false),
            Framing::Chunked | Framing::UntilClose => Ok(!coming.inlet.is_done()),
        }
    }

    pub(super) fn is_read(&self) -> bool {
        self.coming.borrow().inlet.is_done()
    }

    pub(super) fn body_status(&self) -> u16 {
        self.coming.borrow().failed.as_ref().map_or(400, |(_, status)| *status)
    }

    pub(super) fn left(&self) -> Option<u64> {
        self.coming.borrow().left
    }

    pub(super) fn take_trailers(&self) -> Option<Head> {
        self.coming.borrow_mut().inlet.take_trailers()
    }

    /// The next piece of the body; `None` at its end.
    pub(super) fn poll_piece(
        &self,
        client: &Client,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let coming = &mut *self.coming.borrow_mut();
        if let Some((failed, _)) = &coming.failed {
            return Poll::Ready(Some(Err(failed.clone())));
        }
        self.poll_owed(coming);
        let failed = match coming.inlet.poll_piece(context, &client.local.settings.head) {
            Poll::Ready(Some(Ok(piece))) => match coming.take(client, piece.len() as u64) {
                Ok(()) => return Poll::Ready(Some(Ok(piece))),
                Err(failed) => failed,
            },
            Poll::Ready(Some(Err(Lost::Malformed(why)))) => (BodyError::Malformed(why), 400),
            Poll::Ready(Some(Err(Lost::Broken(error)))) => {
                tracing::debug!(%error, "a request's body broke off");
                (BodyError::Closed, 400)
            }
            Poll::Ready(None) => {
                client.alarm.disarm(Wait::ClientRead);
                return Poll::Ready(None);
            }
            Poll::Pending if client.alarm.rang(Wait::ClientRead) => (BodyError::TimedOut, 408),
            Poll::Pending => {
                let now = client.local.clock.ms();
                coming.pace.wait(now);
                client.alarm.arm(Wait::ClientRead, now + client.local.settings.body_ms);
                return Poll::Pending;
            }
        };
        client.alarm.disarm(Wait::ClientRead);
        coming.failed = Some(failed.clone());
        Poll::Ready(Some(Err(failed.0)))
    }

    fn poll_owed(&self, coming: &mut Coming) {
        if std::mem::take(&mut coming.owed) && !coming.inlet.is_done() {
            self.inform(&Head::response(100));
        }
    }

    /// Sends an interim answer. One that can't be sent any more is no loss.
    pub(super) fn inform(&self, head: &Head) {
        let extras =
            ResponseExtras { framing: Framing::None, close: false, keep_alive_1_0: false, websocket: false };
        let (answer, _) = http2::answer_fields(head, extras);
        if let Err(error) = self.reply.borrow_mut().respond.send_informational(answer) {
            tracing::debug!(%error, "left out an interim answer");
        }
    }

    /// Takes the answer's head, which leaves with what follows it.
    pub(super) fn put_head(&self, head: &Head, extras: ResponseExtras) {
        self.reply.borrow_mut().head = Some(http2::answer_fields(head, extras));
    }

    /// Nothing follows what is in the queue but these trailers.
    pub(super) fn end_body(&self, trailers: Option<Head>) {
        let reply = &mut *self.reply.borrow_mut();
        match &mut reply.outlet {
            Some(outlet) => outlet.end(trailers),
            None => reply.end = Some(trailers.filter(|trailers| !trailers.is_empty())),
        }
    }

    pub(super) fn poll_send(&self, context: &mut Context<'_>, down: &mut Outbound) -> Poll<io::Result<()>> {
        let reply = &mut *self.reply.borrow_mut();
        if let Some((head, size)) = reply.head.take() {
            let bare = down.pending() == 0 && matches!(reply.end, Some(None));
            let stream = reply.respond.send_response(head, bare);
            let stream = stream.map_err(|error| io::Error::new(io::ErrorKind::ConnectionReset, error))?;
            let mut outlet = Outlet::new(stream, Rc::clone(&self.share.tally), bare);
            if let Some(trailers) = reply.end.take() {
                outlet.end(trailers);
            }
            reply.outlet = Some(outlet);
            down.note(size);
        }
        match &mut reply.outlet {
            Some(outlet) => outlet.poll_send(context, down),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Ready once the client wants no answer any more.
    pub(super) fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        let reply = &mut *self.reply.borrow_mut();
        match &mut reply.outlet {
            Some(outlet) => outlet.poll_gone(context),
            None => reply.respond.poll_reset(context).map(drop),
        }
    }

    pub(super) fn poll_tunnel_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        settings: &Settings,
    ) -> Poll<io::Result<usize>> {
        let coming = &mut *self.coming.borrow_mut();
        Poll::Ready(match ready!(coming.inlet.poll_piece(context, &settings.head)) {
            Some(Ok(piece)) => {
                buffer.extend_from_slice(&piece);
                Ok(piece.len())
            }
            Some(Err(_)) => Err(io::ErrorKind::ConnectionReset.into()),
            None => Ok(0),
        })
    }

    pub(super) fn poll_tunnel_write(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.reply.borrow_mut().outlet {
            Some(outlet) => outlet.poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    pub(super) fn poll_tunnel_end(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reply = &mut *self.reply.borrow_mut();
        let Some(outlet) = &mut reply.outlet else { return Poll::Ready(Ok(())) };
        outlet.end(None);
        outlet.poll_send(context, &mut Outbound::default())
    }
}

impl Coming {
    /// Counts what came.
    fn take(&mut self, client: &Client, count: u64) -> Result<(), (BodyError, u16)> {
        client.received.set(client.received.get() + count);
        client.alarm.disarm(Wait::ClientRead);
        self.left = self.left.map(|left| left.saturating_sub(count));
        match self.room.checked_sub(count) {
            Some(room) => self.room = room,
            None => return Err((BodyError::Malformed("a body that is too large"), 413)),
        }
        if self.pace.is_too_slow(client.local.clock.ms(), count) {
            return Err((BodyError::TimedOut, 408));
        }
        Ok(())
    }
}

impl Client {
    /// A stream of this connection's.
    pub(in crate::engine) fn of_stream(parent: &Self, stream: Stream) -> Self {
        let before = parent.served.replace(parent.served.get() + 1);
        Self {
            alarm: parent.local.alarms.add(),
            peer: parent.peer,
            peer_text: Rc::clone(&parent.peer_text),
            server: parent.server,
            serial: parent.serial,
            served: Cell::new(before),
            secured: parent.secured.clone(),
            proof: parent.proof.clone(),
            told: Rc::clone(&parent.told),
            trusted: parent.trusted,
            is_inner: parent.is_inner,
            side: Side::Stream(Box::new(stream)),
            received: Cell::new(0),
            hurried: Cell::new(false),
            shut: Rc::clone(&parent.shut),
            answered: Cell::new(false),
            local: Rc::clone(&parent.local),
        }
    }

    /// The head of a stream's request.
    ///
    /// # Errors
    /// [`NoHead::Refused`].
    pub(in crate::engine) fn stream_head(
        &self,
        parts: &http::request::Parts,
        head: &mut Head,
    ) -> Result<RequestHead, NoHead> {
        let Side::Stream(stream) = &self.side else { return Err(NoHead::Gone) };
        let wants = http2::admit(parts, stream.is_read(), &self.local.settings.head, head);
        let size: usize = head.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        self.received.set(size as u64);
        wants.map_err(NoHead::Refused)
    }

    /// Ends a stream in the middle, if it is one.
    pub(in crate::engine) fn cut_stream(&self, reason: Reason) {
        if let Side::Stream(stream) = &self.side
            && let Ok(mut reply) = stream.reply.try_borrow_mut()
        {
            match &mut reply.outlet {
                Some(outlet) => outlet.reset(reason),
                None => reply.respond.send_reset(reason),
            }
        }
    }

    /// Whether the client has reset the stream.
    pub(in crate::engine) fn stream_was_reset(&self) -> bool {
        let Side::Stream(stream) = &self.side else { return false };
        let Ok(mut reply) = stream.reply.try_borrow_mut() else { return false };
        let mut context = Context::from_waker(std::task::Waker::noop());
        match &mut reply.outlet {
            Some(outlet) => outlet.was_reset(),
            None => matches!(reply.respond.poll_reset(&mut context), Poll::Ready(Ok(_))),
        }
    }

    /// Says that a stream has ended, where that wasn't said: behind a tunnel.
    pub(in crate::engine) fn end_stream(&self) {
        if let Side::Stream(stream) = &self.side
            && let Ok(mut reply) = stream.reply.try_borrow_mut()
            && let Some(outlet) = &mut reply.outlet
            && !outlet.has_ended()
        {
            outlet.end(None);
            let mut context = Context::from_waker(std::task::Waker::noop());
            // Nothing waits in front of it; a stream that is gone needs no end.
            let _: Poll<io::Result<()>> = outlet.poll_send(&mut context, &mut Outbound::default());
        }
    }
}
