//! Hands a running server over to a new program without a request that fails: the upgrade.
//!
//! The running process starts the program that lies at its own path, with its own words and a socket between the two as standard input. Over that the
//! new one gets the very listening sockets, so that whoever waits in one of them is served by it; then the old one stops writing and lets go of the
//! store, and the new one opens it. Only when the new one says that all of its configuration is in force, it is told to go, and begins to accept; from
//! then on the old one only answers what it has begun, and ends. Whatever fails before that leaves the old one serving, with the store back in its
//! hands, and the reason in the log. Clients notice nothing of either: they wait in the sockets for the moment in which nobody accepts.
//!
//! The words between the two are told in `wire`. A new version speaks what the old one speaks, or says that it can't, which is an upgrade that fails
//! like any other.

mod giving;
mod link;
mod taking;
mod wire;

pub(crate) use giving::{Program, hand_over};
pub(crate) use taking::Taking;
