//! The built-in chat against a real chat side: plain sentences, and a scripted model.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::panic, reason = "tests fail by panicking")]
#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

mod budget;
mod changes;
mod connection;
mod dialects;
mod looks;
mod manual;
mod model;
mod script;
mod support;
mod unruly;
