//! The configuration that requests are served by: one immutable snapshot, made of the store's resources and swapped as a whole.
//!
//! The follower owns a workshop, where objects are built and references are kept. What a change touches is built anew, the rest of the snapshot is
//! shared with its predecessor, so that an edit costs what it changes and not what the table holds.

mod follow;
mod forbidden;
mod people;
mod route;
mod router;
mod secrets;
mod shared;
mod snapshot;
mod ssl;
mod stream;
mod traffic;
mod tree;
mod upstream;
mod workshop;

pub(crate) use follow::{Follower, start};
pub(crate) use forbidden::forbidden;
pub(crate) use route::{Origin, Refused, Route};
pub(crate) use router::{Asked, BodyWord, Candidate, filter};
pub(crate) use shared::Shared;
pub(crate) use snapshot::{GlobalRule, Snapshot};
pub(crate) use ssl::{Clients, Ssl};
pub(crate) use stream::{AskedStream, StreamRoute};
pub(crate) use traffic::Traffic;
pub(crate) use upstream::{
    Checked, Fleet, Flight, Keeper, Links, Pick, Place, Sign, Upstream, Ways, client_tls, client_tls_by,
};

#[cfg(test)]
pub(crate) mod trial;
