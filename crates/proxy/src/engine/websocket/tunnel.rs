//! The tunnel behind a `101`: each direction has one buffer, and reads on only when what it read has left.

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
use crate::engine::course::Course;
use crate::engine::socket::Socket;

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

/// Moves bytes both ways until both sides have ended, one breaks, or nothing has moved for the upstream's read timeout.
pub(in crate::engine) async fn tunnel(course: &mut Course<'_>) {
    let client = course.client;
    let far = &mut course.state.far;
    let Some(link) = &mut far.link else { return };
    let patience = millis(far.timeouts.read.min(far.timeouts.send));
    let mut up = Way::new(client.take_ahead());
    let mut down = Way::new(std::mem::take(&mut far.buffer));
    client.alarm.disarm_all();
    poll_fn(|context| {
        let before = up.moved + down.moved;
        let ended = poll_both(context, client, &mut link.socket, &mut up, &mut down);
        if up.moved + down.moved != before {
            client.alarm.disarm(Wait::UpstreamRead);
        }
        match ended {
            // Who broke it has no use for a word about it, and the other side sees the end.
            Err(_) => Poll::Ready(()),
            Ok(true) => Poll::Ready(()),
            Ok(false) if client.alarm.rang(Wait::UpstreamRead) => Poll::Ready(()),
            Ok(false) => {
                client.alarm.arm(Wait::UpstreamRead, client.local.clock.ms() + patience);
                Poll::Pending
            }
        }
    })
    .await;
    client.alarm.disarm_all();
    course.state.exchange.times.upstream_end = Some(client.local.clock.now());
    course.state.body_bytes += down.moved;
    for way in [up, down] {
        client.local.buffers.give_back(way.buffer);
    }
}

/// Moves what can be moved; `true` once both directions are at their end.
fn poll_both(
    context: &mut Context<'_>,
    client: &Client,
    socket: &mut Socket,
    up: &mut Way,
    down: &mut Way,
) -> io::Result<bool> {
    loop {
        let before = up.moved + down.moved;
        to_upstream(context, client, socket, up)?;
        to_client(context, client, socket, down)?;
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
) -> io::Result<()> {
    if way.buffer.is_empty() && !way.ended {
        client.local.buffers.make_room(&mut way.buffer, SMALL);
        if let Poll::Ready(came) = socket.poll_fill(context, &mut way.buffer) {
            way.ended = came? == 0;
        }
    }
    while !way.buffer.is_empty() {
        let Poll::Ready(written) = client.poll_tunnel_write(context, &way.buffer) else { break };
        way.advance(written?)?;
    }
    way.unflushed = false;
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
