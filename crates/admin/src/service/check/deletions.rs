//! What others still use can't be deleted, nor turned into what they can't use.

use serde_json::Value;
use usher_model::kind::{Key, Kind};

use super::super::known::Mark;
use super::super::references::references;
use super::super::world::World;
use super::super::{ServiceError, scoped};

/// Users that are read at most to find one that really is one.
const LOOKED_AT: usize = 16;

/// What can be referred to and doesn't go while it is. A secret manager does: who refers to it is told in the plan.
const PROTECTED: [Kind; 7] = [
    Kind::Service,
    Kind::Upstream,
    Kind::PluginConfig,
    Kind::ConsumerGroup,
    Kind::Ssl,
    Kind::Proto,
    Kind::StreamRoute,
];

/// Checks that nothing uses what is deleted. Users that are edited in the same set were checked by their new values. By force it goes from under
/// users that the principal may see, and from under nobody else's.
pub(super) async fn check(world: &mut World<'_>, force: bool) -> Result<(), ServiceError> {
    let everything = world.scope.is_all();
    if force && everything {
        return Ok(());
    }
    // Whose they are is known only once they are read: any number of own users may stand before somebody else's.
    let looked_at = if everything { LOOKED_AT } else { usize::MAX };
    let leaving: Vec<(Key, Leaves)> = world
        .drafts
        .iter()
        .filter_map(|draft| {
            let how = match &draft.after {
                None if PROTECTED.contains(&draft.key.kind) => Leaves::Deleted,
                Some(after) if draft.key.kind == Kind::Ssl && is_of_client(&draft.before.as_ref()?.value) => {
                    (!is_of_client(after)).then_some(Leaves::Turned)?
                }
                _ => return None,
            };
            Some((draft.key.clone(), how))
        })
        .collect();
    for (key, how) in leaving {
        let mut users = world.service.look_up(|index| {
            index.holders(Mark::Uses(key.kind, &key.id), looked_at, |user| world.draft(user).is_none())
        });
        users.sort();
        for user in users {
            let Some(in_plugin) = still_used(world, &key, &user).await? else { continue };
            if !scoped::reaches(world, &user).await? {
                return Err(ServiceError::StillUsed(match how {
                    Leaves::Deleted => foreign(key.kind),
                    Leaves::Turned => turned("something outside your scope"),
                }));
            }
            if !force {
                return Err(ServiceError::StillUsed(match how {
                    Leaves::Deleted => sentence(key.kind, &user, in_plugin),
                    Leaves::Turned => turned(&format!("{} [{}]", user.kind.word(), user.id)),
                }));
            }
        }
    }
    Ok(())
}

/// How something goes from under its users.
#[derive(Clone, Copy)]
enum Leaves {
    Deleted,
    /// A certificate for upstreams becomes one for clients.
    Turned,
}

fn is_of_client(ssl: &Value) -> bool {
    ssl.get("type").and_then(Value::as_str) == Some("client")
}

fn turned(user: &str) -> String {
    format!(
        "can not change the type of this ssl from client, {user} is still using it as its client certificate; name another one in its tls.client_cert_id first"
    )
}

/// Whether `user` really refers to `key`, and then whether only from inside a plugin.
async fn still_used(world: &mut World<'_>, key: &Key, user: &Key) -> Result<Option<bool>, ServiceError> {
    let Some(held) = world.stored(user).await? else { return Ok(None) };
    let found = references(user.kind, &held.value).into_iter().filter(|found| found.target == *key);
    // A reference of its own is told before one inside a plugin.
    Ok(found.map(|found| found.in_plugin).min())
}

/// The sentence about a user that lies outside the principal's scope.
fn foreign(deleted: Kind) -> String {
    format!("can not delete this {deleted}, something outside your scope is still using it now")
}

fn sentence(deleted: Kind, user: &Key, in_plugin: bool) -> String {
    let word = match (user.kind, in_plugin) {
        (Kind::PluginConfig, _) => "plugin_config",
        (Kind::GlobalRule, _) => "global_rules",
        (Kind::ConsumerGroup, true) => "consumer_group",
        (Kind::StreamRoute, _) if deleted != Kind::StreamRoute => "stream_route",
        (other, _) => other.word(),
    };
    let place = if in_plugin && deleted != Kind::Proto { "plugin in " } else { "" };
    let directly = if matches!(deleted, Kind::Service | Kind::StreamRoute) { " directly" } else { "" };
    let how = if deleted == Kind::StreamRoute { "as superior_id" } else { "now" };
    format!("can not delete this {deleted}{directly}, {place}{word} [{}] is still using it {how}", user.id)
}
