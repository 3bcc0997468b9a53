//! One try of a node that is spoken to by HTTP/2: the call goes out on a shared connection, the head of its answer comes in, and meanwhile the client
//! may leave.

use std::future::poll_fn;
use std::task::{Context, Poll};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TE};
use usher_http1::request::Framing;
use usher_http1::response::ResponseHead;
use usher_pipeline::exchange::Exchange;

use super::attempt::{LAST_WORDS_MS, Miss};
use super::{Stop, Terms, connect_within, followed_name, target_of};
use crate::engine::alarm::Wait;
use crate::engine::client::Client;
use crate::engine::clock::millis;
use crate::engine::connect::{NoLink, connect};
use crate::engine::course::Course;
use crate::engine::errors::{Failure, Trouble};
use crate::engine::far::Far;
use crate::engine::http2::{self, Call, Lapse, Line, Seat, Trunk};
use crate::engine::nodes::Endpoint;
use crate::engine::outbound::Outbound;
use crate::engine::state::State;
use crate::engine::upload::Cut;

/// One node: a connection that has room, and a new one where that turns out to be dead.
pub(super) async fn try_node(
    course: &mut Course<'_>,
    endpoint: &Endpoint,
    trunk: &Trunk,
    terms: &Terms,
    others: bool,
) -> Result<(), Stop> {
    let client = course.client;
    let mut fresh = false;
    loop {
        let (seat, is_new) = Box::pin(seat(course, endpoint, trunk, terms, others, fresh)).await?;
        let state = &mut *course.state;
        state.exchange.upstream.address = Some(seat.line().address);
        state.exchange.times.upstream_connected = Some(client.local.clock.now());
        state.far.buffer.clear();
        state.up.clear();
        let outcome = match open(state, seat, endpoint) {
            Ok(()) => Try::new(client, state).run().await,
            Err(stop) => Err(stop),
        };
        match outcome {
            Ok(head) => {
                state.exchange.upstream.statuses.push(state.exchange.answer.status());
                state.exchange.times.upstream_headed = Some(client.local.clock.now());
                state.far.head = head;
                return Ok(());
            }
            Err(stop) => {
                state.far.cut();
                match stop {
                    Stop::Miss(miss)
                        if !is_new && miss.is_stale() && terms.may_repeat(&miss, &state.far.upload) =>
                    {
                        fresh = true;
                    }
                    stop => return Err(stop),
                }
            }
        }
    }
}

/// A place on a connection to the node.
async fn seat(
    course: &mut Course<'_>,
    endpoint: &Endpoint,
    trunk: &Trunk,
    terms: &Terms,
    others: bool,
    fresh: bool,
) -> Result<(Seat, bool), Stop> {
    let local = &course.client.local;
    let followed = followed_name(course, endpoint);
    let now = local.clock.now();
    let suits = |line: &Line| line.name == followed && endpoint.place.is_at(line.address, now);
    let dial = async || {
        let within = connect_within(terms, others);
        let link = connect(local, endpoint, followed.clone(), within).await?;
        let address = link.address;
        if !link.socket.may_speak_http2() {
            let reason = "it chose another protocol than h2 (ALPN)";
            return Err(NoLink::Tls(address, std::sync::Arc::new(std::io::Error::other(reason))));
        }
        let line = tokio::time::timeout(within, Line::begin(link, &local.buffers)).await;
        local.clock.turn();
        let line = line.map_err(|_| NoLink::TimedOut(within, Some(address)))?;
        line.map_err(|error| NoLink::Silent(address, std::sync::Arc::new(error)))
    };
    let seat = trunk.seat(fresh, suits, dial).await;
    seat.map_err(|error| {
        course.state.exchange.upstream.address = error.address();
        Stop::Miss(Miss { trouble: Trouble::NoLink(error), sent: false, heard: false })
    })
}

/// Sends the request's head.
fn open(state: &mut State, seat: Seat, endpoint: &Endpoint) -> Result<(), Stop> {
    let State { exchange, far, target, .. } = state;
    let framing = far.upload.begin_call(&exchange.request.body);
    let request = &exchange.request;
    let target = target_of(request, target).unwrap_or(request.head.target());
    let authority = request.head.get_str("host").unwrap_or(&endpoint.authority);
    let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
    let made = http2::request_fields(&request.head, target, authority, scheme);
    let mut made = made.map_err(|error| {
        tracing::debug!(%error, "a request can't be sent by HTTP/2");
        Stop::Failure(Failure::Body(usher_pipeline::body::BodyError::Malformed("no request for HTTP/2"), 400))
    })?;
    let fields = made.headers_mut();
    fields.insert(TE, HeaderValue::from_static("trailers"));
    if !fields.get(CONTENT_TYPE).is_some_and(|kind| http2::is_grpc_type(kind.as_bytes())) {
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    }
    if let Framing::Length(length) = framing {
        fields.insert(CONTENT_LENGTH, length.into());
    }
    let call = Call::open(seat, made, framing == Framing::None);
    let call = call.map_err(|lapse| Stop::Miss(Miss { trouble: lapse.into(), sent: false, heard: false }))?;
    far.call = Some(Box::new(call));
    Ok(())
}

/// One try.
struct Try<'a> {
    client: &'a Client,
    exchange: &'a mut Exchange,
    up: &'a mut Outbound,
    far: &'a mut Far,
}

impl<'a> Try<'a> {
    fn new(client: &'a Client, state: &'a mut State) -> Self {
        let State { exchange, up, far, .. } = state;
        Self { client, exchange, up, far }
    }

    async fn run(&mut self) -> Result<ResponseHead, Stop> {
        let outcome = poll_fn(|context| self.poll(context)).await;
        self.client.alarm.disarm(Wait::UpstreamRead);
        self.client.alarm.disarm(Wait::UpstreamWrite);
        outcome
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, Stop>> {
        match self.far.send(context, self.client, &mut self.exchange.request.body, self.up) {
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(Cut::TimedOut)) => return Poll::Ready(Err(self.late(Trouble::SendTimedOut))),
            Poll::Ready(Err(Cut::Body(error))) => {
                return Poll::Ready(Err(Stop::Failure(Failure::body(error, self.client.body_status()))));
            }
        }
        let Some(call) = &mut self.far.call else {
            return Poll::Ready(Err(miss(Trouble::Closed)));
        };
        let method = self.exchange.request.method();
        let limits = &self.client.local.settings.answers;
        match call.poll_head(context, &mut self.exchange.answer, limits, method) {
            Poll::Ready(Ok(head)) => Poll::Ready(Ok(head)),
            Poll::Ready(Err(lapse)) => Poll::Ready(Err(miss(lapse.into()))),
            Poll::Pending => self.wait(context),
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
            return Poll::Ready(Err(self.late(trouble)));
        }
        let patience = if self.far.upload.is_done() { millis(self.far.timeouts.read) } else { LAST_WORDS_MS };
        alarm.arm(Wait::UpstreamRead, self.client.local.clock.ms() + patience);
        match self.client.poll_gone(context) {
            Poll::Ready(()) => Poll::Ready(Err(Stop::Failure(Failure::ClientGone))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Nothing came in time: whether the connection is still alive, nobody knows, so that it carries no further calls.
    fn late(&self, trouble: Trouble) -> Stop {
        if let Some(call) = &self.far.call {
            call.seat().distrust();
        }
        miss(trouble)
    }
}

fn miss(trouble: Trouble) -> Stop {
    let refused = matches!(trouble, Trouble::Refused);
    Stop::Miss(Miss { trouble, sent: !refused, heard: false })
}

impl From<Lapse> for Trouble {
    fn from(lapse: Lapse) -> Self {
        match lapse {
            Lapse::Refused => Self::Refused,
            Lapse::Reset(reason) => Self::Reset(reason),
            Lapse::Broken(error) => Self::Broken(error),
            Lapse::Malformed(bad) => Self::Malformed(bad),
        }
    }
}
