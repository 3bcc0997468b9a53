//! Scopes: what a principal for a part of the configuration may see and change.
//!
//! What it may not see is not there for it. A change is judged by what was there before and by what would be there after: nothing is taken out of
//! somebody else's part, and nothing put into it.

use serde_json::Value;
use usher_model::change::{Door, Principal};
use usher_model::kind::{Key, Kind};
use usher_model::scope::Scope;

use super::escape::plain;
use super::impact::fresh_references;
use super::journal::Moved;
use super::references::id_text;
use super::world::World;
use super::{Service, ServiceError};

/// The resource that decides, beside its own value, where this one lies: of a credential its consumer, of a route its service.
fn above(key: &Key, value: &Value) -> Option<Key> {
    match key.kind {
        Kind::Route => value.get("service_id").and_then(id_text).map(|id| Key::new(Kind::Service, id)),
        _ => key.parent(),
    }
}

/// Why a resource lies outside, where the one above it is known.
fn misfit(scope: &Scope, key: &Key, value: &Value, above: Option<(&Key, &Value)>) -> Option<String> {
    match above {
        Some((parent, held)) if key.kind != Kind::Route => scope.misfit(parent.kind, held, None),
        // Without the resource that it lives below, nothing says where it lies.
        None if key.kind.is_below_another() => Some("what it lives below is not there".to_owned()),
        above => scope.misfit(key.kind, value, above.map(|(_, service)| service)),
    }
}

/// Whether a change of the history may be told of. What its service or consumer was then isn't known any more: where that would decide, it may not.
pub(super) fn moved_fits(scope: &Scope, moved: &Moved) -> bool {
    if scope.is_all() {
        return true;
    }
    let Some(key) = moved.key() else { return false };
    let mut values = [&moved.before, &moved.after].into_iter().flatten();
    values.all(|value| scope.misfit(key.kind, value, None).is_none())
}

/// Refuses a set of edits that reaches beyond the principal's scope.
pub(super) async fn guard(world: &mut World<'_>, who: &Principal) -> Result<(), ServiceError> {
    guard_secrets(world, who)?;
    if who.scope.is_all() {
        return Ok(());
    }
    let drafts: Vec<_> = world
        .drafts
        .iter()
        .map(|draft| {
            let before = draft.before.as_ref().map(|held| std::sync::Arc::clone(&held.value));
            (draft.key.clone(), before, draft.after.clone())
        })
        .collect();
    for (key, before, after) in drafts {
        if let Some(value) = before {
            let above = above(&key, &value);
            let held = match &above {
                Some(parent) => world.stored(parent).await?.map(|held| std::sync::Arc::clone(&held.value)),
                None => None,
            };
            refuse(who, &key, misfit(&who.scope, &key, &value, above.as_ref().zip(held.as_deref())))?;
        }
        if let Some(value) = after {
            let above = above(&key, &value);
            let held = match &above {
                Some(parent) => world.lean_on(parent).await?,
                None => None,
            };
            refuse(who, &key, misfit(&who.scope, &key, &value, above.as_ref().zip(held.as_deref())))?;
        }
    }
    Ok(())
}

/// What is kept elsewhere belongs to no scope, and a door that asks for no key gives nobody a right to have it read.
fn guard_secrets(world: &World<'_>, who: &Principal) -> Result<(), ServiceError> {
    let keyless = who.door == Door::Plugin;
    if who.scope.is_all() && !keyless {
        return Ok(());
    }
    for draft in &world.drafts {
        let Some(value) = &draft.after else { continue };
        let before = draft.before.as_ref().map(|held| &*held.value);
        let about = if draft.key.kind == Kind::Secret {
            "says where secrets are looked up"
        } else if !fresh_references(before, value).is_empty() {
            "would read a secret that is kept elsewhere"
        } else {
            continue;
        };
        let why = if keyless { "this door asks for no key" } else { "that lies outside every scope" };
        return Err(ServiceError::Forbidden(format!(
            "{} {about}, and {why}; give the secret itself, or ask somebody with an admin key",
            draft.key
        )));
    }
    Ok(())
}

fn refuse(who: &Principal, key: &Key, why: Option<String>) -> Result<(), ServiceError> {
    match why {
        None => Ok(()),
        Some(why) => Err(ServiceError::Forbidden(format!(
            "{key} lies outside the scope of {} ({}): {}; change what lies inside it, or ask somebody with a wider scope",
            plain(&who.name),
            plain(&who.scope.to_string()),
            plain(&why)
        ))),
    }
}

/// Who meets a change, as far as the principal may know: routes of others are counted, not named.
pub(super) fn affected(world: &World<'_>, who: &Principal, lines: Vec<String>) -> Vec<String> {
    if who.scope.is_all() {
        return lines;
    }
    let own: Vec<String> =
        world.drafts.iter().map(|draft| format!("{}:", plain(&draft.key.to_string()))).collect();
    let (mut told, others): (Vec<String>, Vec<String>) =
        lines.into_iter().partition(|line| own.iter().any(|own| line.starts_with(own.as_str())));
    if !others.is_empty() {
        told.push("routes outside your scope too".to_owned());
    }
    told
}

impl Service {
    /// Whether this principal may see a resource.
    pub(super) async fn may_see(
        &self,
        who: &Principal,
        key: &Key,
        value: &Value,
    ) -> Result<bool, ServiceError> {
        if who.scope.is_all() {
            return Ok(true);
        }
        let above = above(key, value);
        let held = match &above {
            Some(parent) => self.held(parent).await?,
            None => None,
        };
        let held = held.as_ref().map(|held| &*held.value);
        Ok(misfit(&who.scope, key, value, above.as_ref().zip(held)).is_none())
    }
}
