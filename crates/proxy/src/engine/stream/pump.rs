//! Bytes both ways between two connections: each direction has one buffer, and reads on only when what it read has left.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite as _;

use crate::engine::alarm::{Alarm, Wait};
use crate::engine::buffers::{LARGE, SMALL};
use crate::engine::clock::millis;
use crate::engine::local::Local;
use crate::engine::socket::Socket;

/// How long an ending may take in all.
const LINGER_MS: u64 = 1_000;

/// The two connections.
pub(super) struct Ends<'a> {
    pub(super) client: &'a mut Socket,
    pub(super) upstream: &'a mut Socket,
}

/// What goes to the upstream before anything that is still to come.
pub(super) struct Front {
    /// What tells it of the client.
    pub(super) greeting: Option<String>,
    /// What was read ahead of the client.
    pub(super) first: BytesMut,
}

/// Bytes that were passed on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    pub(super) up: u64,
    pub(super) down: u64,
    /// Whether one side broke: that must not look like an end to the other.
    pub(super) cut: bool,
}

/// One direction.
#[derive(Default)]
struct Way {
    buffer: BytesMut,
    /// Whether the last read filled a small buffer, so that the next one is worth a large one.
    busy: bool,
    ended: bool,
    told: bool,
    unflushed: bool,
    moved: u64,
}

/// Moves bytes until both sides have ended, one breaks, or nothing has moved for so long. One side may end while the other goes on.
pub(super) async fn pump(
    local: &Local,
    alarm: &Alarm,
    ends: &mut Ends<'_>,
    patience: Duration,
    front: Front,
) -> Moved {
    let (mut up, mut down) = (Way::default(), Way::default());
    let greeting = front.greeting.unwrap_or_default();
    if greeting.is_empty() {
        up.buffer = front.first;
    } else {
        up.buffer.extend_from_slice(greeting.as_bytes());
        up.buffer.extend_from_slice(&front.first);
    }
    alarm.disarm_all();
    let cut = poll_fn(|context| {
        alarm.wakes(context.waker());
        local.clock.turn();
        let before = up.moved + down.moved;
        let ended = poll_both(local, context, ends, &mut up, &mut down);
        if up.moved + down.moved != before {
            alarm.disarm(Wait::UpstreamRead);
        }
        match ended {
            Err(_) => Poll::Ready(true),
            Ok(true) => Poll::Ready(false),
            Ok(false) if alarm.rang(Wait::UpstreamRead) => Poll::Ready(false),
            Ok(false) => {
                alarm.arm(Wait::UpstreamRead, local.clock.ms() + millis(patience));
                Poll::Pending
            }
        }
    })
    .await;
    alarm.disarm_all();
    let moved = Moved { up: up.moved.saturating_sub(greeting.len() as u64), down: down.moved, cut };
    for way in [up, down] {
        local.buffers.give_back(way.buffer);
    }
    moved
}

/// Says that nothing more comes, and throws away what still does, for a while: unread bytes would make the end a reset, and what was sent last might
/// never be seen.
pub(super) async fn close(local: &Local, alarm: &Alarm, socket: &mut Socket) {
    alarm.disarm_all();
    alarm.arm(Wait::ClientRead, local.clock.ms() + LINGER_MS);
    let mut shut = false;
    let mut left = LARGE * 4;
    let mut waste = local.buffers.small();
    poll_fn(|context| {
        alarm.wakes(context.waker());
        if !shut {
            match Pin::new(&mut *socket).poll_shutdown(context) {
                Poll::Ready(Ok(())) => shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        loop {
            waste.clear();
            match socket.poll_fill(context, &mut waste) {
                Poll::Ready(Ok(came)) if came > 0 && came < left => left -= came,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if alarm.rang(Wait::ClientRead) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    alarm.disarm_all();
    local.buffers.give_back(waste);
}

/// Moves what can be moved; `true` once both directions are at their end.
fn poll_both(
    local: &Local,
    context: &mut Context<'_>,
    ends: &mut Ends<'_>,
    up: &mut Way,
    down: &mut Way,
) -> io::Result<bool> {
    // A bound, so that one busy connection leaves room for the others of its worker.
    for _ in 0..8 {
        let before = up.moved + down.moved;
        let _ = up.poll(local, context, ends.client, ends.upstream)?;
        let _ = down.poll(local, context, ends.upstream, ends.client)?;
        if up.told && down.told {
            return Ok(true);
        }
        if up.moved + down.moved == before {
            return Ok(false);
        }
    }
    context.waker().wake_by_ref();
    Ok(false)
}

impl Way {
    fn poll(
        &mut self,
        local: &Local,
        context: &mut Context<'_>,
        from: &mut Socket,
        to: &mut Socket,
    ) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() && !self.ended {
            let most = if self.busy { LARGE } else { SMALL };
            local.buffers.make_room(&mut self.buffer, most);
            match from.poll_fill(context, &mut self.buffer) {
                Poll::Ready(came) => {
                    let came = came?;
                    self.ended = came == 0;
                    self.busy = came >= SMALL;
                }
                Poll::Pending if self.unflushed => {}
                Poll::Pending => {
                    // An idle connection holds no buffer.
                    local.buffers.give_back(std::mem::take(&mut self.buffer));
                    return Poll::Pending;
                }
            }
        }
        while !self.buffer.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(context, &self.buffer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.buffer.advance(written);
            self.moved += written as u64;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut *to).poll_flush(context))?;
            self.unflushed = false;
        }
        if self.ended && !self.told {
            ready!(Pin::new(to).poll_shutdown(context))?;
            self.told = true;
        }
        Poll::Ready(Ok(()))
    }
}
