//! How a client's connection ends, so that the client can still read its answer, or see that it was cut.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite as _;
use usher_pipeline::body::Body;

use super::body::LITTLE;
use super::{Client, Side};
use crate::engine::alarm::Wait;

/// How long the rest of a small body is waited for, and an end that nothing is unread of.
const BRIEF_MS: u64 = 1_000;
/// How long a client may say nothing while what it still sends is thrown away, and how long all of that may take; nginx's `lingering_timeout` and
/// `lingering_time`.
const QUIET_MS: u64 = 5_000;
const LINGER_MS: u64 = 30_000;
/// How much is thrown away before the worker's other connections have their turn.
const AT_ONCE: usize = 256 << 10;

impl Client {
    /// Reads the rest of a request's body and throws it away. `false` when that isn't worth the while.
    pub(in crate::engine) async fn skip_body(self: &Rc<Self>, body: &mut Body) -> bool {
        let Body::Stream(stream) = body else {
            // Whoever replaced the body left the client's own unread.
            return self.skip_rest().await;
        };
        let until = self.local.clock.ms() + BRIEF_MS;
        let mut left = LITTLE;
        let done = loop {
            if self.local.clock.ms() > until {
                break false;
            }
            self.alarm.arm(Wait::ClientRead, until);
            match std::future::poll_fn(|context| stream.poll_read(context)).await {
                Some(Ok(piece)) => match left.checked_sub(piece.len() as u64) {
                    Some(rest) => left = rest,
                    None => break false,
                },
                Some(Err(_)) => break false,
                None => break self.io().is_none_or(|io| io.body.is_done()),
            }
        };
        self.alarm.disarm(Wait::ClientRead);
        done
    }

    async fn skip_rest(self: &Rc<Self>) -> bool {
        if self.io().is_none_or(|io| io.body.is_done()) {
            return true;
        }
        let mut rest = self.stream();
        Box::pin(self.skip_body(&mut rest)).await
    }

    /// Ends a connection whose client may still be sending: says that nothing more comes, then throws away what does, for a while. Without
    /// this the kernel would answer unread bytes with a reset, and the client might never see its answer. It counts among the connections as
    /// before, and a stopping worker waits for less.
    pub(in crate::engine) async fn linger(&self) {
        self.drop_rest(QUIET_MS, LINGER_MS).await;
    }

    async fn drop_rest(&self, quiet_ms: u64, most_ms: u64) {
        self.alarm.disarm_all();
        let until = self.local.clock.ms() + most_ms;
        let mut shut = false;
        std::future::poll_fn(|context| {
            let now = self.local.clock.ms();
            let quiet_ms = if self.local.is_draining() { quiet_ms.min(BRIEF_MS) } else { quiet_ms };
            let mut left = AT_ONCE;
            let Some(mut io) = self.io() else { return Poll::Ready(()) };
            let io = &mut *io;
            if !shut {
                match Pin::new(&mut io.stream).poll_shutdown(context) {
                    Poll::Ready(Ok(())) => shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            loop {
                io.buffer.clear();
                // What keeps coming is much.
                self.local.buffers.make_room(&mut io.buffer, if left < AT_ONCE { AT_ONCE } else { 1 });
                match tokio_util::io::poll_read_buf(Pin::new(&mut io.stream), context, &mut io.buffer) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(_)) if now >= until => return Poll::Ready(()),
                    Poll::Ready(Ok(came)) => {
                        self.alarm.disarm(Wait::ClientRead);
                        left = left.saturating_sub(came);
                    }
                    Poll::Pending if self.alarm.rang(Wait::ClientRead) => return Poll::Ready(()),
                    Poll::Pending => {
                        self.alarm.arm(Wait::ClientRead, until.min(now + quiet_ms));
                        return Poll::Pending;
                    }
                }
                if left == 0 {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        })
        .await;
        self.alarm.disarm_all();
    }

    /// Ends a connection that nothing is owed to: says so, and waits for a moment that the other side does, too.
    pub(in crate::engine) async fn end(&self) {
        self.drop_rest(BRIEF_MS, BRIEF_MS).await;
    }

    /// Ends a connection that nothing is unread of. Inside of TLS an end has to be said: a client couldn't tell it from a cut otherwise.
    pub(in crate::engine) async fn close(&self) {
        if self.secured.is_some() {
            self.end().await;
        }
    }

    /// Makes the end a reset, for an answer whose cut couldn't be told from its end otherwise.
    pub(in crate::engine) fn reset(&self) {
        if let Some(io) = self.io() {
            io.stream.cut();
        }
    }

    /// The last word of a connection whose task has failed. Nothing is written behind an answer that has begun.
    pub(in crate::engine) fn apologize(&self, answer: &[u8]) {
        if !self.answered.get()
            && let Side::Connection(io) = &self.side
            && let Ok(mut io) = io.try_borrow_mut()
        {
            io.stream.write_now(answer);
        }
    }

    /// Writes for a tunnel.
    pub(in crate::engine) fn poll_tunnel_write(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match &self.side {
            Side::Connection(io) => Pin::new(&mut io.borrow_mut().stream).poll_write(context, bytes),
            Side::Stream(stream) => stream.poll_tunnel_write(context, bytes),
        }
    }

    /// Sees what was written for a tunnel to the kernel.
    pub(in crate::engine) fn poll_tunnel_flush(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        match &self.side {
            Side::Connection(io) => Pin::new(&mut io.borrow_mut().stream).poll_flush(context),
            // What a stream has is handed over already.
            Side::Stream(_) => Poll::Ready(Ok(())),
        }
    }

    /// Says to the client of a tunnel that nothing more comes.
    pub(in crate::engine) fn poll_tunnel_end(&self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &self.side {
            Side::Connection(io) => Pin::new(&mut io.borrow_mut().stream).poll_shutdown(context),
            Side::Stream(stream) => stream.poll_tunnel_end(context),
        }
    }
}
