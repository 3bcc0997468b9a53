//! A connection of HTTP/2 to an upstream's node, which carries many calls at once.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use h2::Ping;
use h2::client::{Builder, SendRequest};
use tokio::task::AbortHandle;

use super::cork::Cork;
use super::piece::{Piece, Tally};
use super::{CONNECTION_WINDOW, ERROR_RESETS, FRAME, SEND_BUFFER, STREAM_WINDOW, STREAMS, TABLE, broken};
use crate::engine::buffers::Buffers;
use crate::engine::pool::Link;

/// All names and values of an answer's head: as for HTTP/1, whose answers' heads may be that long.
const HEAD_LIST: u32 = 64 << 10;

/// One connection.
pub(in crate::engine) struct Line {
    sender: RefCell<SendRequest<Piece>>,
    pub(super) tally: Rc<Tally>,
    /// Where it goes.
    pub(in crate::engine) address: SocketAddr,
    /// The name it was verified for, where that isn't the node's own.
    pub(in crate::engine) name: Option<Rc<str>>,
    open: Cell<usize>,
    served: Cell<u64>,
    idle_since_ms: Cell<u64>,
    /// No more calls: it has ended, is ending, or isn't trusted any more.
    retired: Rc<Cell<bool>>,
    driver: AbortHandle,
}

impl Line {
    /// Begins to speak on a connection, and waits for the other side's first words: how many calls it takes at once stands there, and one that
    /// speaks another protocol is found out before a call is lost on it.
    ///
    /// # Errors
    /// It broke.
    pub(in crate::engine) async fn begin(link: Box<Link>, buffers: &Rc<Buffers>) -> io::Result<Rc<Self>> {
        let Link { socket, address, name, .. } = *link;
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .max_header_list_size(HEAD_LIST)
            .header_table_size(TABLE)
            .max_send_buffer_size(SEND_BUFFER)
            .max_local_error_reset_streams(Some(ERROR_RESETS));
        let cork = Cork::new(socket, buffers);
        let (sender, mut connection) = builder.handshake::<_, Piece>(cork.clone()).await.map_err(broken)?;
        let ping = connection.ping_pong();
        let retired = Rc::new(Cell::new(false));
        let ended = Rc::clone(&retired);
        // Owned by the line, which stops it when it is dropped.
        let driver = tokio::task::spawn_local(async move {
            let ended_by = poll_fn(|context| {
                match (Pin::new(&mut connection).poll(context).map_err(broken), cork.poll_pull(context)) {
                    // h2 learns of it with its next write, which may never come.
                    (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
                    (ended, _) => ended,
                }
            });
            if let Err(error) = ended_by.await {
                tracing::debug!(%address, %error, "a connection of HTTP/2 to an upstream broke off");
            }
            ended.set(true);
        });
        let line = Rc::new(Self {
            sender: RefCell::new(sender),
            tally: Rc::default(),
            address,
            name,
            open: Cell::new(0),
            served: Cell::new(0),
            idle_since_ms: Cell::new(0),
            retired,
            driver: driver.abort_handle(),
        });
        if let Some(mut ping) = ping {
            // Answered behind the settings, which every side sends first (RFC 9113, section 3.4).
            ping.ping(Ping::opaque()).await.map_err(broken)?;
        }
        Ok(line)
    }

    /// Whether it takes one more call at once.
    pub(super) fn has_room(&self) -> bool {
        !self.is_retired() && self.open.get() < self.most()
    }

    /// Calls that it may carry at once, by its other side's word and ours.
    fn most(&self) -> usize {
        self.sender.borrow().current_max_send_streams().min(STREAMS as usize)
    }

    /// Calls that it carries.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// It takes no more calls.
    pub(super) fn retire(&self) {
        self.retired.set(true);
    }

    /// Whether nobody has used it for so long.
    pub(super) fn is_idle_since(&self, ms: u64) -> bool {
        self.open.get() == 0 && self.idle_since_ms.get() <= ms
    }

    /// A place for one call. The last one of `most` retires it.
    pub(super) fn lend(self: &Rc<Self>, most: u64) -> Seat {
        self.open.set(self.open.get() + 1);
        self.served.set(self.served.get() + 1);
        if self.served.get() >= most {
            self.retire();
        }
        Seat { line: Rc::clone(self) }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// One call's place on a line.
pub(in crate::engine) struct Seat {
    line: Rc<Line>,
}

impl Seat {
    pub(in crate::engine) fn line(&self) -> &Line {
        &self.line
    }

    pub(super) fn sender(&self) -> SendRequest<Piece> {
        self.line.sender.borrow().clone()
    }

    pub(super) fn tally(&self) -> Rc<Tally> {
        Rc::clone(&self.line.tally)
    }

    /// Its line isn't trusted any more: it was silent for too long.
    pub(in crate::engine) fn distrust(&self) {
        self.line.retire();
    }

    /// The call is over.
    pub(in crate::engine) fn leave(&self, now_ms: u64) {
        self.line.idle_since_ms.set(now_ms);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.line.open.set(self.line.open.get().saturating_sub(1));
    }
}
