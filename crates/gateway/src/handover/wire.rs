//! What the two processes of an upgrade say to each other.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use usher_proxy::handed::Transport;

/// The words' version; another one is refused.
pub(super) const FORMAT: u32 = 1;

/// Set for the new process, so that it looks at its standard input.
pub(super) const VARIABLE: &str = "USHER_TAKES_OVER";

/// What the new process says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum New {
    /// It begins, and wants the sockets.
    Sockets {
        /// Its [`FORMAT`].
        format: u32,
        /// Its version, for the log.
        version: String,
    },
    /// It listens wherever it has to, and wants the store.
    Store,
    /// Its configuration is in force.
    Ready,
    /// It gives up.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What the old process says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Old {
    /// Here they are: they follow, in this order.
    Sockets(Vec<Group>),
    /// The store is closed.
    Store,
    /// Accept from now on.
    Go,
}

/// Sockets of one address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Group {
    /// What they are for.
    pub(super) purpose: String,
    /// Whether datagrams come in.
    pub(super) udp: bool,
    /// The address as it was asked for.
    pub(super) asked: SocketAddr,
    /// How many there are.
    pub(super) sockets: usize,
}

impl Group {
    pub(super) const fn transport(&self) -> Transport {
        if self.udp { Transport::Udp } else { Transport::Tcp }
    }
}
