//! Lays a wish's edits over what is stored, and adds what follows from them.

use std::sync::Arc;

use usher_model::kind::{Key, Kind};

use super::super::ServiceError;
use super::super::wish::Wish;
use super::super::world::{Draft, World};
use super::invalid;

/// The most edits in one set.
const MOST_EDITS: usize = 10_000;

/// The sentence of the schema, for ids that never get that far.
const WRONG_ID: &str =
    "invalid configuration: property \"id\" validation failed: object matches none of the required";

/// Takes up the edits.
pub(super) async fn edits(world: &mut World<'_>, wish: &Wish) -> Result<(), ServiceError> {
    let refused =
        |sentence: String| Err(ServiceError::Invalid { sentence, key: None, pointer: String::new() });
    if wish.edits.is_empty() {
        return refused("there is nothing to change: give at least one edit".to_owned());
    }
    if wish.edits.len() > MOST_EDITS {
        let count = wish.edits.len();
        return refused(format!(
            "{count} edits are too many for one change: at most {MOST_EDITS} are taken, split it"
        ));
    }
    for edit in &wish.edits {
        // A key whose path spells another kind, or none, would be written where nobody looks for it.
        if Key::parse(&edit.key.path()).as_ref() != Some(&edit.key) {
            return Err(match edit.after {
                Some(_) => invalid(WRONG_ID, &edit.key, "/id"),
                None => ServiceError::NotFound(edit.key.clone()),
            });
        }
        let before = world.stored(&edit.key).await?;
        if before.is_none() && edit.after.is_none() {
            return Err(ServiceError::NotFound(edit.key.clone()));
        }
        let sealed = if wish.trusted { edit.after.clone() } else { None };
        let after = edit.after.clone().map(Arc::new);
        world.add(Draft { key: edit.key.clone(), before, after, sealed });
    }
    for edit in wish.edits.iter().filter(|edit| edit.key.kind == Kind::Consumer && edit.after.is_none()) {
        take_credentials_along(world, &edit.key).await?;
    }
    Ok(())
}

/// A consumer that goes takes its credentials along.
async fn take_credentials_along(world: &mut World<'_>, consumer: &Key) -> Result<(), ServiceError> {
    if world.draft(consumer).is_some_and(|draft| draft.after.is_some()) {
        return Ok(());
    }
    let prefix = format!("{}/credentials/", consumer.path());
    for key in world.keys_below(&prefix, Kind::Credential).await? {
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
