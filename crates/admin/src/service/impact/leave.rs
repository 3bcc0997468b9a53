//! Requests that a protected route gives up: whatever takes them afterwards need not be protected.
//!
//! That is a loss even where no other route takes them yet: an open one could be added on the old path by a change of its own, which looks
//! harmless by itself.

use std::collections::{HashMap, HashSet};

use usher_model::change::Risk;
use usher_model::kind::{Key, Kind};

use super::super::ServiceError;
use super::super::known::Reached;
use super::super::world::World;
use super::guard::weaker;
use super::overlap::{Place, named, rivals, wider};
use super::route::{self, Seen};
use super::{Impact, auth, span};

/// Routes of an edited service that are looked at; a change that more routes meet is of high risk anyway.
const FOLLOWERS: usize = 50;

/// Looks at every route that takes fewer requests than before. `drafted` are the edited routes by where they stand afterwards.
pub(super) async fn assess(
    world: &mut World<'_>,
    impact: &mut Impact,
    drafted: &HashMap<Place, Vec<Key>>,
) -> Result<(), ServiceError> {
    for key in moved(world) {
        let Some(before) = route::before(world, &key).await?.filter(|seen| seen.route.is_on()) else {
            continue;
        };
        let Some(after) = route::after(world, &key).await? else { continue };
        let names: Vec<String> =
            auth::of(world.service.registry(), &before).iter().map(|guard| guard.name.to_owned()).collect();
        let Some(how) = given_up(&before, &after).filter(|_| !names.is_empty()) else { continue };
        let then = match open_taker(world, &before, drafted).await? {
            Some(taker) => format!("{taker} may take them with less"),
            None => "another route may take them without it".to_owned(),
        };
        let reason = format!(
            "{} gives up requests that it protects by {} ({how}): {then}",
            named(world, &before),
            names.join(" and ")
        );
        impact.warn(reason.clone());
        impact.raise(Risk::High, reason);
    }
    Ok(())
}

/// The routes that may take fewer requests: those that are edited, and those that take their hosts from a service that is.
fn moved(world: &World<'_>) -> Vec<Key> {
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    for draft in &world.drafts {
        let (Some(before), Some(after)) = (&draft.before, &draft.after) else { continue };
        match draft.key.kind {
            Kind::Route => keys.push(draft.key.clone()),
            Kind::Service if before.value.get("hosts") != after.get("hosts") => {
                keys.extend(world.service.look_up(|index| {
                    let mut reached = Reached::default();
                    index.reach(&draft.key, &mut reached);
                    index.some(&reached, FOLLOWERS)
                }));
            }
            _ => {}
        }
    }
    keys.retain(|key| seen.insert(key.clone()));
    keys
}

fn given_up(before: &Seen, after: &Seen) -> Option<&'static str> {
    if !after.route.is_on() {
        return Some("it is switched off");
    }
    let lower = after.route.priority < before.route.priority;
    span::fewer(before, after).or(lower.then_some("its priority is lowered"))
}

/// A route that takes such requests afterwards with less protection.
async fn open_taker(
    world: &mut World<'_>,
    before: &Seen,
    drafted: &HashMap<Place, Vec<Key>>,
) -> Result<Option<String>, ServiceError> {
    let mut takers = rivals(world, before, drafted).await?;
    takers.extend(wider(world, before).await?);
    let registry = world.service.registry();
    let guards = auth::of(registry, before);
    let open = takers.into_iter().find(|taker| !weaker(&guards, &auth::of(registry, taker)).is_empty());
    Ok(open.map(|taker| named(world, &taker)))
}
