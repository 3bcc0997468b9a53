//! The data plane on real sockets: hand-written clients on one side, hand-written origins on the other.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod basics;
mod bodies;
mod corpus;
mod ends;
mod headers;
mod methods;
mod origin;
mod plugins;
mod retries;
mod support;
mod tls;
mod trial;
mod upstreams;
mod websocket;
