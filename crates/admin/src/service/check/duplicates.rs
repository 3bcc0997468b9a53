//! What may exist only once: a credential's unique attribute over all consumers, a plugin over all global rules, a field's cost in a service.

use std::collections::HashMap;

use serde_json::Value;
use usher_model::kind::{Key, Kind, PREFIX};
use usher_pipeline::registry::Registry;

use super::super::known::{Mark, credentials};
use super::super::references::{own_id, plugin_pointer};
use super::super::world::World;
use super::super::{ServiceError, scoped};
use super::invalid;

/// Holders that are read at most: more than one is a hash's coincidence.
const LOOKED_AT: usize = 16;

/// Checks all of them.
pub(super) async fn check(world: &mut World<'_>) -> Result<(), ServiceError> {
    unique_credentials(world).await?;
    unique_global_plugins(world).await?;
    unique_field_paths(world).await
}

/// A field of one service's GraphQL schema has one cost.
async fn unique_field_paths(world: &mut World<'_>) -> Result<(), ServiceError> {
    let edited = world.drafts.iter().filter(|draft| draft.after.is_some()).map(|draft| &draft.key);
    let mut services: Vec<Key> =
        edited.filter(|key| key.kind == Kind::CostDecoration).filter_map(Key::parent).collect();
    services.sort();
    services.dedup();
    for service in services {
        let prefix = Key::cost_decoration(&service.id, "").path();
        let mut decorations = world.keys_below(&prefix, Kind::CostDecoration).await?;
        // What stays is told as the holder, what is edited as the one to blame.
        decorations.sort_by_key(|key| world.draft(key).is_some());
        let mut holders: HashMap<String, Key> = HashMap::new();
        for key in decorations {
            let Some(value) = world.after(&key).await? else { continue };
            let Some(path) = value.get("field_path").and_then(Value::as_str) else { continue };
            if let Some(other) = holders.insert(path.to_owned(), key.clone()) {
                let id = other.own_id();
                let sentence = format!("field_path {path} is already decorated on this service by [{id}]");
                return Err(invalid(sentence, &key, "/field_path"));
            }
        }
    }
    Ok(())
}

async fn unique_credentials(world: &mut World<'_>) -> Result<(), ServiceError> {
    let registry = world.service.registry();
    let mut given: HashMap<(String, String), Key> = HashMap::new();
    let mut wanted = Vec::new();
    for draft in
        world.drafts.iter().filter(|draft| matches!(draft.key.kind, Kind::Consumer | Kind::Credential))
    {
        for credential in draft.after.iter().flat_map(|value| credentials(registry, value)) {
            wanted.push((draft.key.clone(), credential));
        }
    }
    for (key, credential) in wanted {
        if let Some(other) = given.get(&credential) {
            return Err(duplicate(registry, &key, &credential.0, Some(other)));
        }
        let holders = world.service.look_up(|index| {
            let mark = Mark::Credential(&credential.0, &credential.1);
            index.holders(mark, LOOKED_AT, |holder| world.draft(holder).is_none())
        });
        for holder in holders {
            let Some(held) = world.stored(&holder).await? else { continue };
            let mut value = Value::clone(&held.value);
            world.service.vault.open(&holder, &mut value);
            if credentials(registry, &value).contains(&credential) {
                let told = scoped::reaches(world, &holder).await?;
                return Err(duplicate(registry, &key, &credential.0, told.then_some(&holder)));
            }
        }
        given.insert(credential, key);
    }
    Ok(())
}

/// The sentence of APISIX, with the attribute that is there twice; it names the holder, where the principal may see that one, and never the key itself.
fn duplicate(registry: &Registry, key: &Key, plugin: &str, holder: Option<&Key>) -> ServiceError {
    let whose = holder.map_or_else(String::new, |holder| {
        let consumer = holder.consumer().unwrap_or_default();
        match own_id(holder) {
            Some(id) => format!(" with credential: {id} of consumer: {consumer}"),
            None => format!(" with consumer: {consumer}"),
        }
    });
    let attribute = registry.unique_attribute(plugin).unwrap_or("key");
    invalid(format!("duplicate {attribute} of plugin {plugin} found{whose}"), key, plugin_pointer(plugin))
}

async fn unique_global_plugins(world: &mut World<'_>) -> Result<(), ServiceError> {
    if !world.drafts.iter().any(|draft| draft.key.kind == Kind::GlobalRule && draft.after.is_some()) {
        return Ok(());
    }
    let prefix = format!("{PREFIX}/{}/", Kind::GlobalRule.collection());
    let mut rules = world.keys_below(&prefix, Kind::GlobalRule).await?;
    // What stays is told as the holder, what is edited as the one to blame.
    rules.sort_by_key(|key| world.draft(key).is_some());
    let mut holders: HashMap<String, Key> = HashMap::new();
    for key in rules {
        let Some(value) = world.after(&key).await? else { continue };
        for plugin in value.get("plugins").and_then(Value::as_object).into_iter().flat_map(|all| all.keys()) {
            if let Some(other) = holders.insert(plugin.clone(), key.clone()) {
                let sentence =
                    format!("plugin '{plugin}' already exists in global rule with id '{}'", other.id);
                return Err(invalid(sentence, &key, plugin_pointer(plugin)));
            }
        }
    }
    Ok(())
}
