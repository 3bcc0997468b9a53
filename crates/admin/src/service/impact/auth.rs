//! Protection that goes away from a resource, or that no longer holds for everybody.

use std::sync::Arc;

use serde_json::Value;
use usher_model::change::Risk;
use usher_model::kind::{Key, Kind};
use usher_pipeline::registry::Registry;

use super::super::ServiceError;
use super::super::world::{Held, World};
use super::guard::{Guard, guards, weaker};
use super::route::{self, Seen};
use super::{Impact, is_used};

/// A resource that was there before, and what becomes of it.
type Edited = (Key, Arc<Held>, Option<Arc<Value>>);

/// Looks at every edit that can take protection away.
pub(super) async fn assess(world: &mut World<'_>, impact: &mut Impact) -> Result<(), ServiceError> {
    let edited: Vec<Edited> = world
        .drafts
        .iter()
        .filter_map(|draft| Some((draft.key.clone(), draft.before.clone()?, draft.after.clone())))
        .collect();
    for (key, before, after) in edited {
        for what in lost(world, &key, &before.value, after.as_deref()).await? {
            impact.raise(Risk::High, format!("{key} {what}"));
            impact.warn(format!("{key} {what}"));
        }
    }
    Ok(())
}

async fn lost(
    world: &mut World<'_>,
    key: &Key,
    before: &Value,
    after: Option<&Value>,
) -> Result<Vec<String>, ServiceError> {
    let registry = world.service.registry();
    let (old, new) = (guards(registry, bodies(before)), guards(registry, after.into_iter().flat_map(bodies)));
    Ok(match (key.kind, after) {
        (Kind::Route, Some(_)) => {
            let (Some(before), Some(after)) =
                (route::before(world, key).await?, route::after(world, key).await?)
            else {
                return Ok(Vec::new());
            };
            let registry = world.service.registry();
            weaker(&of(registry, &before), &of(registry, &after))
        }
        (Kind::Service | Kind::PluginConfig, Some(_)) if is_used(world, key) => weaker(&old, &new),
        (Kind::GlobalRule, _) => weaker(&old, &new),
        (Kind::Consumer | Kind::ConsumerGroup, Some(_)) => {
            // What authenticates stands on a consumer as its credential: without that it comes in no more.
            let old: Vec<Guard<'_>> = old.into_iter().filter(|guard| !guard.authenticates()).collect();
            weaker(&old, &new)
        }
        _ => Vec::new(),
    })
}

/// The guards that run for a route.
pub(super) fn of<'s>(registry: &Registry, seen: &'s Seen) -> Vec<Guard<'s>> {
    guards(registry, seen.plugins())
}

fn bodies(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let plugins = value.get("plugins").and_then(Value::as_object);
    plugins.into_iter().flatten().map(|(name, body)| (name.as_str(), body))
}
