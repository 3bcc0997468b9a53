//! UDP: each client's datagrams go to one node from a socket of their own, and what comes back there goes to that client.
//!
//! A client is known for as long as something moves. There is no handshake, so anybody may make many clients up: their number has a bound, and so has
//! what waits for each.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout};
use usher_model::resource::Scheme;

use super::{Passage, reach};
use crate::config::Pick;
use crate::engine::connect;
use crate::engine::local::Local;
use crate::engine::ways::Datagrams;

/// Clients of one worker.
const MOST_CLIENTS: usize = 8_192;

/// Datagrams of one client that wait to be sent; further ones are lost, as datagrams may be.
const MOST_WAITING: usize = 64;

/// The largest datagram there is.
const LARGEST: usize = 65_535;

/// How long a client is known without a datagram, where the upstream doesn't say.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long answers are waited for once nothing more is taken.
const LAST: Duration = Duration::from_secs(1);

type Clients = Rc<RefCell<HashMap<SocketAddr, Sender<Box<[u8]>>>>>;

/// Serves one socket until the worker stops or the way is closed.
pub(in crate::engine) async fn serve(local: Rc<Local>, datagrams: Datagrams) {
    let socket = match UdpSocket::from_std(datagrams.socket) {
        Ok(socket) => Rc::new(socket),
        Err(error) => return tracing::error!(%error, "a UDP socket could not be registered"),
    };
    let Ok(server) = socket.local_addr() else { return };
    let clients = Clients::default();
    let mut buffer = vec![0; LARGEST];
    let room = Rc::new(RefCell::new(vec![0; LARGEST]));
    while !local.is_draining() && !datagrams.closing.is_closed() {
        let came = tokio::select! {
            biased;
            came = socket.recv_from(&mut buffer) => came,
            () = local.stop.notified() => break,
            () = datagrams.closing.closed() => break,
        };
        match came {
            Ok((length, client)) => {
                let datagram = buffer.get(..length).unwrap_or_default();
                take(&local, &socket, &clients, &room, (client, server), datagram);
            }
            // An answer that a client refused comes back as an error of the socket's; it is nobody else's business.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                if let Some(silent) = local.complaints.streams.speak(local.clock.ms()) {
                    tracing::warn!(%error, %server, silent, "no datagram could be read");
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Gives a datagram to its client's task; a new client gets one.
fn take(
    local: &Rc<Local>,
    socket: &Rc<UdpSocket>,
    clients: &Clients,
    room: &Rc<RefCell<Vec<u8>>>,
    (client, server): (SocketAddr, SocketAddr),
    datagram: &[u8],
) {
    let mut known = clients.borrow_mut();
    if let Some(sender) = known.get(&client) {
        // A full queue loses it.
        let _ = sender.try_send(datagram.into());
        return;
    }
    let seat = local.seat(client.ip()).filter(|_| known.len() < MOST_CLIENTS);
    let Some(seat) = seat else {
        if let Some(silent) = local.complaints.streams.speak(local.clock.ms()) {
            tracing::warn!(
                most = MOST_CLIENTS,
                silent,
                "lost a datagram: there are as many clients as may be"
            );
        }
        return;
    };
    local.clock.turn();
    let Some(passage) = Passage::find(local, "UDP", None, client, server) else { return };
    let (sender, receiver) = channel(MOST_WAITING);
    let _ = sender.try_send(datagram.into());
    known.insert(client, sender);
    let one = OneClient {
        local: Rc::clone(local),
        socket: Rc::clone(socket),
        address: client,
        clients: Rc::clone(clients),
        room: Rc::clone(room),
    };
    drop(tokio::task::spawn_local(async move {
        let _seat = seat;
        one.serve(passage, receiver).await;
    }));
}

/// One client; forgotten when it is dropped.
struct OneClient {
    local: Rc<Local>,
    socket: Rc<UdpSocket>,
    address: SocketAddr,
    clients: Clients,
    room: Rc<RefCell<Vec<u8>>>,
}

impl Drop for OneClient {
    fn drop(&mut self) {
        self.clients.borrow_mut().remove(&self.address);
    }
}

impl OneClient {
    async fn serve(&self, mut passage: Passage, mut waiting: Receiver<Box<[u8]>>) {
        if passage.is_admitted(&self.local, None).await {
            match self.node(&passage).await {
                Ok(node) => {
                    passage.session.upstream = node.peer_addr().ok();
                    let found = reach::upstream_of(&passage);
                    let written = found.and_then(|chosen| chosen.upstream().spec.timeout);
                    let patience = written.map_or(PATIENCE, |timeouts| timeouts.read);
                    self.pass(&mut passage, &node, &mut waiting, patience).await;
                }
                Err(reason) => passage.fail(&self.local, &reason),
            }
        }
        passage.end(&self.local);
    }

    async fn pass(
        &self,
        passage: &mut Passage,
        node: &UdpSocket,
        waiting: &mut Receiver<Box<[u8]>>,
        patience: Duration,
    ) {
        let mut until = None;
        loop {
            if until.is_none() && self.local.is_draining() {
                until = Some(Instant::now() + LAST);
            }
            let left = until.map_or(patience, |until| until.saturating_duration_since(Instant::now()));
            let moved = timeout(left, async {
                tokio::select! {
                    datagram = waiting.recv() => Ok(datagram),
                    ready = node.readable() => ready.map(|()| None),
                    () = self.local.stop.notified(), if until.is_none() => Err(io::ErrorKind::Interrupted.into()),
                }
            });
            match moved.await {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) | Ok(Err(_)) => return,
                Ok(Ok(Some(datagram))) => {
                    passage.session.received += datagram.len() as u64;
                    // A node that is gone says so to the next one; a datagram may be lost.
                    let _ = node.send(&datagram).await;
                }
                Ok(Ok(None)) => match self.receive(node) {
                    Ok(datagram) => {
                        passage.session.sent += datagram.len() as u64;
                        let _ = self.socket.send_to(&datagram, self.address).await;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return passage.fail(&self.local, &error.to_string()),
                },
            }
        }
    }

    /// One datagram, read into room that all clients share.
    fn receive(&self, node: &UdpSocket) -> io::Result<Box<[u8]>> {
        let mut room = self.room.borrow_mut();
        let length = node.try_recv(&mut room)?;
        Ok(room.get(..length).unwrap_or_default().into())
    }

    /// A socket of its own towards the node whose turn it is.
    async fn node(&self, passage: &Passage) -> Result<UdpSocket, String> {
        let found = reach::upstream_of(passage).ok_or("its upstream is not there")?;
        let upstream = found.upstream();
        if !matches!(upstream.spec.scheme, Scheme::Udp | Scheme::Http) {
            return Err(format!("its upstream's scheme is {}", upstream.spec.scheme.as_str()));
        }
        if !upstream.is_known() {
            Box::pin(upstream.wait_until_known()).await;
            self.local.clock.turn();
        }
        let members = self.local.nodes.of(found, &self.local.resolver);
        upstream.want();
        let place = upstream.place(&passage.session);
        let pick = Pick { place, tried: &[], now: self.local.clock.now() };
        let chosen = members.fleet.choose(&pick).ok_or("no node is in use")?;
        let endpoint = members.endpoints.get(chosen).ok_or("no node is in use")?;
        let within = upstream.spec.timeout.unwrap_or_default().connect;
        let found = timeout(within, connect::address(&self.local, endpoint)).await;
        let address = found.map_err(|_| "its name took too long")?.map_err(|error| error.to_string())?;
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own).await.map_err(|error| error.to_string())?;
        socket.connect(address).await.map_err(|error| error.to_string())?;
        Ok(socket)
    }
}
