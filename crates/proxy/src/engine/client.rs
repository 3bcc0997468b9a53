//! A client's connection: reads heads and bodies, writes answers, and knows how long each may take.
//!
//! Its parts are behind one `RefCell`, because a body that a plugin reads and the engine's own loop read from the same socket. Nothing holds a borrow
//! while it waits.

mod body;
mod ending;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::net::TcpStream;
use usher_http1::head::Head;
use usher_http1::reject::Reject;
use usher_http1::request::{HeadProgress, RequestHead, decode_request};

use super::alarm::{Alarm, Wait};
use super::buffers::{LEAST, SMALL};
use super::ingress::Told;
use super::local::Local;
use super::outbound::Outbound;
use body::Inbound;
pub(super) use body::Unread;

/// Bytes of the next requests that are read while this one runs; the rest waits in the kernel.
const AHEAD: usize = 8 << 10;

/// How long an answer may take before it is looked at whether anybody still waits for it, and a request before the buffer for it is given back.
const LONG_MS: u64 = 200;

/// A connection that has never spoken may still be sending its first request when the worker stops.
const FIRST_WORD_MS: u64 = 500;

/// A client's connection.
pub(super) struct Client {
    pub(super) local: Rc<Local>,
    pub(super) alarm: Rc<Alarm>,
    /// The socket's other end.
    pub(super) peer: SocketAddr,
    /// Its address as text, written once.
    pub(super) peer_text: Box<str>,
    /// The port that it came to.
    pub(super) server_port: u16,
    /// What upstreams are told of where its requests come from.
    pub(super) told: RefCell<Told>,
    /// Whether its word on where requests come from is believed.
    pub(super) trusted: bool,
    io: RefCell<Io>,
    /// Bytes of the current request so far.
    received: Cell<u64>,
    /// Whether it knows that the worker is stopping.
    hurried: Cell<bool>,
    /// Whether any byte of an answer to the current request has left.
    answered: Cell<bool>,
}

struct Io {
    stream: TcpStream,
    buffer: BytesMut,
    progress: HeadProgress,
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
    pub(super) fn new(local: Rc<Local>, stream: TcpStream, peer: SocketAddr, server_port: u16) -> Self {
        let alarm = local.alarms.add();
        let trusted = local.ingress.trusts(peer.ip());
        Self {
            alarm,
            peer,
            peer_text: peer.ip().to_canonical().to_string().into(),
            server_port,
            told: RefCell::default(),
            trusted,
            io: RefCell::new(Io {
                stream,
                buffer: BytesMut::new(),
                progress: HeadProgress::default(),
                body: Inbound::default(),
            }),
            received: Cell::new(0),
            hurried: Cell::new(false),
            answered: Cell::new(false),
            local,
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
        let io = &mut *self.io.borrow_mut();
        if !io.buffer.is_empty() {
            return Poll::Ready(true);
        }
        if self.alarm.rang(Wait::Long) {
            self.local.buffers.give_back(std::mem::take(&mut io.buffer));
            if io.stream.poll_read_ready(context).is_pending() {
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
        if self.local.is_draining() {
            if served > 0 {
                return Poll::Ready(false);
            }
            if !self.hurried.replace(true) {
                self.alarm.disarm(Wait::ClientRead);
            }
            self.alarm.arm(Wait::ClientRead, self.local.clock.ms() + FIRST_WORD_MS);
        } else {
            self.alarm.arm(Wait::ClientRead, self.local.clock.ms() + self.local.settings.idle_ms);
        }
        Poll::Pending
    }

    /// Reads one head.
    ///
    /// # Errors
    /// [`NoHead`].
    pub(super) async fn head(&self, head: &mut Head) -> Result<RequestHead, NoHead> {
        self.answered.set(false);
        let decoded = std::future::poll_fn(|context| self.poll_head(context, head)).await;
        self.alarm.disarm(Wait::ClientRead);
        decoded
    }

    fn poll_head(&self, context: &mut Context<'_>, head: &mut Head) -> Poll<Result<RequestHead, NoHead>> {
        let io = &mut *self.io.borrow_mut();
        let settings = &self.local.settings;
        loop {
            if !io.buffer.is_empty() {
                let before = io.buffer.len();
                match decode_request(&mut io.buffer, head, &settings.head, &mut io.progress) {
                    Ok(Some(decoded)) => {
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
        if !self.alarm.rang(Wait::Long) {
            self.alarm.arm(Wait::Long, self.local.clock.ms() + LONG_MS);
            return Poll::Pending;
        }
        let io = &mut *self.io.borrow_mut();
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
        let sent = down.poll_send(context, &mut self.io.borrow_mut().stream);
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

    /// Bytes of the current request so far, head and body.
    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    /// Whether the client has sent more than its request.
    pub(super) fn has_more(&self) -> bool {
        !self.io.borrow().buffer.is_empty()
    }

    /// Takes what the client has sent beyond its request, for a tunnel.
    pub(super) fn take_ahead(&self) -> BytesMut {
        std::mem::take(&mut self.io.borrow_mut().buffer)
    }

    /// Reads for a tunnel.
    pub(super) fn poll_tunnel_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        tokio_util::io::poll_read_buf(Pin::new(&mut self.io.borrow_mut().stream), context, buffer)
    }
}
