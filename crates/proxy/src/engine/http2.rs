//! HTTP/2, both sides: the frames are the h2 crate's, everything that a request means is the same code as for HTTP/1.
//!
//! A stream's task runs the same course as a connection of HTTP/1; what differs is where heads and pieces of bodies come from and go to. h2 itself
//! is used, not a server on top of it, because answers are written with the reader's own pace in view: a piece is handed over only once the
//! stream's window, the connection's window and the connection's share of memory have room for it.

mod accept;
mod call;
mod cork;
mod fields;
mod inlet;
mod line;
mod outlet;
mod piece;
mod preface;
mod trunk;

pub(super) use accept::{Share, serve};
pub(super) use call::{Call, Lapse};
pub(super) use fields::{admit, answer_fields, is_grpc, is_grpc_type, request_fields};
pub(super) use inlet::{Inlet, Lost};
pub(super) use line::{Line, Seat};
pub(super) use outlet::Outlet;
pub(super) use piece::Piece;
pub(super) use preface::{Preface, preface};
pub(super) use trunk::Trunk;

use std::io;

/// Streams that one connection may have open, in either direction (reliability rule D2).
const STREAMS: u32 = 100;
/// What a sender may have sent ahead on one stream.
const STREAM_WINDOW: u32 = 64 << 10;
/// The same over all streams of a connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes that wait inside of h2 for one stream.
const SEND_BUFFER: usize = 64 << 10;
/// A frame's payload, the least that RFC 9113 allows.
const FRAME: u32 = 16 << 10;
/// The table of the header compression.
const TABLE: u32 = 4 << 10;
/// Resets of our own for errors of the peer's, before the connection is given up.
const ERROR_RESETS: usize = 100;

/// h2's word as one of I/O.
fn broken(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()),
        false => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}
