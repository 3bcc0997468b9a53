//! The worker that a request runs on, as plugins see it: its clock, its HTTP client, its connections, its tasks.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, pending, ready};
use tokio::io::{AsyncRead, AsyncWrite};
use usher_http1::head::Head;

use crate::secured::Secured;
use crate::shelf::Shelf;

/// One worker: a thread with its own runtime, connections and queues. Nothing here blocks.
pub trait Worker {
    /// Which worker, from 0.
    fn index(&self) -> usize;

    /// The time, as fine as a worker's turn. Tests stop and move it.
    fn now(&self) -> Instant;

    /// Milliseconds since 1970.
    fn unix_ms(&self) -> u64;

    /// Calls another server and reads its whole answer, over a pooled connection where possible.
    fn fetch(&self, call: Call) -> LocalBoxFuture<'static, Result<Answer, FetchError>>;

    /// Puts a request through the whole gateway, as if its client had sent it on a connection of its own: route, plugins, upstream, log.
    fn fetch_inside(&self, call: InnerCall) -> LocalBoxFuture<'static, Result<Answer, FetchError>> {
        drop(call);
        ready(Err(FetchError::Unreachable {
            peer: "the gateway itself".to_owned(),
            reason: "this worker serves no requests".to_owned(),
        }))
        .boxed_local()
    }

    /// Waits.
    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()>;

    /// Runs a task behind the request. `false` when too many wait already and it was dropped. A worker that stops waits for it for a while.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>) -> bool;

    /// Runs a task that ends with the worker and that nobody waits for, such as the reader of a connection. `false` when there are too many.
    fn attend(&self, task: LocalBoxFuture<'static, ()>) -> bool {
        drop(task);
        false
    }

    /// Ready once the worker takes no more connections: what waits to be sent is sent now or never.
    fn stopping(&self) -> LocalBoxFuture<'static, ()> {
        pending().boxed_local()
    }

    /// Opens a connection that speaks some other protocol than HTTP.
    fn connect(&self, peer: Peer) -> LocalBoxFuture<'static, Result<Box<dyn Stream>, FetchError>> {
        ready(Err(FetchError::Unreachable {
            peer: peer.to_string(),
            reason: "this worker opens no connections".to_owned(),
        }))
        .boxed_local()
    }

    /// Sends one datagram; nobody learns whether it arrives. TLS means nothing here.
    fn send_datagram(&self, peer: Peer, bytes: Bytes) -> LocalBoxFuture<'static, Result<(), FetchError>> {
        drop(bytes);
        ready(Err(FetchError::Unreachable {
            peer: peer.to_string(),
            reason: "this worker sends no datagrams".to_owned(),
        }))
        .boxed_local()
    }

    /// What plugins keep on this worker from request to request, such as connections.
    fn shelf(&self) -> &Shelf;
}

/// A connection, as its two directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Another server, by its name and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is spoken to over TLS, and how.
    pub tls: Option<PeerTls>,
    /// For everything up to the open connection, or to the sent datagram.
    pub timeout: Duration,
}

/// How a server is spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerTls {
    /// Whether its certificate is verified.
    pub verify: bool,
    /// The name that its certificate has to have; the host by default.
    pub name: Option<String>,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A request to another server.
#[derive(Clone, Debug)]
pub struct Call {
    /// `GET` and so on.
    pub method: String,
    /// `http://` or `https://`, host, port, path and query.
    pub url: String,
    /// Fields to send; framing and `Host` are added.
    pub fields: Head,
    /// The body.
    pub body: Bytes,
    /// For everything from connecting to the last byte.
    pub timeout: Duration,
    /// Whether an https server's certificate is verified.
    pub verify: bool,
    /// The largest body taken, in bytes.
    pub max_answer_bytes: u64,
}

/// A request to the gateway itself, in the name of a client that is being served.
#[derive(Clone, Debug)]
pub struct InnerCall {
    /// Method, target and fields. Framing is added, and nothing of it is believed that a client may not say.
    pub head: Head,
    /// Whether it is sent as HTTP/1.0.
    pub is_http10: bool,
    /// The body.
    pub body: Bytes,
    /// Who is calling.
    pub client: SocketAddr,
    /// The address and port that the client came to.
    pub server: SocketAddr,
    /// What TLS has settled with the client.
    pub secured: Option<Rc<Secured>>,
    /// For everything up to the answer's last byte.
    pub timeout: Duration,
    /// The largest body taken, in bytes.
    pub max_answer_bytes: u64,
}

/// Another server's whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status and fields.
    pub head: Head,
    /// The body.
    pub body: Bytes,
}

/// Why another server couldn't be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL can't be used.
    #[error("{url} is not a usable URL: {reason}")]
    BadUrl {
        /// The URL as given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The address is one that the gateway never calls (link-local, cloud metadata, its own admin side).
    #[error("{0} is an address that the gateway does not call")]
    Forbidden(String),
    /// No connection, or it broke.
    #[error("could not reach {peer}: {reason}")]
    Unreachable {
        /// Who was called.
        peer: String,
        /// What happened.
        reason: String,
    },
    /// It took too long.
    #[error("{0} did not answer in time")]
    TimedOut(String),
    /// The answer breaks HTTP's rules or is too large.
    #[error("{peer} answered badly: {reason}")]
    BadAnswer {
        /// Who was called.
        peer: String,
        /// What is wrong.
        reason: String,
    },
}
