//! What a client says first, read ahead for a plugin that goes by it; the upstream is sent it as it came.

use std::borrow::Cow;
use std::future::poll_fn;
use std::task::Poll;

use bytes::BytesMut;
use usher_pipeline::stream::LONGEST_FIRST;

use crate::engine::alarm::{Alarm, Wait};
use crate::engine::buffers::{LARGE, SMALL};
use crate::engine::local::Local;
use crate::engine::socket::Socket;

/// How long all of it may take: nginx's `preread_timeout`.
const PATIENCE_MS: u64 = 30_000;

/// A client's side of a connection of which nothing was passed on.
pub(super) struct Said<'a> {
    pub(super) alarm: &'a Alarm,
    pub(super) socket: &'a mut Socket,
}

impl Said<'_> {
    /// Adds what comes next to what was read.
    ///
    /// # Errors
    /// Why nothing more comes or may come, for the log.
    pub(super) async fn read_on(
        &mut self,
        local: &Local,
        first: &mut BytesMut,
    ) -> Result<(), Cow<'static, str>> {
        if first.len() >= LONGEST_FIRST {
            let reason = format!(
                "it isn't settled by {} bytes, more than {LONGEST_FIRST} are not read ahead",
                first.len()
            );
            return Err(reason.into());
        }
        local.buffers.make_room(first, if first.is_empty() { SMALL } else { LARGE });
        // One deadline for all of it, so that a byte now and then doesn't hold the place.
        if first.is_empty() {
            self.alarm.disarm_all();
        }
        self.alarm.arm(Wait::ClientRead, local.clock.ms() + PATIENCE_MS);
        let (alarm, socket) = (self.alarm, &mut *self.socket);
        poll_fn(|context| {
            alarm.wakes(context.waker());
            match socket.poll_fill(context, first) {
                Poll::Ready(Ok(0)) => {
                    Poll::Ready(Err("the client ended it before it had said enough".into()))
                }
                Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(format!("it broke: {error}").into())),
                Poll::Pending if alarm.rang(Wait::ClientRead) => {
                    Poll::Ready(Err(
                        format!("the client hasn't said enough within {} s", PATIENCE_MS / 1000).into()
                    ))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}
