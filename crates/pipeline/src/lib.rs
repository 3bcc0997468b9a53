//! What a plugin is, and how a route's plugins run.
//!
//! This room knows no concrete plugin: [`plugin::Plugin`] is the contract, [`spec::Spec`] the same without its type, [`compile::Pipeline`]
//! what a set of plugin bodies becomes once per configuration change, and [`exchange::Exchange`] what plugins see of a request.
//! A phase that no plugin uses is an empty list; nothing is parsed or looked up by name while a request runs.
//!
//! What it is not: it knows no plugin by name.

mod basic;
pub mod body;
pub mod cause;
pub mod compile;
pub mod consumer;
pub mod env;
pub mod exchange;
pub mod fallback;
pub mod front;
pub mod harness;
pub mod machine;
pub mod meta;
pub mod moment;
pub mod plugin;
mod read;
pub mod registry;
pub mod reply;
pub mod request;
mod schema;
pub mod secrets;
pub mod secured;
pub mod shelf;
pub mod spec;
pub mod stream;
mod variables;
pub mod worker;
