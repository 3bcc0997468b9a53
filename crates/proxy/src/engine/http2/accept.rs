//! A client's connection of HTTP/2: takes its streams, each a task of its own, and knows how long it may go on.
//!
//! Frames alone keep no connection open: one without a stream ends after the idle time, and every one at its age.

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use super::cork::Cork;
use super::piece::{Piece, Tally};
use super::{CONNECTION_WINDOW, ERROR_RESETS, FRAME, SEND_BUFFER, STREAM_WINDOW, STREAMS, TABLE};
use crate::engine::alarm::Wait;
use crate::engine::client::{Client, Stream, Wire};
use crate::engine::course::{self, Next};

/// All names and values of a head, as they are counted (RFC 9113, section 6.5.2). Heads of HTTP/1 may be larger, but these are compressed.
const HEAD_LIST: u32 = 16 << 10;
/// Streams that were reset before anybody looked at them.
const PENDING_RESETS: usize = 20;
/// How long a connection without streams has to go once it was told to.
const LEAVE_MS: u64 = 1_000;
/// With more streams than this open, each of them holds little of its answer.
const FEW: usize = 8;

/// Streams that a client may reset at once; as many as nghttp2 takes. Who cancels calls now and then is far below.
const RESETS: u64 = 1_000;
/// How fast that fills up again: one in so many milliseconds.
const RESET_MS: u64 = 30;

/// What a connection's streams share.
pub(in crate::engine) struct Share {
    open: Cell<usize>,
    resets: Resets,
    pub(in crate::engine) tally: Rc<Tally>,
}

impl Share {
    /// Whether so many streams are open that each has to hold little.
    pub(in crate::engine) fn is_crowded(&self) -> bool {
        self.open.get() > FEW
    }
}

/// Streams that the client has reset in the middle: each costs a request to the upstream, and the client two frames (CVE-2023-44487).
#[derive(Default)]
struct Resets {
    /// Those that count, at the time below.
    count: Cell<u64>,
    at_ms: Cell<u64>,
    /// Whether there were too many.
    over: Cell<bool>,
}

impl Resets {
    fn note(&self, now_ms: u64) {
        let forgotten = now_ms.saturating_sub(self.at_ms.get()) / RESET_MS;
        if forgotten > 0 {
            self.at_ms.set(now_ms);
        }
        let count = self.count.get().saturating_sub(forgotten) + 1;
        self.count.set(count);
        if count > RESETS {
            self.over.set(true);
        }
    }
}

/// Serves a connection whose preface has come, or is certain to come.
pub(in crate::engine) async fn serve(client: &Rc<Client>) {
    let share = Rc::new(Share { open: Cell::new(0), resets: Resets::default(), tally: Rc::default() });
    let cork = Cork::new(Wire::new(Rc::clone(client)), &client.local.buffers);
    let Some(connection) = begin(client, cork.clone()).await else { return };
    let mut serving = Serving {
        client,
        share: &share,
        connection,
        served: 0,
        start_ms: client.local.clock.ms(),
        leaving: false,
        given_up: false,
    };
    let orderly = poll_fn(|context| match (serving.poll(context), cork.poll_pull(context)) {
        // h2 learns of it with its next write, which may never come.
        (Poll::Pending, Poll::Ready(Err(_))) => Poll::Ready(false),
        (served, _) => served,
    })
    .await;
    drop(serving);
    // Its streams see the end of their connection, and end themselves.
    poll_fn(|_| {
        let quiet = share.open.get() == 0 || client.alarm.rang(Wait::ClientWrite);
        if quiet { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    if orderly {
        client.end().await;
    }
}

async fn begin(client: &Rc<Client>, cork: Cork<Wire>) -> Option<Connection<Cork<Wire>, Piece>> {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEAD_LIST)
        .header_table_size(TABLE)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(ERROR_RESETS))
        .enable_connect_protocol();
    let mut handshake = pin!(builder.handshake(cork.clone()));
    let begun = poll_fn(|context| match (handshake.as_mut().poll(context), cork.poll_pull(context)).0 {
        Poll::Ready(begun) => Poll::Ready(begun.ok()),
        Poll::Pending if client.alarm.rang(Wait::ClientRead) => Poll::Ready(None),
        Poll::Pending => {
            client.alarm.arm(Wait::ClientRead, client.local.clock.ms() + client.local.settings.head_ms);
            Poll::Pending
        }
    })
    .await;
    client.alarm.disarm(Wait::ClientRead);
    begun
}

/// A connection that takes streams.
struct Serving<'a, T> {
    client: &'a Rc<Client>,
    share: &'a Rc<Share>,
    connection: Connection<T, Piece>,
    served: u64,
    start_ms: u64,
    /// Whether the client was told to open no more streams.
    leaving: bool,
    /// Whether the client was told that it asks for too much.
    given_up: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Serving<'_, T> {
    /// Ready at its end: whether that was an orderly one.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.share.resets.over.get() && !std::mem::replace(&mut self.given_up, true) {
            tracing::debug!(peer = %self.client.peer, "a client of HTTP/2 resets stream after stream");
            self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        loop {
            match self.connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.client.alarm.disarm(Wait::ClientRead);
                    self.served += 1;
                    open(self.client, self.share, request, respond);
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(peer = %self.client.peer, %error, "a connection of HTTP/2 broke off");
                    return Poll::Ready(!error.is_io());
                }
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Pending if self.is_told_to_leave() => self.leave(),
                Poll::Pending => return self.wait(),
            }
        }
    }

    /// Whether this is the moment to send GOAWAY.
    fn is_told_to_leave(&mut self) -> bool {
        let (alarm, local) = (&self.client.alarm, &self.client.local);
        if self.leaving {
            return false;
        }
        alarm.arm(Wait::Long, self.start_ms + local.settings.age_ms);
        let is_idle = self.share.open.get() == 0 && alarm.rang(Wait::ClientRead);
        is_idle
            || alarm.rang(Wait::Long)
            || self.client.is_leaving()
            || self.served >= local.settings.requests
    }

    fn leave(&mut self) {
        self.leaving = true;
        self.connection.graceful_shutdown();
        self.client.alarm.disarm(Wait::ClientRead);
    }

    fn wait(&self) -> Poll<bool> {
        let (alarm, local) = (&self.client.alarm, &self.client.local);
        if alarm.rang(Wait::ClientWrite) {
            // Nobody arms it here: the worker ends.
            return Poll::Ready(false);
        }
        if self.share.open.get() > 0 {
            alarm.disarm(Wait::ClientRead);
            return Poll::Pending;
        }
        if alarm.rang(Wait::ClientRead) {
            return Poll::Ready(true);
        }
        let patience = if self.leaving { LEAVE_MS } else { local.settings.idle_ms };
        alarm.arm(Wait::ClientRead, local.clock.ms() + patience);
        Poll::Pending
    }
}

/// One open stream; the connection looks around when it is closed.
struct Open {
    parent: Rc<Client>,
    share: Rc<Share>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.share.open.set(self.share.open.get().saturating_sub(1));
        if self.share.open.get() == 0 {
            self.parent.alarm.wake();
        }
    }
}

fn open(parent: &Rc<Client>, share: &Rc<Share>, request: Request<RecvStream>, respond: SendResponse<Piece>) {
    share.open.set(share.open.get() + 1);
    let open = Open { parent: Rc::clone(parent), share: Rc::clone(share) };
    let (parts, body) = request.into_parts();
    let stream = Stream::new(respond, body, Rc::clone(share));
    let client = Rc::new(Client::of_stream(parent, stream));
    drop(tokio::task::spawn_local(run(client, parts, open)));
}

/// Serves one stream to its end. A panic on its way costs this stream alone.
async fn run(client: Rc<Client>, parts: http::request::Parts, open: Open) {
    let mut served = pin!(answer(&client, parts));
    let mut woken = false;
    let next = poll_fn(|context| {
        client.local.clock.turn();
        if !std::mem::replace(&mut woken, true) {
            client.alarm.wakes(context.waker());
        }
        // What the panic left half done is dropped with the stream; nothing else can see it.
        catch_unwind(AssertUnwindSafe(|| served.as_mut().poll(context))).unwrap_or_else(|_| {
            tracing::error!(peer = %client.peer, "a request made its stream's task panic");
            Poll::Ready(Next::Cut)
        })
    })
    .await;
    if client.stream_was_reset() {
        open.share.resets.note(client.local.clock.ms());
        if open.share.resets.over.get() {
            open.parent.alarm.wake();
        }
    }
    match next {
        Next::Cut => client.cut_stream(Reason::INTERNAL_ERROR),
        Next::Linger | Next::Leave | Next::Close | Next::Keep => client.end_stream(),
    }
    drop(open);
}

async fn answer(client: &Rc<Client>, parts: http::request::Parts) -> Next {
    let mut state = client.local.lend_state();
    let next = match client.stream_head(&parts, &mut state.exchange.request.head) {
        Ok(wants) => {
            drop(parts);
            course::run(client, &mut state, wants, false).await
        }
        Err(no_head) => course::without_head(client, &mut state, no_head).await,
    };
    client.local.give_back(state);
    next
}
