//! Plans, applies, undoes and remembers changes ([`service`]), and the Admin API on top of that ([`http`]).
//!
//! [`service::Service`] is the only writer of a store: every door, whether it takes a sentence, a tool call or a `PUT`, goes through it.

pub mod http;
pub mod keys;
pub mod service;
