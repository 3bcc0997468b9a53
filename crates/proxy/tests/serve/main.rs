//! The data plane on real sockets: hand-written clients on one side, hand-written origins on the other.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod basics;
mod behind_balancer;
mod bodies;
mod calls;
mod choosing;
mod corpus;
mod discovery;
mod ends;
mod faults;
mod headers;
mod health;
mod http2;
mod methods;
mod names;
mod nameserver;
mod origin;
mod plugins;
#[cfg(test)]
pub mod replayed;
mod retries;
mod routing;
mod secure;
mod streams;
mod support;
mod tls;
mod trial;
mod upstreams;
mod websocket;
