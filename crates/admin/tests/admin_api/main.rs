//! The Admin API as a client sees it: the real router on a store in memory, each row of the contract with its exact status and body.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod bench;
mod chat_port;
mod conditions;
mod configs;
mod control;
mod envelopes;
mod failures;
mod fakes;
mod front;
mod ids;
mod keyless;
mod kinds;
mod lists;
mod order;
mod patches;
mod plugins;
mod references;
mod schemas;
mod secrets;
mod standalone;
mod status;
mod together;
mod token;
mod transport;
mod v2;
mod wire;
mod writes;
