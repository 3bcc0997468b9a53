//! HTTP/2 on real sockets: clients and origins made of h2's own two halves, and clients that write frames by hand.

mod conformance;
mod frames;
mod grpc;
mod hostile;
mod life;
mod matrix;
mod node;
mod peer;
mod semantics;
mod sockets;
mod tls;
mod windows;
