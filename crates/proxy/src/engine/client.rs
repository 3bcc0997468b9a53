//! A client's side of its requests: reads heads and bodies, writes answers, and knows how long each may take.
//!
//! It has two shapes: a connection of HTTP/1, and one stream of a connection of HTTP/2. Whatever a request means is the same for both; what differs
//! is where heads and pieces of bodies come from and go to, and that is decided here, by one look at the shape.
//!
//! Its parts are behind one `RefCell`, because a body that a plugin reads and the engine's own loop read from the same socket. Nothing holds a borrow
//! while it waits.

mod body;
mod ending;
mod pace;
mod stream;
mod wire;

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::net::TcpStream;
use usher_http1::encode::{ResponseExtras, encode_response};
use usher_http1::familiar::Familiar;
use usher_http1::head::Head;
use usher_http1::reject::Reject;
use usher_http1::request::{Framing, HeadProgress, RequestHead, decode_familiar_request};
use usher_pipeline::secured::Secured;
use usher_pipeline::worker::InnerCall;

use super::alarm::{Alarm, Wait};
use super::buffers::{LARGE, LEAST, SMALL};
use super::http2::{Preface, preface};
use super::ingress::Told;
use super::listen::{Ends, Shut};
use super::local::Local;
use super::outbound::Outbound;
use super::proof::Proof;
use super::socket::Socket;
use super::tls::Shaken;
use body::Inbound;
pub(super) use body::Unread;
pub(super) use stream::Stream;
pub(super) use wire::Wire;

/// Bytes of the next requests that are read while this one runs; the rest waits in the kernel.
const AHEAD: usize = 8 << 10;

/// How long an answer may take before it is looked at whether anybody still waits for it, and a request before the buffer for it is given back.
const LONG_MS: u64 = 200;

/// A connection that has never spoken may still be sending its first request when the worker stops.
const FIRST_WORD_MS: u64 = 500;

/// A client's side of one request after the other, or of one.
pub(super) struct Client {
    pub(super) local: Rc<Local>,
    pub(super) alarm: Rc<Alarm>,
    /// The socket's other end.
    pub(super) peer: SocketAddr,
    /// Its address as text, written once.
    pub(super) peer_text: Rc<str>,
    /// The address and port that it came to.
    pub(super) server: SocketAddr,
    /// The connection's number.
    pub(super) serial: u64,
    /// Requests that have come by the connection.
    served: Cell<u64>,
    /// What TLS has settled; `None` on a plain connection.
    pub(super) secured: Option<Rc<Secured>>,
    /// What the client has shown of itself.
    pub(super) proof: Option<Rc<Proof>>,
    /// What upstreams are told of where its requests come from.
    pub(super) told: Rc<RefCell<Told>>,
    /// Whether its word on where requests come from is believed.
    pub(super) trusted: bool,
    /// Whether the gateway itself is at the other end, in the name of a client.
    pub(super) is_inner: bool,
    side: Side,
    /// Bytes of the current request so far.
    received: Cell<u64>,
    /// Whether it knows that the worker is stopping.
    hurried: Cell<bool>,
    /// Whether the way that it came by was closed.
    shut: Shut,
    /// Whether any byte of an answer to the current request has left.
    answered: Cell<bool>,
}

/// The two shapes.
#[expect(
    clippy::large_enum_variant,
    reason = "the larger one is that of HTTP/1, which is to cost no step more than it must"
)]
enum Side {
    /// A connection of HTTP/1, or one that may become HTTP/2.
    Connection(RefCell<Io>),
    /// A stream of HTTP/2.
    Stream(Box<Stream>),
}

/// A connection.
struct Io {
    stream: Socket,
    buffer: BytesMut,
    progress: HeadProgress,
    /// What the heads of this client's requests have in common; a first one is not remembered, because most connections of some clients bring no
    /// second.
    familiar: Familiar,
    body: Inbound,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum NoHead {
    /// The client closed between two requests, or went away.
    Gone,
    /// It took too long; `true` where some of a head had come.
    TimedOut(bool),
    /// What it sent is refused.
    Refused(Reject),
}

impl Client {
    /// A connection that begins with a request.
    pub(super) fn plain(local: Rc<Local>, stream: TcpStream, ends: Ends) -> Self {
        let alarm = local.alarms.add();
        Self::new(local, alarm, Socket::Plain(stream), ends)
    }

    /// A connection behind its handshake, which had the same alarm.
    pub(super) fn secured(local: Rc<Local>, alarm: Rc<Alarm>, shaken: Shaken, ends: Ends) -> Self {
        let Shaken { stream, secured, proof } = shaken;
        let client = Self::new(local, alarm, stream, ends);
        Self { secured: Some(Rc::new(secured)), proof: Some(Rc::new(proof)), ..client }
    }

    /// A connection inside of the worker, whose other end asks in a client's name. Nobody's word on where a request comes from is believed there.
    pub(super) fn inner(local: Rc<Local>, stream: Socket, call: &InnerCall) -> Self {
        let alarm = local.alarms.add();
        // It came by no listener that could be taken away under it.
        let ends = Ends { peer: call.client, server: call.server, shut: Shut::default() };
        let client = Self::new(local, alarm, stream, ends);
        let proof = call.secured.as_ref().map(|secured| Rc::new(Proof::of(secured)));
        Self { secured: call.secured.clone(), proof, trusted: false, is_inner: true, ..client }
    }

    fn new(local: Rc<Local>, alarm: Rc<Alarm>, stream: Socket, ends: Ends) -> Self {
        let Ends { peer, server, shut } = ends;
        let trusted = local.ingress.trusts(peer.ip());
        Self {
            alarm,
            peer,
            peer_text: peer.ip().to_canonical().to_string().into(),
            server,
            serial: local.next_serial(),
            served: Cell::new(0),
            secured: None,
            proof: None,
            told: Rc::default(),
            trusted,
            is_inner: false,
            side: Side::Connection(RefCell::new(Io {
                stream,
                buffer: BytesMut::new(),
                progress: HeadProgress::default(),
                familiar: Familiar::forgetful(),
                body: Inbound::default(),
            })),
            received: Cell::new(0),
            hurried: Cell::new(false),
            shut,
            answered: Cell::new(false),
            local,
        }
    }

    /// Counts one more request, and says how many have come by its connection.
    pub(super) fn count_request(&self) -> u64 {
        let served = self.served.get() + 1;
        self.served.set(served);
        self.local.requests.set(self.local.requests.get() + 1);
        served
    }

    /// The connection; `None` for a stream.
    fn io(&self) -> Option<RefMut<'_, Io>> {
        match &self.side {
            Side::Connection(io) => Some(io.borrow_mut()),
            Side::Stream(_) => None,
        }
    }

    /// Whether it is a stream of HTTP/2: its end is no matter of its connection.
    pub(super) const fn is_stream(&self) -> bool {
        matches!(self.side, Side::Stream(_))
    }

    /// Whether the connection ends behind its request: the worker stops, or the way that it came by is closed.
    pub(super) fn is_leaving(&self) -> bool {
        self.local.is_draining() || self.shut.get()
    }

    /// How much of an answer is read at once.
    pub(super) fn appetite(&self) -> usize {
        match &self.side {
            Side::Stream(stream) if stream.share.is_crowded() => SMALL,
            _ => LARGE,
        }
    }

    /// Whether the connection begins as one of HTTP/2. Waits for more bytes only where those that came could be the beginning of its preface.
    pub(super) async fn is_http2(&self) -> bool {
        let found = std::future::poll_fn(|context| self.poll_preface(context)).await;
        self.alarm.disarm(Wait::ClientRead);
        found
    }

    fn poll_preface(&self, context: &mut Context<'_>) -> Poll<bool> {
        let Some(mut io) = self.io() else { return Poll::Ready(false) };
        let io = &mut *io;
        if self.secured.is_some() {
            // There the handshake has settled it.
            return Poll::Ready(io.stream.chose_http2());
        }
        loop {
            match preface(&io.buffer) {
                Preface::Whole => return Poll::Ready(true),
                Preface::Not => return Poll::Ready(false),
                Preface::Begun => {}
            }
            self.local.buffers.make_room(&mut io.buffer, SMALL);
            match tokio_util::io::poll_read_buf(Pin::new(&mut io.stream), context, &mut io.buffer) {
                Poll::Ready(Ok(came)) if came > 0 => {}
                // What came is nothing of HTTP/1 either, which is said where that is read.
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending if self.alarm.rang(Wait::ClientRead) => return Poll::Ready(false),
                Poll::Pending => {
                    self.alarm.arm(Wait::ClientRead, self.local.clock.ms() + self.local.settings.head_ms);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Waits for the first bytes of a request; before long it holds nothing. `false`: the connection is at its end. `served` requests came before.
    pub(super) async fn wait(&self, served: u64) -> bool {
        let waited = std::future::poll_fn(|context| self.poll_wait(context, served)).await;
        self.alarm.disarm(Wait::ClientRead);
        self.alarm.disarm(Wait::Long);
        waited
    }

    fn poll_wait(&self, context: &mut Context<'_>, served: u64) -> Poll<bool> {
        let Some(mut io) = self.io() else { return Poll::Ready(false) };
        let io = &mut *io;
        if !io.buffer.is_empty() {
            return Poll::Ready(true);
        }
        if self.alarm.rang(Wait::Long) {
            self.local.buffers.give_back(std::mem::take(&mut io.buffer));
            if io.stream.tcp().is_some_and(|tcp| tcp.poll_read_ready(context).is_pending()) {
                return self.keep_waiting(served);
            }
        }
        self.local.buffers.make_room(&mut io.buffer, SMALL);
        match tokio_util::io::poll_read_buf(Pin::new(&mut io.stream), context, &mut io.buffer) {
            Poll::Ready(came) => Poll::Ready(came.is_ok_and(|came| came > 0)),
            Poll::Pending => {
                self.alarm.arm(Wait::Long, self.local.clock.ms() + LONG_MS);
                self.keep_waiting(served)
            }
        }
    }

    fn keep_waiting(&self, served: u64) -> Poll<bool> {
        if self.alarm.rang(Wait::ClientRead) {
            return Poll::Ready(false);
        }
        let hurries = self.local.hurries();
        if hurries && served > 0 {
            return Poll::Ready(false);
        }
        if hurries && !self.hurried.replace(true) {
            self.alarm.disarm(Wait::ClientRead);
        }
        // Where others go on listening, an idle connection lives its time out: closed now, it could cross a request on its way.
        let idle = || self.local.pressure.idle_ms(self.local.settings.idle_ms);
        let patience = if hurries { FIRST_WORD_MS } else { idle() };
        self.alarm.arm(Wait::ClientRead, self.local.clock.ms() + patience);
        Poll::Pending
    }

    /// Reads one head.
    ///
    /// # Errors
    /// [`NoHead`].
    pub(super) async fn head(&self, head: &mut Head) -> Result<RequestHead, NoHead> {
        self.answered.set(false);
        // Nearly every head is there at once.
        let mut reading = None;
        let decoded = std::future::poll_fn(|context| {
            let polled = self.poll_head(context, head);
            if polled.is_pending() && reading.is_none() {
                reading = Some(self.local.reading.begin());
            }
            polled
        })
        .await;
        self.alarm.disarm(Wait::ClientRead);
        decoded
    }

    fn poll_head(&self, context: &mut Context<'_>, head: &mut Head) -> Poll<Result<RequestHead, NoHead>> {
        let Some(mut io) = self.io() else { return Poll::Ready(Err(NoHead::Gone)) };
        let io = &mut *io;
        let settings = &self.local.settings;
        loop {
            if !io.buffer.is_empty() {
                let before = io.buffer.len();
                let Io { buffer, progress, familiar, .. } = io;
                match decode_familiar_request(buffer, head, &settings.head, progress, familiar) {
                    Ok(Some(decoded)) => {
                        io.familiar.remember();
                        self.received.set((before - io.buffer.len()) as u64);
                        return Poll::Ready(Ok(decoded));
                    }
                    Ok(None) => {}
                    Err(reject) => {
                        self.received.set(before as u64);
                        return Poll::Ready(Err(NoHead::Refused(reject)));
                    }
                }
            }
            if io.buffer.capacity() == 0 {
                io.buffer = self.local.buffers.small();
            } else if io.buffer.capacity() - io.buffer.len() < LEAST {
                // The decoder refuses heads beyond its limits, so this ends.
                io.buffer.reserve(SMALL);
            }
            let came = match tokio_util::io::poll_read_buf(Pin::new(&mut io.stream), context, &mut io.buffer)
            {
                Poll::Ready(Ok(came)) => came,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(NoHead::Gone)),
                Poll::Pending if self.alarm.rang(Wait::ClientRead) => {
                    self.received.set(io.buffer.len() as u64);
                    return Poll::Ready(Err(NoHead::TimedOut(!io.buffer.is_empty())));
                }
                Poll::Pending => {
                    self.alarm.arm(Wait::ClientRead, self.local.clock.ms() + settings.head_ms);
                    return Poll::Pending;
                }
            };
            if came == 0 {
                return Poll::Ready(Err(NoHead::Gone));
            }
        }
    }

    /// Whether the client has gone away while it waits for its answer. What it sends meanwhile is kept for later. Nobody looks before it has
    /// waited for a while: most answers come sooner.
    pub(super) fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        let io = match &self.side {
            Side::Connection(io) => io,
            Side::Stream(stream) => return stream.poll_gone(context),
        };
        if !self.alarm.rang(Wait::Long) {
            self.alarm.arm(Wait::Long, self.local.clock.ms() + LONG_MS);
            return Poll::Pending;
        }
        let io = &mut *io.borrow_mut();
        if !io.body.is_done() {
            // Its own reader sees the end.
            return Poll::Pending;
        }
        loop {
            if io.buffer.len() >= AHEAD {
                return Poll::Pending;
            }
            self.local.buffers.make_room(&mut io.buffer, SMALL);
            match ready!(tokio_util::io::poll_read_buf(Pin::new(&mut io.stream), context, &mut io.buffer)) {
                Ok(came) if came > 0 => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    /// Writes what waits. Ready means: all of it is with the kernel.
    pub(super) fn poll_send(&self, context: &mut Context<'_>, down: &mut Outbound) -> Poll<io::Result<()>> {
        let before = down.written();
        let sent = match &self.side {
            Side::Connection(io) => down.poll_send(context, &mut io.borrow_mut().stream),
            Side::Stream(stream) => stream.poll_send(context, down),
        };
        if down.written() != before {
            self.answered.set(true);
            self.alarm.disarm(Wait::ClientWrite);
        }
        if sent.is_pending() {
            if self.alarm.rang(Wait::ClientWrite) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.arm(Wait::ClientWrite, self.local.clock.ms() + self.local.settings.write_ms);
        }
        sent
    }

    /// Takes the answer's head, in front of everything else that is sent.
    pub(super) fn put_head(&self, down: &mut Outbound, head: &Head, extras: ResponseExtras) {
        match &self.side {
            Side::Connection(_) => down.write(|text| encode_response(text, head, extras)),
            Side::Stream(stream) => stream.put_head(head, extras),
        }
    }

    /// Takes an interim head.
    pub(super) fn put_interim(&self, down: &mut Outbound, head: &Head) {
        match &self.side {
            Side::Connection(_) => {
                let extras = ResponseExtras {
                    framing: Framing::None,
                    close: false,
                    keep_alive_1_0: false,
                    websocket: false,
                };
                down.write(|text| encode_response(text, head, extras));
            }
            Side::Stream(stream) => stream.inform(head),
        }
    }

    /// Says that nothing follows what is in the queue. On a connection the framing has said so.
    pub(super) fn end_body(&self, trailers: Head) {
        if let Side::Stream(stream) = &self.side {
            stream.end_body(Some(trailers));
        }
    }

    /// Bytes of the current request so far, head and body.
    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    /// Whether the client has sent more than its request.
    pub(super) fn has_more(&self) -> bool {
        self.io().is_some_and(|io| !io.buffer.is_empty())
    }

    /// Takes what the client has sent beyond its request, for a tunnel.
    pub(super) fn take_ahead(&self) -> BytesMut {
        self.io().map(|mut io| std::mem::take(&mut io.buffer)).unwrap_or_default()
    }

    /// Reads for a tunnel.
    pub(super) fn poll_tunnel_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match &self.side {
            Side::Connection(io) => {
                tokio_util::io::poll_read_buf(Pin::new(&mut io.borrow_mut().stream), context, buffer)
            }
            Side::Stream(stream) => stream.poll_tunnel_read(context, buffer, &self.local.settings),
        }
    }
}
