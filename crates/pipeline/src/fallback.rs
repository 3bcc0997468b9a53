//! Another upstream for a request that was served badly: asked between the answer of one upstream and the client, who has seen nothing of it.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::exchange::Exchange;

/// What a plugin that brings upstreams along knows of further ones. It is put into [`Exchange::fallback`] beside the choice of the first.
pub trait Fallback {
    /// Readies the exchange for the next upstream: its choice, and the request as that one is to see it. `status` is what the last one answered; 502
    /// and 504 stand for one that gave no answer. `false`, with the exchange left as it is, where the client gets that answer.
    fn next<'a>(self: Rc<Self>, exchange: &'a mut Exchange, status: u16) -> LocalBoxFuture<'a, bool>;
}
