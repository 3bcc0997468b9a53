//! Connections and datagrams of plugins that speak other protocols than HTTP: by the same dialer, and to the same judged addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::net::UdpSocket;
use tokio_rustls::TlsConnector;
use usher_model::resource::KeepalivePool;
use usher_pipeline::worker::{FetchError, Peer, PeerTls, Stream};

use super::connect::{NoLink, connect};
use super::local::Local;
use super::nodes::{Endpoint, Place, Tls};
use super::pool::Link;
use crate::config::{self, forbidden};

/// The pool that these connections would lie idle in; none ever does.
const POOL: u64 = 3;

/// Opens a connection.
///
/// # Errors
/// [`FetchError`].
pub(super) async fn open(local: Rc<Local>, peer: Peer) -> Result<Box<dyn Stream>, FetchError> {
    let unusable = |reason: String| FetchError::BadUrl { url: peer.to_string(), reason };
    let endpoint = Endpoint {
        place: place(&local, &peer.host),
        port: peer.port,
        authority: peer.to_string().into(),
        tls: peer.tls.as_ref().map(|tls| secure(tls, &peer.host)).transpose().map_err(unusable)?,
        idle: local.nodes.idle(POOL, &peer.host, peer.port, KeepalivePool::default()),
        trunk: None,
        links: None,
    };
    let link = connect(&local, &endpoint, None, peer.timeout).await.map_err(|error| match error {
        NoLink::Forbidden(address, _) => FetchError::Forbidden(address.to_string()),
        NoLink::TimedOut(..) => FetchError::TimedOut(peer.to_string()),
        other => FetchError::Unreachable { peer: peer.to_string(), reason: other.to_string() },
    })?;
    let Link { socket, .. } = *link;
    Ok(Box::new(socket))
}

fn place(local: &Local, host: &str) -> Place {
    host.parse().map_or_else(|_| Place::Name(local.resolver.name(host)), Place::Address)
}

fn secure(tls: &PeerTls, host: &str) -> Result<Tls, String> {
    let mut config = (*config::client_tls(tls.verify)?).clone();
    // What is spoken here is no HTTP.
    config.alpn_protocols.clear();
    let name = tls.name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| format!("{name:?} can't be the name of a certificate"))?;
    Ok(Tls { connector: TlsConnector::from(Arc::new(config)), name: Some(name), follows_host: false })
}

/// Sends one datagram.
///
/// # Errors
/// [`FetchError`].
pub(super) async fn send_datagram(local: Rc<Local>, peer: Peer, bytes: Bytes) -> Result<(), FetchError> {
    let sent = tokio::time::timeout(peer.timeout, send(&local, &peer, &bytes)).await;
    local.clock.turn();
    sent.unwrap_or_else(|_| Err(FetchError::TimedOut(peer.to_string())))
}

async fn send(local: &Local, peer: &Peer, bytes: &[u8]) -> Result<(), FetchError> {
    let unreachable = |reason: String| FetchError::Unreachable { peer: peer.to_string(), reason };
    let ip = match place(local, &peer.host) {
        Place::Address(ip) => ip,
        Place::Name(name) => {
            let addresses =
                name.addresses(local.clock.now()).await.map_err(|why| unreachable(why.to_string()))?;
            *addresses.first().ok_or_else(|| unreachable("the name has no address".to_owned()))?
        }
    };
    let address = SocketAddr::new(ip, peer.port);
    if forbidden(address, local.shared.own_listeners()).is_some() {
        return Err(FetchError::Forbidden(address.to_string()));
    }
    let any =
        if ip.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).await.map_err(|error| unreachable(error.to_string()))?;
    socket.send_to(bytes, address).await.map_err(|error| unreachable(error.to_string()))?;
    Ok(())
}
