//! Credentials that come to a consumer that is there already: whoever has one comes in as that consumer, with all that it may do.

use serde_json::{Map, Value};
use usher_model::change::Risk;
use usher_model::kind::{Key, Kind};

use super::super::escape::plain;
use super::super::world::World;
use super::Impact;

/// Looks at every edit that gives a known consumer a credential, or changes one.
pub(super) fn assess(world: &World<'_>, impact: &mut Impact) {
    for draft in &world.drafts {
        let key = &draft.key;
        let Some(after) = &draft.after else { continue };
        let (Kind::Consumer | Kind::Credential) = key.kind else { continue };
        if !is_known(world, key) {
            continue;
        }
        // Masks are the same exactly where secrets are.
        let vault = &world.service.vault;
        let before = draft.before.as_ref().map(|held| vault.masked(key, &held.value));
        let after = vault.masked(key, after);
        let names = fresh(world, before.as_ref(), &after);
        if let (Some(name), false) = (key.consumer(), names.is_empty()) {
            impact.raise(
                Risk::High,
                format!(
                    "consumer {} gets another credential by {}: whoever has it comes in as that consumer",
                    plain(name),
                    names.join(" and ")
                ),
            );
        }
    }
}

/// Whether the consumer was there before the change.
fn is_known(world: &World<'_>, key: &Key) -> bool {
    let consumer = if key.kind == Kind::Credential { key.parent() } else { Some(key.clone()) };
    // One that no edit touches is there, or the credential would have nothing to live below.
    consumer.is_some_and(|consumer| world.draft(&consumer).is_none_or(|draft| draft.before.is_some()))
}

/// The auth plugins whose body is new or another.
fn fresh(world: &World<'_>, before: Option<&Value>, after: &Value) -> Vec<String> {
    let registry = world.service.registry();
    let plugins =
        |value: &Value| value.get("plugins").and_then(Value::as_object).cloned().unwrap_or_default();
    let known: Map<String, Value> = before.map(plugins).unwrap_or_default();
    plugins(after)
        .into_iter()
        .filter(|(name, body)| {
            registry.find(name).is_some_and(|spec| spec.is_auth()) && known.get(name) != Some(body)
        })
        .map(|(name, _)| name)
        .collect()
}
