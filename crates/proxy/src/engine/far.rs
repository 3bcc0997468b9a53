//! The upstream's side of an exchange: the connection, what was read from it, and how far request and answer have come.
//!
//! It is part of the state and filled in place: what a request needs of it is too much to be moved from hand to hand.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use usher_http1::body::{BadBody, BodyDecoder, BodyEvent};
use usher_http1::head::Head;
use usher_http1::limits::Limits;
use usher_http1::request::Framing;
use usher_http1::response::ResponseHead;
use usher_model::resource::Timeouts;
use usher_pipeline::body::{Body, BodyError};

use super::alarm::Wait;
use super::client::Client;
use super::clock::millis;
use super::http2::Call;
use super::outbound::Outbound;
use super::pool::{Idle, Link};
use super::upload::{Cut, Upload, Way};

/// The upstream's side of one exchange.
pub(super) struct Far {
    /// The connection; `None` where there is none, or none any more.
    pub(super) link: Option<Box<Link>>,
    /// The call, where the upstream is spoken to by HTTP/2; there is no connection of its own then.
    pub(super) call: Option<Box<Call>>,
    /// Where the connection goes once its answer is read.
    pub(super) idle: Option<Rc<Idle>>,
    /// What was read and not yet used. Stays with the state, and so is used again with it.
    pub(super) buffer: BytesMut,
    pub(super) decoder: BodyDecoder,
    /// What the answer's head said.
    pub(super) head: ResponseHead,
    pub(super) upload: Upload,
    pub(super) timeouts: Timeouts,
}

impl Default for Far {
    fn default() -> Self {
        Self {
            link: None,
            call: None,
            idle: None,
            buffer: BytesMut::new(),
            decoder: BodyDecoder::new(Framing::None, &Limits::default()),
            head: ResponseHead {
                framing: Framing::None,
                announced: None,
                keep_alive: false,
                interim: false,
                switching: false,
            },
            upload: Upload::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Far {
    /// Takes the answer's head, behind which its body comes.
    pub(super) fn begin_body(&mut self, head: ResponseHead, limits: &Limits) {
        self.head = head;
        self.decoder = BodyDecoder::new(head.framing, limits);
    }

    /// Sends on what is left of the request. Ready means: all of it has left, or the upstream takes no more.
    pub(super) fn send(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        body: &mut Body,
        up: &mut Outbound,
    ) -> Poll<Result<(), Cut>> {
        let mut way = match (&mut self.link, &mut self.call) {
            (Some(link), _) => Way::Socket(&mut link.socket),
            (None, Some(call)) => Way::Call(call),
            (None, None) => return Poll::Ready(Ok(())),
        };
        self.upload.poll(context, client, body, up, &mut way, self.timeouts.send)
    }

    /// What is there of the body without waiting, and the trailers behind its end.
    ///
    /// # Errors
    /// The body breaks the rules.
    pub(super) fn next(&mut self) -> Result<(BodyEvent, Option<Head>), BadBody> {
        if let Some(call) = &mut self.call {
            return Ok(call.next());
        }
        let event = self.decoder.decode(&mut self.buffer)?;
        let trailers = if matches!(event, BodyEvent::End) { self.decoder.trailers() } else { None };
        Ok((event, trailers))
    }

    /// Reads more of the body.
    pub(super) fn poll_more(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
    ) -> Poll<Result<(), BodyError>> {
        let Some(link) = &mut self.link else { return self.poll_call(context, client) };
        client.local.buffers.make_room(&mut self.buffer, client.appetite());
        match link.socket.poll_fill(context, &mut self.buffer) {
            Poll::Ready(Ok(came)) if came > 0 => {
                client.alarm.disarm(Wait::UpstreamRead);
                Poll::Ready(Ok(()))
            }
            // The end is a good one only where closing is the framing; then the decoder says so next.
            Poll::Ready(Ok(_)) => Poll::Ready(self.decoder.eof().map(drop).map_err(|_| BodyError::Closed)),
            Poll::Ready(Err(_)) => Poll::Ready(Err(BodyError::Closed)),
            Poll::Pending if client.alarm.rang(Wait::UpstreamRead) => Poll::Ready(Err(BodyError::TimedOut)),
            Poll::Pending => {
                client.alarm.arm(Wait::UpstreamRead, client.local.clock.ms() + millis(self.timeouts.read));
                Poll::Pending
            }
        }
    }

    fn poll_call(&mut self, context: &mut Context<'_>, client: &Client) -> Poll<Result<(), BodyError>> {
        let Some(call) = &mut self.call else { return Poll::Ready(Err(BodyError::Closed)) };
        match call.poll_more(context, &client.local.settings.answers) {
            Poll::Ready(read) => {
                client.alarm.disarm(Wait::UpstreamRead);
                Poll::Ready(read)
            }
            Poll::Pending if client.alarm.rang(Wait::UpstreamRead) => {
                // Whether its connection is still alive, nobody knows.
                call.seat().distrust();
                Poll::Ready(Err(BodyError::TimedOut))
            }
            Poll::Pending => {
                client.alarm.arm(Wait::UpstreamRead, client.local.clock.ms() + millis(self.timeouts.read));
                Poll::Pending
            }
        }
    }

    /// Throws away a body that the client isn't to have, as it is where a plugin made another method of `HEAD`. `false`, with the connection
    /// closed, where more of it is to come: nobody waits for that.
    pub(super) fn skip_body(&mut self) -> bool {
        if let Some(call) = &self.call {
            let done = call.is_read();
            if !done {
                self.cut();
            }
            return done;
        }
        while matches!(self.decoder.decode(&mut self.buffer), Ok(BodyEvent::Data(_))) {}
        let done = self.decoder.is_done();
        if !done {
            self.cut();
        }
        done
    }

    /// Lets go of the connection: it is kept if it can carry another request (reliability rule D11), and closed otherwise.
    pub(super) fn finish(&mut self, client: &Client) {
        if let Some(call) = self.call.take() {
            // Dropped in the middle of its request, it says that no more of that comes.
            return call.seat().leave(client.local.clock.ms());
        }
        let clean =
            self.head.keep_alive && self.upload.is_done() && self.buffer.is_empty() && self.decoder.is_done();
        if let (Some(link), Some(idle)) = (self.link.take(), self.idle.take())
            && clean
        {
            idle.put(link, client.local.clock.ms());
        }
    }

    /// Closes the connection, if there is one.
    pub(super) fn cut(&mut self) {
        self.link = None;
        self.call = None;
        self.idle = None;
        self.buffer.clear();
    }
}
