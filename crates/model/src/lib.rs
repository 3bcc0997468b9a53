//! What a gateway is configured with: resources, their schemas and sentences, expressions, variables, changes.
//!
//! Nothing here does I/O or waits: every other room imports this one, so it has to stay light and sure.

pub mod change;
pub mod compat;
pub mod kind;
pub mod live;
pub mod secret;
pub mod variables;
