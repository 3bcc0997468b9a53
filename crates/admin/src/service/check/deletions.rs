//! What others still use can't be deleted.

use usher_model::kind::{Key, Kind};

use super::super::ServiceError;
use super::super::known::Mark;
use super::super::references::references;
use super::super::world::World;

/// Users that are read at most to find one that really is one.
const LOOKED_AT: usize = 16;

/// Checks that nothing uses what is deleted. Users that are edited in the same set were checked by their new values.
pub(super) async fn check(world: &mut World<'_>) -> Result<(), ServiceError> {
    let deleted: Vec<Key> = world
        .drafts
        .iter()
        .filter(|draft| {
            draft.after.is_none()
                && matches!(draft.key.kind, Kind::Service | Kind::Upstream | Kind::PluginConfig)
        })
        .map(|draft| draft.key.clone())
        .collect();
    for key in deleted {
        let mut users = world.service.look_up(|index| {
            index.holders(Mark::Uses(key.kind, &key.id), LOOKED_AT, |user| world.draft(user).is_none())
        });
        users.sort();
        for user in users {
            if let Some(sentence) = still_used(world, &key, &user).await? {
                return Err(ServiceError::StillUsed(sentence));
            }
        }
    }
    Ok(())
}

/// The sentence of the contract, where `user` really refers to `key`.
async fn still_used(world: &mut World<'_>, key: &Key, user: &Key) -> Result<Option<String>, ServiceError> {
    let Some(held) = world.stored(user).await? else { return Ok(None) };
    let found = references(user.kind, &held.value).into_iter().filter(|found| found.target == *key);
    // A reference of its own is told before one inside a plugin.
    let Some(in_plugin) = found.map(|found| found.in_plugin).min() else { return Ok(None) };
    let word = match user.kind {
        Kind::PluginConfig => "plugin_config",
        Kind::GlobalRule => "global_rules",
        other => other.word(),
    };
    let word = if in_plugin { format!("plugin in {word}") } else { word.to_owned() };
    let directly = if key.kind == Kind::Service { " directly" } else { "" };
    Ok(Some(format!(
        "can not delete this {}{directly}, {word} [{}] is still using it now",
        key.kind, user.id
    )))
}
