//! Whether a tunnel may go on: what let it in has to be there still.
//!
//! A tunnel outlives the request that it began as, and so the configuration that the request was judged by. Every few seconds it is looked at
//! whether a later configuration still has its caller and its route.

use std::sync::Arc;

use usher_pipeline::exchange::Exchange;

use crate::config::{Asked, BodyWord, Route, Snapshot};
use crate::engine::alarm::Wait;
use crate::engine::client::Client;
use crate::engine::course::Course;
use crate::engine::view::View;

/// How long a tunnel may be behind the configuration.
const LOOK_MS: u64 = 2_000;

/// What let a tunnel in.
pub(super) struct Permit<'a> {
    route: Option<&'a Arc<Route>>,
    /// The revision by which it was last found good.
    revision: u64,
}

impl<'a> Permit<'a> {
    pub(super) fn of(course: &Course<'a>) -> Self {
        Self { route: course.route, revision: course.view.snapshot.revision() }
    }

    /// Whether it was taken back. Looks only now and then; in between it costs a load.
    pub(super) fn is_withdrawn(&mut self, client: &Client, exchange: &Exchange) -> bool {
        if client.alarm.rang(Wait::Long) {
            client.alarm.disarm(Wait::Long);
            let view = client.local.view();
            let revision = view.snapshot.revision();
            if revision != self.revision {
                let path = client.local.settings.routed(exchange.request.original_path());
                if !self.holds(&view, path, exchange) {
                    return true;
                }
                self.revision = revision;
            }
        }
        client.alarm.arm(Wait::Long, client.local.clock.ms() + LOOK_MS);
        false
    }

    fn holds(&self, view: &View, path: &str, exchange: &Exchange) -> bool {
        exchange.is_still_known(&*view.directory)
            && self.route.is_none_or(|route| is_still_open(&view.snapshot, route, path, exchange))
    }
}

/// Whether the route is as it was, or has changed in a way that lets the same handshake through.
fn is_still_open(snapshot: &Snapshot, route: &Arc<Route>, path: &str, exchange: &Exchange) -> bool {
    let asked = Asked { method: "GET", ..Asked::of(exchange, path, BodyWord::Read) };
    let found = snapshot.find_route(&asked, |candidate| {
        let now = &candidate.route;
        // One that wasn't touched isn't asked again: plugins may have changed what its conditions look at.
        Arc::ptr_eq(now, route)
            || (now.facts.id == route.facts.id
                && now.websocket
                && now.refused.is_none()
                && candidate.refusal(&asked).is_none())
    });
    found.is_some()
}
