//! Authentication that goes away, or that no longer holds for everybody.

use serde_json::Value;
use usher_model::change::Risk;
use usher_model::kind::{Key, Kind};
use usher_pipeline::registry::Registry;

use super::super::ServiceError;
use super::super::world::World;
use super::route::{self, Seen};
use super::{Impact, is_used};

/// An auth plugin that runs, and whether it lets some in without a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    pub(super) name: String,
    open: bool,
}

/// The auth plugins among these bodies that are switched on.
pub(super) fn guards<'a>(
    registry: &Registry,
    plugins: impl IntoIterator<Item = (&'a str, &'a Value)>,
) -> Vec<Guard> {
    plugins
        .into_iter()
        .filter(|(name, body)| {
            registry.find(name).is_some_and(|spec| spec.is_auth())
                && body.pointer("/_meta/disable") != Some(&Value::Bool(true))
        })
        .map(|(name, body)| Guard {
            name: name.to_owned(),
            open: body.get("anonymous_consumer").is_some() || body.pointer("/_meta/filter").is_some(),
        })
        .collect()
}

/// What is weaker afterwards, as sentences without their subject.
pub(super) fn weaker(before: &[Guard], after: &[Guard]) -> Vec<String> {
    before
        .iter()
        .filter_map(|guard| match after.iter().find(|later| later.name == guard.name) {
            // One kind of authentication in place of another is a change, not a loss.
            None if after.iter().any(|later| !later.open) => None,
            None => Some(format!("loses its authentication by {}", guard.name)),
            Some(later) if later.open && !guard.open => {
                Some(format!("lets requests pass {} without a credential", guard.name))
            }
            Some(_) => None,
        })
        .collect()
}

/// Looks at every edit that can take authentication away.
pub(super) async fn assess(world: &mut World<'_>, impact: &mut Impact) -> Result<(), ServiceError> {
    let edited: Vec<Key> = world
        .drafts
        .iter()
        .filter(|draft| draft.before.is_some() && draft.after.is_some())
        .map(|draft| draft.key.clone())
        .collect();
    for key in edited {
        let registry = world.service.registry();
        let lost = match key.kind {
            Kind::Route => {
                let (Some(before), Some(after)) =
                    (route::before(world, &key).await?, route::after(world, &key).await?)
                else {
                    continue;
                };
                weaker(&of(registry, &before), &of(registry, &after))
            }
            Kind::Service | Kind::PluginConfig if is_used(world, &key) => {
                let (Some(before), Some(after)) = (world.stored(&key).await?, world.after(&key).await?)
                else {
                    continue;
                };
                weaker(&guards(registry, bodies(&before.value)), &guards(registry, bodies(&after)))
            }
            _ => continue,
        };
        for what in lost {
            impact.raise(Risk::High, format!("{key} {what}"));
            impact.warn(format!("{key} {what}"));
        }
    }
    Ok(())
}

/// The auth plugins that run for a route.
pub(super) fn of(registry: &Registry, seen: &Seen) -> Vec<Guard> {
    guards(registry, seen.plugins())
}

fn bodies(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let plugins = value.get("plugins").and_then(Value::as_object);
    plugins.into_iter().flatten().map(|(name, body)| (name.as_str(), body))
}
