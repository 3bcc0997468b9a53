//! Lays a wish's edits over what is stored, and adds what follows from them.

use usher_model::kind::{Key, Kind, SECRET_MANAGERS};

use super::super::wish::{Aim, Wish};
use super::super::world::{Draft, World};
use super::super::{ServiceError, scoped};
use super::invalid;

/// The most edits in one set.
const MOST_EDITS: usize = 200_000;

/// The sentence of the schema, for ids that never get that far.
const WRONG_ID: &str =
    "invalid configuration: property \"id\" validation failed: object matches none of the required";

/// Takes up the edits.
pub(super) async fn edits(world: &mut World<'_>, wish: &Wish, edits: Vec<Aim>) -> Result<(), ServiceError> {
    let refused = |sentence: String| {
        Err(ServiceError::Invalid { sentence, key: None, pointer: String::new(), near: None })
    };
    if edits.is_empty() {
        return refused("there is nothing to change: give at least one edit".to_owned());
    }
    if edits.len() > MOST_EDITS {
        let count = edits.len();
        return refused(format!(
            "{count} edits are too many for one change: at most {MOST_EDITS} are taken, split it"
        ));
    }
    for edit in edits {
        // A key whose path spells another kind, or none, would be written where nobody looks for it.
        if Key::parse(&edit.key.path()).as_ref() != Some(&edit.key) {
            return Err(match edit.after {
                Some(_) => invalid(wrong_id(&edit.key), &edit.key, "/id"),
                None => ServiceError::NotFound(edit.key.clone()),
            });
        }
        let before = world.stored(&edit.key).await?;
        if before.is_none() && edit.after.is_none() {
            return Err(ServiceError::NotFound(edit.key.clone()));
        }
        let sealed = if wish.trusted { edit.after.clone() } else { None };
        world.add(Draft { key: edit.key, before, after: edit.after, sealed });
    }
    let keys: Vec<Key> = world.drafts.iter().map(|draft| draft.key.clone()).collect();
    for key in keys {
        match world.draft(&key) {
            Some(Draft { after: None, .. }) => delete_below(world, &key).await?,
            _ => begin_without(world, &key).await?,
        }
    }
    Ok(())
}

/// The sentence about an id that makes no key.
fn wrong_id(key: &Key) -> String {
    let manager = key.id.split('/').next().unwrap_or_default();
    if key.kind == Kind::Secret && !SECRET_MANAGERS.contains(&manager) {
        return format!("invalid secret manager: {manager}");
    }
    WRONG_ID.to_owned()
}

/// What was left behind below a resource that is gone, by another program or because it ended by itself, doesn't come back to life with a new one
/// of its name.
async fn begin_without(world: &mut World<'_>, above: &Key) -> Result<(), ServiceError> {
    let is_new = world.draft(above).is_some_and(|draft| draft.before.is_none() && draft.after.is_some());
    if is_new && world.service.look_up(|index| index.has_below(above)) {
        delete_below(world, above).await?;
    }
    Ok(())
}

/// What lives below a resource goes with it: a consumer's credentials, a service's cost decorations.
async fn delete_below(world: &mut World<'_>, above: &Key) -> Result<(), ServiceError> {
    let Some((prefix, kind)) = above.below() else { return Ok(()) };
    for key in world.keys_below(&prefix, kind).await? {
        if world.draft(&key).is_none() {
            let before = world.stored(&key).await?;
            world.add(Draft { key, before, after: None, sealed: None });
        }
    }
    Ok(())
}

/// Compares what the caller saw with what is there.
pub(super) async fn expectations(world: &mut World<'_>, wish: &Wish) -> Result<(), ServiceError> {
    for (key, expected) in &wish.expect {
        world.lean_on(key).await?;
        let found = world.stored(key).await?.map(|held| held.modified);
        // What lies outside the principal's scope is not there for it; only its place is taken.
        let hidden = found.is_some() && !scoped::reaches(world, key).await?;
        if hidden && expected.is_none() {
            return Err(ServiceError::Conflict(format!(
                "{key} can't be made: that id is taken; choose another"
            )));
        }
        let found = found.filter(|_| !hidden);
        if found != *expected {
            let told = |revision: Option<u64>| {
                revision
                    .map_or_else(|| "it to be absent".to_owned(), |revision| format!("revision {revision}"))
            };
            let state = found.map_or_else(
                || "is not there any more".to_owned(),
                |found| {
                    if expected.is_none() {
                        format!("was made by revision {found}")
                    } else {
                        format!("was changed by revision {found}")
                    }
                },
            );
            return Err(ServiceError::Conflict(format!(
                "{key} {state}, but the change expects {}; read it again and repeat the change",
                told(*expected)
            )));
        }
    }
    Ok(())
}
