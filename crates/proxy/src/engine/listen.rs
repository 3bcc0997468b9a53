//! Accepts connections at one listener of one worker's, and begins each as the listener says.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::balancer;
use super::client::Client;
use super::connection;
use super::local::{Local, Seat};
use super::socket::Socket;
use super::stream::{self, Opened};
use super::throttle::Throttle;
use super::tls::{self, Inside};
use super::ways::Door;

/// What is spoken where clients come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// HTTP.
    Http,
    /// HTTP inside of TLS.
    Https,
    /// What stream routes take.
    Stream,
    /// The same inside of TLS.
    SecureStream,
}

impl Speaks {
    const fn is_secure(self) -> bool {
        matches!(self, Self::Https | Self::SecureStream)
    }
}

/// How connections of one listener begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) speaks: Speaks,
    /// With the PROXY protocol of a load balancer.
    pub(super) balanced: bool,
}

/// After an error that isn't one connection's own, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the way that a connection came by was closed since: it ends behind its request then, while others go on.
pub(super) type Shut = Rc<Cell<bool>>;

/// Accepts until the worker stops or the door is closed, then takes what has connected already.
pub(super) async fn accept(local: Rc<Local>, door: Door) {
    let Door { listener, kind, closing } = door;
    let shut = Shut::default();
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener could not be registered"),
    };
    let bound = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let port = bound.port();
    let ends = |stream: &TcpStream, peer| {
        // Where the listener takes what comes to any address, only the connection knows which one it was.
        let own = if bound.ip().is_unspecified() { stream.local_addr().unwrap_or(bound) } else { bound };
        Ends { peer, server: own, shut: Rc::clone(&shut) }
    };
    let full = Throttle::default();
    let failing = Throttle::default();
    while !local.is_draining() && !closing.is_closed() {
        if kind.speaks.is_secure() {
            tokio::select! {
                biased;
                () = local.handshakes.room() => {}
                () = local.stop.notified() => break,
                () = closing.closed() => break,
            }
        }
        if local.pressure.shuts() {
            // They wait in the kernel, or elsewhere.
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let accepted = tokio::select! {
            biased;
            // First, so that nobody is taken by the rule that was when another one is in force.
            () = closing.closed() => break,
            accepted = listener.accept() => accepted,
            () = local.stop.notified() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let ends = ends(&stream, peer);
                open(&local, kind, stream, ends, &full);
            }
            // The connection was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if let Some(silent) = failing.speak(local.clock.ms()) {
                    tracing::warn!(%error, port, silent, "no connection could be accepted");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    while closing.takes_the_rest()
        && let Some(Ok((stream, peer))) = listener.accept().now_or_never()
    {
        let ends = ends(&stream, peer);
        open(&local, kind, stream, ends, &full);
    }
    if !local.is_draining() {
        shut.set(true);
        local.alarms.wake_all();
    }
}

/// Both ends of a connection: where the client is, and where it came to.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) shut: Shut,
}

fn open(local: &Rc<Local>, kind: Kind, stream: TcpStream, ends: Ends, full: &Throttle) {
    let Some(seat) = local.seat(ends.peer.ip()) else {
        if let Some(silent) = full.speak(local.clock.ms()) {
            let most = local.settings.connections;
            tracing::warn!(
                worker = local.index,
                most,
                silent,
                "refused a connection: the worker, or the client, has as many as it may"
            );
        }
        return;
    };
    // Answers leave at once; without it they only leave later.
    let _ = stream.set_nodelay(true);
    let local = Rc::clone(local);
    match kind {
        // The way of most connections: no future but its own.
        Kind { speaks: Speaks::Http, balanced: false } => {
            let client = Client::plain(local, stream, ends);
            drop(tokio::task::spawn_local(connection::run(Rc::new(client), seat)));
        }
        kind => drop(tokio::task::spawn_local(begin(local, kind, stream, ends, seat))),
    }
}

/// A connection that begins with the word of a load balancer, with a handshake, or isn't HTTP. What follows is on its own in memory: the beginning
/// is over, and with it what it took.
async fn begin(local: Rc<Local>, kind: Kind, stream: TcpStream, mut ends: Ends, seat: Seat) {
    let alarm = local.alarms.add();
    if kind.balanced {
        let Some(peer) = balancer::client(&local, &alarm, &stream, ends.peer).await else { return };
        ends.peer = peer;
    }
    let inside = if kind.speaks == Speaks::Https { Inside::Http } else { Inside::Stream };
    let server = stream.local_addr();
    let (socket, secured) = match kind.speaks {
        Speaks::Http => {
            let client = Client::plain(local, stream, ends);
            return Box::pin(connection::run(Rc::new(client), seat)).await;
        }
        Speaks::Stream => (Socket::Plain(stream), None),
        Speaks::Https | Speaks::SecureStream => {
            let Some(shaken) = tls::accept(&local, &alarm, stream, ends.peer, inside).await else { return };
            if kind.speaks == Speaks::Https {
                let client = Client::secured(local, alarm, shaken, ends);
                return Box::pin(connection::run(Rc::new(client), seat)).await;
            }
            (shaken.stream, Some(Rc::new(shaken.secured)))
        }
    };
    let Ok(server) = server else { return };
    let opened = Opened { socket, secured, client: ends.peer, server };
    Box::pin(stream::serve(local, alarm, opened, seat)).await;
}
