//! Where the requests of protected routes go: whoever sends them to another host is told the credentials that come with them.
//!
//! The hosts that count as known are the route's own so far. Those of other objects don't: adding an upstream, or an open route, is of low risk, and
//! would make any host known.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::Value;
use usher_model::change::Risk;
use usher_model::kind::{Key, Kind};
use usher_model::resource::Upstream;

use super::super::ServiceError;
use super::super::known::Reached;
use super::super::references::{each_object_in_plugins, id_text};
use super::super::world::World;
use super::overlap::named;
use super::route::{self, Seen};
use super::{Impact, auth, outward};

/// Routes behind one edit that are looked at: more than these are of high risk anyway.
const FOLLOWERS: usize = 64;

/// Looks at every protected route that the edits may send elsewhere.
pub(super) async fn assess(world: &mut World<'_>, impact: &mut Impact) -> Result<(), ServiceError> {
    for key in redirected(world) {
        let Some(before) = route::before(world, &key).await?.filter(|seen| seen.route.is_on()) else {
            continue;
        };
        let guards: Vec<String> =
            auth::of(world.service.registry(), &before).iter().map(|guard| guard.name.to_owned()).collect();
        if guards.is_empty() {
            continue;
        }
        let Some(after) = route::after(world, &key).await? else { continue };
        let (known, wanted) = (hosts(world, &before, false).await?, hosts(world, &after, true).await?);
        let fresh: Vec<String> = wanted.difference(&known).cloned().collect();
        if fresh.is_empty() {
            continue;
        }
        let reason = format!(
            "{} is protected by {} and would send its requests, with the credentials in them, to a host that is new to it: {}",
            named(world, &before),
            guards.join(" and "),
            outward::told(fresh)
        );
        impact.warn(reason.clone());
        impact.raise(Risk::High, reason);
    }
    Ok(())
}

/// The routes that were there before and may go elsewhere: edited ones, and those that lean on what is edited.
fn redirected(world: &World<'_>) -> Vec<Key> {
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    for draft in world.drafts.iter().filter(|draft| draft.before.is_some() && draft.after.is_some()) {
        match draft.key.kind {
            Kind::Route => keys.push(draft.key.clone()),
            Kind::Service | Kind::Upstream | Kind::PluginConfig => {
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

/// The hosts that a route's requests go to: its upstream's, or its service's, and those that its plugins choose, copy to or tell of them.
async fn hosts(world: &mut World<'_>, seen: &Seen, later: bool) -> Result<BTreeSet<String>, ServiceError> {
    let mut found = BTreeSet::new();
    let mut ids = Vec::new();
    let layers = [Some(&seen.value), seen.plugin_config.as_ref(), seen.service.as_ref()];
    let chooses = |value: &Value| value.get("upstream").is_some() || value.get("upstream_id").is_some();
    if let Some(own) = [Some(&seen.value), seen.service.as_ref()].into_iter().flatten().find(|v| chooses(v)) {
        take(own, &mut found, &mut ids);
    }
    for layer in layers.into_iter().flatten() {
        each_object_in_plugins(layer, &mut |object, _| take(object, &mut found, &mut ids));
        found.extend(outward::told_of_requests(layer));
    }
    for id in ids {
        let upstream: Option<Arc<Value>> = route::at(world, &Key::new(Kind::Upstream, id), later).await?;
        if let Some(upstream) = upstream {
            nodes(&upstream, &mut found);
        }
    }
    Ok(found)
}

/// What an object names as its upstream.
fn take(object: &Value, found: &mut BTreeSet<String>, ids: &mut Vec<String>) {
    if let Some(inline) = object.get("upstream") {
        nodes(inline, found);
    }
    ids.extend(object.get("upstream_id").and_then(id_text));
}

fn nodes(upstream: &Value, found: &mut BTreeSet<String>) {
    if let Some(name) = upstream.get("service_name").and_then(Value::as_str) {
        found.insert(format!("service {name}"));
    }
    let Ok(upstream) = Upstream::from_value(upstream) else { return };
    found.extend(upstream.nodes.iter().map(|node| node.host.to_ascii_lowercase()));
}
