//! One try on one connection: the request goes out, the head of an answer comes in, and meanwhile the client may leave.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use usher_http1::familiar::Familiar;
use usher_http1::head::Version;
use usher_http1::request::HeadProgress;
use usher_http1::response::{ResponseHead, decode_familiar_response};
use usher_pipeline::exchange::Exchange;

use super::{Stop, Terms};
use crate::engine::alarm::Wait;
use crate::engine::client::Client;
use crate::engine::clock::millis;
use crate::engine::errors::{Failure, Trouble};
use crate::engine::far::Far;
use crate::engine::ingress::nominates_others;
use crate::engine::outbound::Outbound;
use crate::engine::state::State;
use crate::engine::upload::Cut;
use crate::engine::websocket;

/// Interim answers that are taken in front of the answer.
const MOST_INTERIMS: u32 = 8;

/// How long an upstream that takes no more of a request has to say why.
pub(super) const LAST_WORDS_MS: u64 = 1_000;

/// One try.
pub(super) struct Attempt<'a> {
    client: &'a Client,
    exchange: &'a mut Exchange,
    up: &'a mut Outbound,
    down: &'a mut Outbound,
    far: &'a mut Far,
    familiar: &'a RefCell<Familiar>,
    websocket: bool,
    /// A WebSocket over HTTP/2 was asked for.
    extended: bool,
    progress: HeadProgress,
    interims: u32,
    heard: bool,
}

/// A try that failed.
#[derive(Debug)]
pub(super) struct Miss {
    pub(super) trouble: Trouble,
    /// Whether any byte of the request may have reached the node.
    pub(super) sent: bool,
    /// Whether any byte of an answer came.
    pub(super) heard: bool,
}

impl Miss {
    /// Whether it looks like a connection that was closed while nobody used it.
    pub(super) const fn is_stale(&self) -> bool {
        matches!(self.trouble, Trouble::Broken(_) | Trouble::Closed | Trouble::Refused)
    }
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        client: &'a Client,
        state: &'a mut State,
        terms: &Terms,
        familiar: &'a RefCell<Familiar>,
    ) -> Self {
        Self {
            client,
            exchange: &mut state.exchange,
            up: &mut state.up,
            down: &mut state.down,
            far: &mut state.far,
            familiar,
            websocket: terms.websocket,
            extended: terms.extended,
            progress: HeadProgress::default(),
            interims: 0,
            heard: false,
        }
    }

    pub(super) async fn run(&mut self) -> Result<ResponseHead, Stop> {
        let outcome = poll_fn(|context| self.poll(context)).await;
        self.client.alarm.disarm(Wait::UpstreamRead);
        self.client.alarm.disarm(Wait::UpstreamWrite);
        outcome
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, Stop>> {
        if let Err(stop) = self.send(context) {
            return Poll::Ready(Err(stop));
        }
        loop {
            if !self.far.buffer.is_empty() {
                match self.decode(context) {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(trouble) => return Poll::Ready(Err(self.miss(trouble))),
                }
            }
            let Some(link) = &mut self.far.link else {
                return Poll::Ready(Err(self.miss(Trouble::Closed)));
            };
            self.client.local.buffers.make_room(&mut self.far.buffer, self.client.appetite());
            match link.socket.poll_fill(context, &mut self.far.buffer) {
                Poll::Ready(Ok(came)) if came > 0 => {
                    self.heard = true;
                    self.client.alarm.disarm(Wait::UpstreamRead);
                }
                Poll::Ready(Ok(_)) => {
                    let trouble = self.far.upload.take_broken().map_or(Trouble::Closed, Trouble::Broken);
                    return Poll::Ready(Err(self.miss(trouble)));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.miss(Trouble::Broken(error)))),
                Poll::Pending => return self.wait(context),
            }
        }
    }

    fn send(&mut self, context: &mut Context<'_>) -> Result<(), Stop> {
        match self.far.send(context, self.client, &mut self.exchange.request.body, self.up) {
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
            Poll::Ready(Err(Cut::TimedOut)) => Err(self.miss(Trouble::SendTimedOut)),
            Poll::Ready(Err(Cut::Body(error))) => {
                Err(Stop::Failure(Failure::body(error, self.client.body_status())))
            }
        }
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, Stop>> {
        // While the client still sends, the upstream owes no answer.
        if !self.far.upload.is_over() {
            return Poll::Pending;
        }
        let alarm = &self.client.alarm;
        if alarm.rang(Wait::UpstreamRead) {
            let trouble = self.far.upload.take_broken().map_or(Trouble::ReadTimedOut, Trouble::Broken);
            return Poll::Ready(Err(self.miss(trouble)));
        }
        let patience = if self.far.upload.is_done() { millis(self.far.timeouts.read) } else { LAST_WORDS_MS };
        alarm.arm(Wait::UpstreamRead, self.client.local.clock.ms() + patience);
        match self.client.poll_gone(context) {
            Poll::Ready(()) => Poll::Ready(Err(Stop::Failure(Failure::ClientGone))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The answer's head, once it is there. Interim answers in front of it are passed on.
    fn decode(&mut self, context: &mut Context<'_>) -> Result<Option<ResponseHead>, Trouble> {
        let limits = &self.client.local.settings.answers;
        loop {
            let method = self.exchange.request.method();
            let answer = &mut self.exchange.answer;
            let (buffer, mut familiar) = (&mut self.far.buffer, self.familiar.borrow_mut());
            let Some(head) =
                decode_familiar_response(buffer, answer, limits, &mut self.progress, method, &mut familiar)?
            else {
                return Ok(None);
            };
            drop(familiar);
            if head.switching && !self.websocket {
                return Err(Trouble::Switched);
            }
            if !head.interim {
                if self.extended {
                    self.check_tunnel(head)?;
                }
                return Ok(Some(head));
            }
            self.interims += 1;
            if self.interims > MOST_INTERIMS {
                return Err(Trouble::TooManyInterims(MOST_INTERIMS));
            }
            self.pass_on(context);
            if self.far.buffer.is_empty() {
                return Ok(None);
            }
        }
    }

    /// A stream that asks for a WebSocket takes every 2xx for one.
    fn check_tunnel(&self, head: ResponseHead) -> Result<(), Trouble> {
        let answer = &self.exchange.answer;
        match head.switching {
            true if !websocket::is_accepted(&self.exchange.request.head, answer) => Err(Trouble::NotAccepted),
            false if matches!(answer.status(), 200..=299) => Err(Trouble::NotSwitched),
            _ => Ok(()),
        }
    }

    /// An interim answer goes to clients that know them. `100` is ours to give, and was given.
    fn pass_on(&mut self, context: &mut Context<'_>) {
        let answer = &mut self.exchange.answer;
        if answer.status() == 100 || self.exchange.request.head.version() < Version::Http11 {
            return;
        }
        if answer.get_all("connection").any(nominates_others) {
            answer.drop_hop_by_hop();
        }
        self.client.put_interim(self.down, answer);
        // A client that can't be written to is noticed when its answer is.
        let _: Poll<io::Result<()>> = self.client.poll_send(context, self.down);
    }

    fn miss(&self, trouble: Trouble) -> Stop {
        Stop::Miss(Miss { trouble, sent: self.up.written() > 0, heard: self.heard })
    }
}
