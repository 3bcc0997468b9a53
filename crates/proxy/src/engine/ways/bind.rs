//! Binds an address once per worker, so that the kernel spreads clients and no worker waits for another.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::handed::Transport;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The sockets of one address.
pub(super) struct Bound {
    /// The real one where port 0 was asked for.
    pub(super) address: SocketAddr,
    /// At least one a worker; more where an earlier process had more of them.
    pub(super) sockets: Vec<OwnedFd>,
}

/// Goes on with the sockets that were handed over, and binds those that are missing beside them.
///
/// # Errors
/// The system's.
pub(super) fn bind(
    transport: Transport,
    asked: SocketAddr,
    workers: usize,
    handed: Vec<OwnedFd>,
) -> io::Result<Bound> {
    let mut sockets = handed;
    let mut address = asked;
    match sockets.first() {
        Some(socket) => address = local_address(socket)?,
        // Sharing a port among our workers must not mean sharing it with somebody else: nobody may have it yet.
        None if asked.port() != 0 => drop(socket(transport, asked, false)?),
        None => {}
    }
    while sockets.len() < workers {
        let socket = socket(transport, address, true)?.into();
        // Port 0 became a real one, which the others join.
        address = local_address(&socket)?;
        sockets.push(socket);
    }
    Ok(Bound { address, sockets })
}

fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let address = SockRef::from(socket).local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("a socket that was handed over has no address"))
}

fn socket(transport: Transport, address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let (kind, protocol) = match transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if transport == Transport::Tcp {
        socket.set_reuse_address(true)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // 0.0.0.0 and [::] are told apart, as everywhere in the configuration.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    if shared {
        if transport == Transport::Tcp {
            socket.listen(BACKLOG)?;
        }
        socket.set_nonblocking(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::{Transport, bind};

    #[test]
    fn sockets_that_were_handed_over_are_all_kept_and_missing_ones_join_them() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let asked = "127.0.0.1:0".parse().unwrap();
            let first = bind(transport, asked, 2, Vec::new()).unwrap();
            assert_eq!(first.sockets.len(), 2);
            let address = first.address;
            assert_ne!(address.port(), 0);
            // Nobody else joins them.
            assert!(bind(transport, address, 1, Vec::new()).is_err());
            let fewer = bind(transport, asked, 1, first.sockets).unwrap();
            assert_eq!((fewer.address, fewer.sockets.len()), (address, 2));
            let more = bind(transport, asked, 4, fewer.sockets).unwrap();
            assert_eq!((more.address, more.sockets.len()), (address, 4));
        }
    }
}
