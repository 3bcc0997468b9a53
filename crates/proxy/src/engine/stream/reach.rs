//! The node that a stream route's connection goes to.

use std::rc::Rc;

use smallvec::SmallVec;
use usher_model::resource::Scheme;
use usher_pipeline::exchange::Choice;

use super::Passage;
use crate::config::{Flight, Origin, Pick, Upstream};
use crate::engine::connect::{self, NoLink};
use crate::engine::local::Local;
use crate::engine::nodes::Chosen;
use crate::engine::pool::Link;
use crate::engine::settings::CONNECT_WITH_OTHERS;

/// A connection to a node, which counts as under way there for as long as this lives.
pub(super) struct Reached {
    pub(super) link: Box<Link>,
    _flight: Option<Flight>,
}

/// The upstream of a connection: the one that a plugin chose, or else its route's, as it is in the connection's own view of the configuration.
pub(super) fn upstream_of(passage: &Passage) -> Option<Chosen<'_>> {
    let of_id = |id| passage.view.snapshot.upstream(id).map(Chosen::Configured);
    match &passage.session.choice {
        Some(Choice::Id(id)) => return of_id(id),
        Some(Choice::Target(target)) => {
            return target
                .as_any()
                .downcast_ref::<Upstream>()
                .map(|upstream| Chosen::Inline(target, upstream));
        }
        None => {}
    }
    match &passage.route.upstream {
        Origin::Own(upstream) => Some(Chosen::Configured(upstream)),
        Origin::Id(id) => of_id(id),
        Origin::None => None,
    }
}

/// Connects to one node after the other, as far as retries go.
///
/// # Errors
/// Why none took the connection, for the log.
pub(super) async fn connect(local: &Local, passage: &Passage) -> Result<Reached, String> {
    let found = upstream_of(passage).ok_or("its upstream is not there")?;
    let upstream = found.upstream();
    if !matches!(upstream.spec.scheme, Scheme::Tcp | Scheme::Tls | Scheme::Http) {
        return Err(format!("its upstream's scheme is {}", upstream.spec.scheme.as_str()));
    }
    if !upstream.is_known() {
        Box::pin(upstream.wait_until_known()).await;
        local.clock.turn();
    }
    let members = local.nodes.of(found, &local.resolver);
    let fleet = &*members.fleet;
    upstream.want();
    let place = upstream.place(&passage.session);
    let tries = fleet.tries(upstream.spec.retries);
    let timeouts = upstream.spec.timeout.unwrap_or_default();
    let mut tried: SmallVec<[usize; 8]> = SmallVec::new();
    let mut failed = "no node is in use".to_owned();
    for attempt in 1..=tries {
        let pick = Pick { place, tried: &tried, now: local.clock.now() };
        let Some(chosen) = fleet.choose(&pick) else { break };
        tried.push(chosen);
        let Some(endpoint) = members.endpoints.get(chosen) else { break };
        let within =
            if attempt < tries { timeouts.connect.min(CONNECT_WITH_OTHERS) } else { timeouts.connect };
        let flight = fleet.begin(chosen, local.clock.now());
        match connect::connect(local, endpoint, name(passage), within).await {
            Ok(link) => {
                local.clock.turn();
                if let Some(flight) = &flight {
                    flight.answered(local.clock.now());
                }
                // nginx's number for a connection that a node took.
                upstream.answered(fleet, chosen, 200);
                return Ok(Reached { link, _flight: flight });
            }
            Err(error) => {
                local.clock.turn();
                let now = local.clock.now();
                if let Some(flight) = flight {
                    flight.failed(now);
                }
                upstream.failed(fleet, chosen, matches!(error, NoLink::TimedOut(..)), now);
                failed = error.to_string();
            }
        }
    }
    Err(failed)
}

/// The name that the client asked for is the one that a node with TLS is asked for.
fn name(passage: &Passage) -> Option<Rc<str>> {
    let secured = passage.session.secured.as_ref()?;
    if secured.server_name.is_empty() { None } else { Some(Rc::from(&*secured.server_name)) }
}
