//! Plans, applies, undoes and remembers changes ([`service`]), and what is on top of that: the Admin API ([`http`]), the
//! service API ([`api`]), the Control API ([`control`]) and the status API ([`status`]).
//!
//! [`service::Service`] is the only writer of a store: every door, whether it takes a sentence, a tool call or a `PUT`, goes through it.
//!
//! What it is not: it serves no traffic.

pub mod api;
pub mod control;
pub mod gateways;
pub mod http;
pub mod keys;
pub mod oidc;
pub mod probe;
pub mod service;
pub mod status;
pub mod talk;
