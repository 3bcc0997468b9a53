//! Listeners: one per worker and address, so that the kernel spreads connections and no worker waits for another.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::client::Client;
use super::connection;
use super::local::Local;
use super::throttle::Throttle;
use crate::StartError;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// After an error that isn't one connection's own, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds every address once per worker. The outer list is by worker.
///
/// # Errors
/// The first address that can't be bound.
pub(super) fn bind(addresses: &[SocketAddr], workers: usize) -> Result<Vec<Vec<StdListener>>, StartError> {
    let mut all: Vec<Vec<StdListener>> = (0..workers).map(|_| Vec::new()).collect();
    for address in addresses {
        let failed = |source| StartError::Bind { address: *address, source };
        if address.port() != 0 {
            check_free(*address).map_err(failed)?;
        }
        let mut wanted = *address;
        for listeners in &mut all {
            let listener = listener(wanted, true).map_err(failed)?;
            // Port 0 became a real one, which the other workers join.
            wanted.set_port(listener.local_addr().map_err(failed)?.port());
            listeners.push(listener);
        }
    }
    Ok(all)
}

/// Sharing a port among our workers must not mean sharing it with a second Usher: nobody else may listen there.
fn check_free(address: SocketAddr) -> io::Result<()> {
    listener(address, false).map(drop)
}

fn listener(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // 0.0.0.0 and [::] are told apart, as everywhere in the configuration.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
    }
    Ok(socket.into())
}

/// Accepts until the worker stops, then takes what has connected already.
pub(super) async fn accept(local: Rc<Local>, listener: StdListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener could not be registered"),
    };
    let port = listener.local_addr().map_or(0, |address| address.port());
    let full = Throttle::default();
    let failing = Throttle::default();
    while !local.is_draining() {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = local.stop.notified() => break,
        };
        match accepted {
            Ok((stream, peer)) => open(&local, stream, peer, port, &full),
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
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        open(&local, stream, peer, port, &full);
    }
}

fn open(local: &Rc<Local>, stream: TcpStream, peer: SocketAddr, port: u16, full: &Throttle) {
    let Some(seat) = local.seat() else {
        if let Some(silent) = full.speak(local.clock.ms()) {
            let most = local.settings.connections;
            tracing::warn!(
                worker = local.index,
                most,
                silent,
                "refused a connection: the worker has as many as it takes"
            );
        }
        return;
    };
    // Answers leave at once; without it they only leave later.
    let _ = stream.set_nodelay(true);
    let client = Rc::new(Client::new(Rc::clone(local), stream, peer, port));
    drop(tokio::task::spawn_local(connection::run(client, seat)));
}
