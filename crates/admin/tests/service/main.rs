//! The way of a change through the service, on stores in memory and on disk, with a proxy that is only pretended.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod bench;
mod checks;
mod concurrency;
mod credentials;
mod deciders;
mod history;
mod plans;
mod property;
mod protection;
mod risk;
mod secrets;
