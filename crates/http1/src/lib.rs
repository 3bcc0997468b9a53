//! The HTTP/1.1 wire, server and client side, without I/O: bytes in, messages out, and back. Heads that HTTP/2 brings are judged here too.
//!
//! This is the only code of the data plane that sees HTTP/1 bytes. Anything doubtful is refused before anything else sees it, and every
//! outgoing message is framed anew from its real body, so that no two parsers can disagree about where a message ends.
//!
//! What it is not: no sockets, and no policy beyond the protocol's.

pub mod body;
pub mod check;
pub mod encode;
mod facts;
pub mod familiar;
mod field;
pub mod framed;
pub mod head;
pub mod limits;
mod lines;
pub mod reason;
pub mod reject;
pub mod request;
pub mod response;
mod scan;
mod target;
mod trailers;
