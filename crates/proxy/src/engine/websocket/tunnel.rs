//! The tunnel behind a `101`: each direction has one buffer, and reads on only when what it read has left.
//!
//! A tunnel has no end of its own, so a worker that stops says good-bye to its client: a close frame, between two of the upstream's frames. So it is
//! where what let the tunnel in was taken back, but then nothing is waited for.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite as _;

use crate::engine::alarm::Wait;
use crate::engine::buffers::SMALL;
use crate::engine::client::Client;
use crate::engine::clock::millis;
use crate::engine::course::{Course, Next};
use crate::engine::socket::Socket;
use crate::engine::state::State;

use super::frames::Frames;
use super::permit::Permit;

/// A close frame that says that this end is going away (RFC 6455, section 7.4.1: 1001).
const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// One that says that the rules don't allow this (1008).
const NOT_ALLOWED: [u8; 4] = [0x88, 2, 0x03, 0xf0];

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both sides have ended, or one broke, or nothing moved for too long.
    Over,
    /// The worker stops, or the tunnel is no longer allowed; the client has been told.
    Told,
}

/// One direction.
struct Way {
    buffer: BytesMut,
    /// Its reader has said that nothing more comes.
    ended: bool,
    /// Its writer was told so.
    told: bool,
    moved: u64,
    unflushed: bool,
}

impl Way {
    const fn new(buffer: BytesMut) -> Self {
        Self { buffer, ended: false, told: false, moved: 0, unflushed: false }
    }
}

/// Moves bytes both ways until both sides have ended, one breaks, nothing has moved for the upstream's read timeout, the worker stops, or what let
/// the tunnel in was taken back.
pub(in crate::engine) async fn tunnel(course: &mut Course<'_>) -> Next {
    let client = course.client;
    let mut permit = Permit::of(course);
    let State { far, exchange, body_bytes, .. } = &mut *course.state;
    let Some(link) = &mut far.link else { return Next::Close };
    let patience = millis(far.timeouts.read.min(far.timeouts.send));
    let mut up = Way::new(client.take_ahead());
    let mut down = Way::new(std::mem::take(&mut far.buffer));
    client.alarm.disarm_all();
    let mut frames = Frames::default();
    let end = poll_fn(|context| {
        let before = up.moved + down.moved;
        let ended = poll_both(context, client, &mut link.socket, &mut up, &mut down, &mut frames);
        if up.moved + down.moved != before {
            client.alarm.disarm(Wait::UpstreamRead);
        }
        match ended {
            // Who broke it has no use for a word about it, and the other side sees the end.
            Err(_) | Ok(true) => Poll::Ready(End::Over),
            Ok(false) if client.alarm.rang(Wait::UpstreamRead) => Poll::Ready(End::Over),
            Ok(false) if permit.is_withdrawn(client, exchange) => {
                tracing::debug!(peer = %client.peer, "closed a tunnel whose caller or route is gone");
                let between = down.buffer.is_empty() && frames.is_between();
                Poll::Ready(if between { say(context, client, &NOT_ALLOWED) } else { End::Over })
            }
            Ok(false) if client.is_leaving() && down.buffer.is_empty() && frames.is_between() => {
                Poll::Ready(say(context, client, &GOING_AWAY))
            }
            Ok(false) => {
                client.alarm.arm(Wait::UpstreamRead, client.local.clock.ms() + patience);
                Poll::Pending
            }
        }
    })
    .await;
    client.alarm.disarm_all();
    exchange.times.upstream_end = Some(client.local.clock.now());
    *body_bytes += down.moved;
    for way in [up, down] {
        client.local.buffers.give_back(way.buffer);
    }
    if end == End::Told { Next::Linger } else { Next::Close }
}

/// Says a last word to the client, if it is taken at once.
fn say(context: &mut Context<'_>, client: &Client, word: &[u8; 4]) -> End {
    let said = client.poll_tunnel_write(context, word);
    // What isn't taken at once leaves while the connection lingers.
    let _ = client.poll_tunnel_flush(context);
    if matches!(said, Poll::Ready(Ok(4))) { End::Told } else { End::Over }
}

/// Moves what can be moved; `true` once both directions are at their end.
fn poll_both(
    context: &mut Context<'_>,
    client: &Client,
    socket: &mut Socket,
    up: &mut Way,
    down: &mut Way,
    frames: &mut Frames,
) -> io::Result<bool> {
    loop {
        let before = up.moved + down.moved;
        to_upstream(context, client, socket, up)?;
        to_client(context, client, socket, down, frames)?;
        if up.told && down.told {
            return Ok(true);
        }
        if up.moved + down.moved == before {
            return Ok(false);
        }
    }
}

fn to_upstream(
    context: &mut Context<'_>,
    client: &Client,
    socket: &mut Socket,
    way: &mut Way,
) -> io::Result<()> {
    if way.buffer.is_empty() && !way.ended {
        client.local.buffers.make_room(&mut way.buffer, SMALL);
        if let Poll::Ready(came) = client.poll_tunnel_read(context, &mut way.buffer) {
            way.ended = came? == 0;
        }
    }
    while !way.buffer.is_empty() {
        let Poll::Ready(written) = Pin::new(&mut *socket).poll_write(context, &way.buffer) else { break };
        way.advance(written?)?;
    }
    if way.unflushed
        && let Poll::Ready(flushed) = Pin::new(&mut *socket).poll_flush(context)
    {
        flushed?;
        way.unflushed = false;
    }
    if way.is_at_its_end()
        && let Poll::Ready(ended) = Pin::new(socket).poll_shutdown(context)
    {
        ended?;
        way.told = true;
    }
    Ok(())
}

fn to_client(
    context: &mut Context<'_>,
    client: &Client,
    socket: &mut Socket,
    way: &mut Way,
    frames: &mut Frames,
) -> io::Result<()> {
    if way.buffer.is_empty() && !way.ended {
        client.local.buffers.make_room(&mut way.buffer, SMALL);
        if let Poll::Ready(came) = socket.poll_fill(context, &mut way.buffer) {
            way.ended = came? == 0;
        }
    }
    while !way.buffer.is_empty() {
        let Poll::Ready(written) = client.poll_tunnel_write(context, &way.buffer) else { break };
        let written = written?;
        frames.pass(way.buffer.get(..written).unwrap_or_default());
        way.advance(written)?;
    }
    if way.unflushed
        && let Poll::Ready(flushed) = client.poll_tunnel_flush(context)
    {
        flushed?;
        way.unflushed = false;
    }
    if way.is_at_its_end()
        && let Poll::Ready(ended) = client.poll_tunnel_end(context)
    {
        ended?;
        way.told = true;
    }
    Ok(())
}

impl Way {
    fn advance(&mut self, written: usize) -> io::Result<()> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.buffer.advance(written);
        self.moved += written as u64;
        self.unflushed = true;
        Ok(())
    }

    fn is_at_its_end(&self) -> bool {
        self.ended && self.buffer.is_empty() && !self.unflushed && !self.told
    }
}
