//! The service API as a client sees it: the real router of the Admin port on a store in memory, each endpoint with its exact status.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod approvals;
mod bench;
mod document;
mod entrance;
mod explain;
mod export;
mod failures;
mod fakes;
mod history;
mod objects;
mod openapi;
mod people;
mod plans;
mod sessions;
mod traffic;
