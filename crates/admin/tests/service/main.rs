//! The way of a change through the service, on stores in memory and on disk, with a proxy that is only pretended.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "how long something took is told, not judged")]

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

mod access;
mod audit;
mod bench;
mod checks;
mod concurrency;
mod credentials;
mod deciders;
mod documents;
mod elsewhere;
mod held;
mod history;
mod kinds;
mod outside;
mod plans;
mod property;
mod protection;
mod reach;
mod redirect;
mod risk;
mod rotation;
mod scopes;
mod secrets;
mod steps;
mod stores;
mod together;
mod ttl;
