//! The upstream's side of an exchange: the connection, what was read from it, and how far request and answer have come.
//!
//! It is part of the state and filled in place: what a request needs of it is too much to be moved from hand to hand.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use usher_http1::body::{BodyDecoder, BodyEvent};
use usher_http1::limits::Limits;
use usher_http1::request::Framing;
use usher_http1::response::ResponseHead;
use usher_model::resource::Timeouts;
use usher_pipeline::body::{Body, BodyError};

use super::alarm::Wait;
use super::buffers::LARGE;
use super::client::Client;
use super::clock::millis;
use super::outbound::Outbound;
use super::pool::{Idle, Link};
use super::upload::{Cut, Upload};

/// The upstream's side of one exchange.
pub(super) struct Far {
    /// The connection; `None` where there is none, or none any more.
    pub(super) link: Option<Box<Link>>,
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
        let Some(link) = &mut self.link else { return Poll::Ready(Ok(())) };
        self.upload.poll(context, client, body, up, &mut link.socket, self.timeouts.send)
    }

    /// Reads more of the body.
    pub(super) fn poll_more(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
    ) -> Poll<Result<(), BodyError>> {
        let Some(link) = &mut self.link else { return Poll::Ready(Err(BodyError::Closed)) };
        client.local.buffers.make_room(&mut self.buffer, LARGE);
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

    /// Throws away a body that the client isn't to have, as it is where a plugin made another method of `HEAD`. `false`, with the connection
    /// closed, where more of it is to come: nobody waits for that.
    pub(super) fn skip_body(&mut self) -> bool {
        while matches!(self.decoder.decode(&mut self.buffer), Ok(BodyEvent::Data(_))) {}
        let done = self.decoder.is_done();
        if !done {
            self.cut();
        }
        done
    }

    /// Lets go of the connection: it is kept if it can carry another request (reliability rule D11), and closed otherwise.
    pub(super) fn finish(&mut self, client: &Client) {
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
        self.idle = None;
        self.buffer.clear();
    }
}
