//! Scopes: what a principal for a part of the configuration may see and change.
//!
//! What it may not see is not there for it: it can't be changed, deleted, referred to or taken away from others by force, and no sentence tells of
//! it. One thing can't be hidden: that an id, or a credential's key, is taken already. A change is judged by what was there before and by what would
//! be there after: nothing is taken out of somebody else's part, and nothing put into it.

use std::collections::HashMap;

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
pub(super) fn misfit(
    scope: &Scope,
    key: &Key,
    value: &Value,
    above: Option<(&Key, &Value)>,
) -> Option<String> {
    match above {
        Some((parent, held)) if key.kind != Kind::Route => scope.misfit(parent.kind, held, None),
        // Without the resource that it lives below, nothing says where it lies.
        None if key.kind.is_below_another() => Some("what it lives below is not there".to_owned()),
        above => scope.misfit(key.kind, value, above.map(|(_, service)| service)),
    }
}

/// Whether a change of the history may be told of, of what lives below nothing. What its service was then isn't known any more: where that would
/// decide, it may not.
fn moved_fits(scope: &Scope, key: &Key, moved: &Moved) -> bool {
    let mut values = [&moved.before, &moved.after].into_iter().flatten();
    values.all(|value| scope.misfit(key.kind, value, None).is_none())
}

/// Whether what is stored under a key may be seen. What isn't stored is hidden from nobody.
pub(super) async fn reaches(world: &mut World<'_>, key: &Key) -> Result<bool, ServiceError> {
    if world.scope.is_all() {
        return Ok(true);
    }
    let Some(held) = world.stored(key).await? else { return Ok(true) };
    let above = above(key, &held.value);
    let parent = match &above {
        Some(parent) => world.stored(parent).await?,
        None => None,
    };
    let parent = above.as_ref().zip(parent.as_ref().map(|parent| &*parent.value));
    Ok(misfit(&world.scope, key, &held.value, parent).is_none())
}

/// Refuses edits of what is stored outside the principal's scope, as if it weren't there.
pub(super) async fn guard_stored(world: &mut World<'_>, who: &Principal) -> Result<(), ServiceError> {
    if world.scope.is_all() {
        return Ok(());
    }
    let edited: Vec<(Key, bool)> =
        world.drafts.iter().map(|draft| (draft.key.clone(), draft.after.is_some())).collect();
    for (key, is_put) in edited {
        if is_put {
            // Whether one of these is there already makes no difference.
            refuse(who, &key, world.scope.misfit_of_kind(key.kind))?;
            if key.kind == Kind::Secret {
                return Err(beyond_scopes(&key, SAYS_WHERE, OUTSIDE));
            }
        }
        if reaches(world, &key).await? {
            continue;
        }
        if !is_put {
            return Err(ServiceError::NotFound(key));
        }
        return Err(ServiceError::Forbidden(format!(
            "{key} can't be put by {} ({}): that id is taken; choose another, or ask somebody with a wider scope",
            plain(&who.name),
            plain(&who.scope.to_string())
        )));
    }
    Ok(())
}

/// Refuses values that would lie outside the principal's scope, once they are known to be good.
pub(super) async fn guard_wanted(world: &mut World<'_>, who: &Principal) -> Result<(), ServiceError> {
    guard_secrets(world, who)?;
    if world.scope.is_all() {
        return Ok(());
    }
    let put: Vec<_> =
        world.drafts.iter().filter_map(|draft| Some((draft.key.clone(), draft.after.clone()?))).collect();
    for (key, value) in put {
        let above = above(&key, &value);
        let held = match &above {
            Some(parent) => world.lean_on(parent).await?,
            None => None,
        };
        refuse(who, &key, misfit(&who.scope, &key, &value, above.as_ref().zip(held.as_deref())))?;
    }
    Ok(())
}

const SAYS_WHERE: &str = "says where secrets are looked up";
const OUTSIDE: &str = "that lies outside every scope";

fn beyond_scopes(key: &Key, about: &str, why: &str) -> ServiceError {
    ServiceError::Forbidden(format!(
        "{key} {about}, and {why}; give the secret itself, or ask somebody with an admin key"
    ))
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
            SAYS_WHERE
        } else if !fresh_references(before, value).is_empty() {
            "would read a secret that is kept elsewhere"
        } else {
            continue;
        };
        return Err(beyond_scopes(
            &draft.key,
            about,
            if keyless { "this door asks for no key" } else { OUTSIDE },
        ));
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
    /// Which changes of one entry of the history, or of one plan's entries from `oldest` on, a scope shows.
    ///
    /// What lives below another lies where that one does. Its consumer of today decides only where it was there already then: a namesake that came
    /// later must not get the credentials of the one before.
    pub(super) async fn shown_moves(
        &self,
        scope: &Scope,
        changes: &[Moved],
        oldest: u64,
    ) -> Result<Vec<bool>, ServiceError> {
        if scope.is_all() {
            return Ok(vec![true; changes.len()]);
        }
        let by_key: HashMap<&str, &Moved> = changes.iter().map(|moved| (moved.key.as_str(), moved)).collect();
        let mut shown = Vec::with_capacity(changes.len());
        for moved in changes {
            let Some(key) = moved.key() else {
                shown.push(false);
                continue;
            };
            let fits = match key.parent() {
                None => moved_fits(scope, &key, moved),
                Some(above) => match by_key.get(above.path().as_str()) {
                    Some(with_it) => moved_fits(scope, &above, with_it),
                    None => self.held(&above).await?.is_some_and(|held| {
                        held.created < oldest && scope.misfit(above.kind, &held.value, None).is_none()
                    }),
                },
            };
            shown.push(fits);
        }
        Ok(shown)
    }

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
