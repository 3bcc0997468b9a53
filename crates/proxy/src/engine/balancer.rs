//! The header that a load balancer sends in front of a connection, read from its socket byte for byte: what follows it stays there.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::alarm::{Alarm, Wait};
use super::local::Local;
use crate::proxy_protocol::{LONGEST_V1, LONGEST_V2, Malformed, needs, parse};

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
enum NoHeader {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("it took too long")]
    TimedOut,
    #[error("{0}")]
    Broken(io::Error),
}

/// Where the client is that this connection's header tells of; the peer itself where it tells of none. `None`: the connection is at its end, which was
/// told.
pub(super) async fn client(
    local: &Local,
    alarm: &Alarm,
    stream: &TcpStream,
    peer: SocketAddr,
) -> Option<SocketAddr> {
    local.clock.turn();
    alarm.arm(Wait::ClientRead, local.clock.ms() + local.settings.handshake_ms);
    let mut bytes = Vec::new();
    let read = poll_fn(|context| {
        alarm.wakes(context.waker());
        match poll_header(context, stream, &mut bytes) {
            Poll::Pending if alarm.rang(Wait::ClientRead) => Poll::Ready(Err(NoHeader::TimedOut)),
            read => read,
        }
    })
    .await;
    alarm.disarm(Wait::ClientRead);
    local.clock.turn();
    match read {
        Ok(client) => Some(client.unwrap_or(peer)),
        // A balancer's probe that connects and leaves.
        Err(NoHeader::Broken(error)) if error.kind() == io::ErrorKind::UnexpectedEof && bytes.is_empty() => {
            None
        }
        Err(error) => {
            if let Some(silent) = local.complaints.balancers.speak(local.clock.ms()) {
                tracing::warn!(%peer, %error, silent, "a connection did not begin with the PROXY protocol, as this listener asks");
            }
            None
        }
    }
}

fn poll_header(
    context: &mut Context<'_>,
    stream: &TcpStream,
    bytes: &mut Vec<u8>,
) -> Poll<Result<Option<SocketAddr>, NoHeader>> {
    loop {
        if let Some(header) = parse(bytes)? {
            return Poll::Ready(Ok(header.client));
        }
        let most = match needs(bytes) {
            Some(more) => more.min(LONGEST_V2),
            None => ready!(poll_line(context, stream)).map_err(NoHeader::Broken)?,
        };
        let before = bytes.len();
        bytes.resize(before + most, 0);
        let read = stream.try_read(bytes.get_mut(before..).unwrap_or_default());
        bytes.truncate(before + read.as_ref().copied().unwrap_or_default());
        match read {
            Ok(0) => return Poll::Ready(Err(NoHeader::Broken(io::ErrorKind::UnexpectedEof.into()))),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(stream.poll_read_ready(context)).map_err(NoHeader::Broken)?;
            }
            Err(error) => return Poll::Ready(Err(NoHeader::Broken(error))),
        }
    }
}

/// How many of the bytes that are there belong to the header's line.
fn poll_line(context: &mut Context<'_>, stream: &TcpStream) -> Poll<io::Result<usize>> {
    let mut seen = [0; LONGEST_V1];
    let mut buffer = ReadBuf::new(&mut seen);
    let count = ready!(stream.poll_peek(context, &mut buffer))?;
    let end = memchr::memchr(b'\n', buffer.filled()).map(|at| at + 1);
    // At the end of the connection one byte is asked for, and found to be missing.
    Poll::Ready(Ok(end.unwrap_or(count).max(1)))
}
