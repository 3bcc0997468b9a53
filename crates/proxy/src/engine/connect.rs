//! The one dialer: every connection that the gateway opens is opened here, to an address that was judged right before.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::local::Local;
use super::nodes::{Endpoint, Place, Tls};
use super::pool::Link;
use super::socket::Socket;
use crate::config::forbidden;

/// Addresses of one name that are tried in one connect.
const MOST_ADDRESSES: usize = 4;

/// Why there is no connection. Nothing of a request was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum NoLink {
    /// The address is one that the gateway never calls.
    #[error("{0} is not called: {1}")]
    Forbidden(SocketAddr, &'static str),
    /// The name leads nowhere.
    #[error("the name could not be resolved: {0}")]
    Unknown(Arc<str>),
    /// The other side refused, or can't be reached.
    #[error("{0} did not take the connection: {1}")]
    Refused(SocketAddr, Arc<io::Error>),
    /// It took the connection, but didn't begin to speak HTTP/2.
    #[error("{0} does not speak HTTP/2: {1}")]
    Silent(SocketAddr, Arc<io::Error>),
    /// TLS failed, also because of a certificate that isn't trusted.
    #[error("TLS with {0} failed: {1}")]
    Tls(SocketAddr, Arc<io::Error>),
    /// It took too long.
    #[error("no connection within {0:?}")]
    TimedOut(Duration, Option<SocketAddr>),
}

impl NoLink {
    /// The address that was tried last; `None` where a name led to none.
    pub(super) const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Forbidden(address, _)
            | Self::Refused(address, _)
            | Self::Silent(address, _)
            | Self::Tls(address, _) => Some(*address),
            Self::Unknown(_) => None,
            Self::TimedOut(_, address) => *address,
        }
    }
}

/// Connects to a node. `host` is the name that TLS goes by where the node follows the client's.
///
/// # Errors
/// [`NoLink`].
pub(super) async fn connect(
    local: &Local,
    endpoint: &Endpoint,
    host: Option<Rc<str>>,
    within: Duration,
) -> Result<Box<Link>, NoLink> {
    // A timer, because this happens once per connection and has to be exact.
    let tried = Cell::new(None);
    let connected = timeout(within, dial(local, endpoint, host, &tried)).await;
    local.clock.turn();
    let connected = connected.unwrap_or_else(|_| Err(NoLink::TimedOut(within, tried.get())));
    if let Some(links) = &endpoint.links {
        match &connected {
            Ok(_) => links.took(),
            Err(NoLink::Refused(..) | NoLink::TimedOut(..)) => links.refused(),
            // What is wrong there is no refusal: a name, a certificate, or an address that is never called.
            Err(_) => {}
        }
    }
    connected
}

async fn dial(
    local: &Local,
    endpoint: &Endpoint,
    host: Option<Rc<str>>,
    tried: &Cell<Option<SocketAddr>>,
) -> Result<Box<Link>, NoLink> {
    let (stream, address) = reach(local, endpoint, tried).await?;
    // Delay of small writes helps nobody here; without it a connection works all the same.
    let _ = stream.set_nodelay(true);
    let socket = match &endpoint.tls {
        None => Socket::Plain(stream),
        Some(tls) => {
            let name = server_name(tls, host.as_deref(), address)?;
            let stream = tls.connector.connect(name, stream).await;
            let stream = stream.map_err(|error| NoLink::Tls(address, Arc::new(error)))?;
            Socket::Tls(Box::new(stream.into()))
        }
    };
    Ok(Link::new(socket, address, host))
}

async fn reach(
    local: &Local,
    endpoint: &Endpoint,
    tried: &Cell<Option<SocketAddr>>,
) -> Result<(TcpStream, SocketAddr), NoLink> {
    let name = match &endpoint.place {
        Place::Address(ip) => return open(local, *ip, endpoint.port, tried).await,
        Place::Name(name) => name,
    };
    let addresses = name.addresses(local.clock.now()).await.map_err(NoLink::Unknown)?;
    // One of those that the system prefers, at random; the others only if that one can't be reached.
    let first_family = addresses
        .iter()
        .take_while(|ip| addresses.first().is_some_and(|first| first.is_ipv4() == ip.is_ipv4()));
    let preferred = first_family.count();
    let start = fastrand::usize(..preferred.max(1));
    let order = (0..preferred).map(|step| (start + step) % preferred).chain(preferred..addresses.len());
    let mut failed = NoLink::Unknown("it has no address".into());
    for ip in order.filter_map(|at| addresses.get(at)).take(MOST_ADDRESSES) {
        match open(local, *ip, endpoint.port, tried).await {
            Ok(opened) => return Ok(opened),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The address of a node that datagrams are sent to: one of its name's, judged as for a connection.
///
/// # Errors
/// [`NoLink`].
pub(super) async fn address(local: &Local, endpoint: &Endpoint) -> Result<SocketAddr, NoLink> {
    let ip = match &endpoint.place {
        Place::Address(ip) => *ip,
        Place::Name(name) => {
            let addresses = name.addresses(local.clock.now()).await.map_err(NoLink::Unknown)?;
            *addresses.first().ok_or_else(|| NoLink::Unknown("it has no address".into()))?
        }
    };
    judged(local, SocketAddr::new(ip, endpoint.port))
}

fn judged(local: &Local, address: SocketAddr) -> Result<SocketAddr, NoLink> {
    match forbidden(address, local.shared.own_listeners()) {
        Some(reason) => Err(NoLink::Forbidden(address, reason)),
        None => Ok(address),
    }
}

async fn open(
    local: &Local,
    ip: IpAddr,
    port: u16,
    tried: &Cell<Option<SocketAddr>>,
) -> Result<(TcpStream, SocketAddr), NoLink> {
    let address = judged(local, SocketAddr::new(ip, port))?;
    tried.set(Some(address));
    let stream = TcpStream::connect(address).await;
    Ok((stream.map_err(|error| NoLink::Refused(address, Arc::new(error)))?, address))
}

fn server_name(tls: &Tls, host: Option<&str>, address: SocketAddr) -> Result<ServerName<'static>, NoLink> {
    let followed = host.and_then(|host| ServerName::try_from(host.to_owned()).ok());
    followed.or_else(|| tls.name.clone()).ok_or_else(|| {
        let reason = "the node's name can't be the name of a certificate";
        NoLink::Tls(address, Arc::new(io::Error::new(io::ErrorKind::InvalidInput, reason)))
    })
}
