//! The chat side on a real socket: who may come in, the plugin's files, MCP in both eras, the bridge.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::panic, reason = "tests fail by panicking")]
#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

mod apps;
mod bridge;
mod budget;
mod client;
mod consent;
mod files;
mod guard;
mod injection;
mod probe;
mod recorded;
mod recovery;
mod repair;
mod schema;
mod seeing;
mod stale;
mod support;
mod tools;
mod toolsets;
mod ways;
