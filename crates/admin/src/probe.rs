//! One real request to our own gateway, for whoever wants to see that a route works.
//!
//! The only address that it can reach is a listener of this gateway: a path, a host name or a redirect can't lead elsewhere. The gateway is told
//! beforehand which connection the request comes by, so that it can say which way the request went.

mod wanted;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use axum::http::header::HeaderMap;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use usher_model::live::{Live, Watched};

pub use wanted::{BadHeader, Unsendable, Wanted, framing_headers};

/// How long a request may take, the whole answer included.
pub const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of an answer's head that are read.
const MOST_HEAD: usize = 64 * 1024;
/// How long the gateway may take to say which way a request went, once its answer is there.
const TELLS_WITHIN: Duration = Duration::from_secs(1);

/// What an answer has, as far as it was read.
pub struct Seen {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body's first bytes.
    pub body: Vec<u8>,
    /// Whether more came than was to be read.
    pub is_cut: bool,
    /// From the first byte sent to the last one read.
    pub took: Duration,
    /// Which way it went; `None` where the gateway didn't say.
    pub watched: Option<Watched>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// It took too long.
    #[error("the gateway did not answer within {} s", WITHIN.as_secs())]
    Late,
    /// The connection failed, with the reason.
    #[error("the gateway on {0} gave no answer: {1}")]
    Gone(SocketAddr, String),
}

/// Where this gateway is reached; `None` where it listens nowhere.
#[must_use]
pub fn address(live: &dyn Live) -> Option<SocketAddr> {
    live.listeners().into_iter().next().map(reachable)
}

/// Sends a request to a listener of this gateway, and reads at most `most` bytes of the answer's body.
///
/// # Errors
/// [`ProbeError`].
pub async fn send(
    live: &dyn Live,
    address: SocketAddr,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Seen, ProbeError> {
    let sent = tokio::time::timeout(WITHIN, exchange(live, address, request, most));
    sent.await.map_err(|_| ProbeError::Late)?.map_err(|reason| ProbeError::Gone(address, reason))
}

/// An address that means "any" is reached on loopback.
const fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

async fn exchange(
    live: &dyn Live,
    address: SocketAddr,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Seen, String> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|error| error.to_string())?;
    // Bound before it connects: whatever the gateway accepts from here is watched already.
    socket.bind(SocketAddr::new(address.ip(), 0)).map_err(|error| error.to_string())?;
    let own = socket.local_addr().map_err(|error| error.to_string())?;
    let watched = live.watch(own);
    let began = Instant::now();
    let stream = socket.connect(address).await.map_err(|error| error.to_string())?;
    let shaken = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MOST_HEAD)
        .max_headers(200)
        .handshake(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    // The connection works as long as its answer is read; whichever ends first ends both.
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        read(response, most).await
    });
    let mut is_open = true;
    let mut seen = loop {
        tokio::select! {
            seen = &mut exchange => break seen?,
            closed = &mut connection, if is_open => match closed {
                // Closed after its last byte: what came is still in the exchange's hands.
                Ok(()) => is_open = false,
                Err(error) => return Err(error.to_string()),
            },
        }
    };
    seen.took = began.elapsed();
    // An answer that isn't read to its end goes on until its connection does, so that the gateway has nothing to tell yet.
    if !seen.is_cut {
        seen.watched = tokio::time::timeout(TELLS_WITHIN, watched).await.ok().flatten();
    }
    Ok(seen)
}

async fn read(response: Response<Incoming>, most: usize) -> Result<Seen, String> {
    let (head, mut body) = response.into_parts();
    let mut seen = Seen {
        status: head.status.as_u16(),
        headers: head.headers,
        body: Vec::new(),
        is_cut: false,
        took: Duration::ZERO,
        watched: None,
    };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        let Some(data) = frame.data_ref() else { continue };
        let room = most - seen.body.len();
        seen.body.extend(data.iter().take(room));
        if data.len() > room {
            seen.is_cut = true;
            break;
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn a_listener_on_every_address_is_reached_on_loopback() {
        for (listener, wanted) in
            [("0.0.0.0:9080", "127.0.0.1:9080"), ("[::]:9080", "[::1]:9080"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listener.parse().unwrap()), wanted.parse().unwrap());
        }
    }
}
