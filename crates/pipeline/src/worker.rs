//! The worker that a request runs on, as plugins see it: its clock, its HTTP client, its tasks.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use usher_http1::head::Head;

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

    /// Waits.
    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()>;

    /// Runs a task behind the request. `false` when too many wait already and it was dropped.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>) -> bool;
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
