//! Nothing outlives what it refers to: a time to live must not leave anything behind without what it needs.
//!
//! APISIX takes any `ttl`, and an object that others use is gone one day; what is exported then can't be imported any more.

use std::sync::Arc;

use serde_json::Value;
use usher_model::kind::Key;

use super::super::known::Mark;
use super::super::references::{managers, references};
use super::super::wish::Wish;
use super::super::world::World;
use super::super::{ServiceError, ends, unix_ms};
use super::invalid;

/// Checks everything that is put.
pub(super) async fn check(world: &mut World<'_>, wish: &Wish) -> Result<(), ServiceError> {
    if wish.ttl_secs.is_none() && !world.service.has_ends() {
        return Ok(());
    }
    let own = wish.ttl_secs.map(ends::after);
    let put: Vec<(Key, Arc<Value>)> =
        world.drafts.iter().filter_map(|draft| Some((draft.key.clone(), draft.after.clone()?))).collect();
    for (key, value) in &put {
        for (target, pointer) in leans_on(key, value) {
            let Some(end) = stored_end(world, &target).await? else { continue };
            if own.is_none_or(|own| own > end) {
                let left = end.saturating_sub(unix_ms()) / 1000;
                return Err(invalid(
                    format!(
                        "{key} refers to {target}, which ends by itself in {left} seconds, and would be left without it; put {target} \
                         without a ttl first, or give {key} a ttl of at most {left}"
                    ),
                    key,
                    pointer,
                ));
            }
        }
    }
    let Some(own) = own else { return Ok(()) };
    for (key, _) in &put {
        // Whoever is in the same set ends at the same moment, or is deleted by it.
        let users = world.service.look_up(|index| {
            index.holders(Mark::Uses(key.kind, &key.id), usize::MAX, |user| world.draft(user).is_none())
        });
        for user in users {
            let Some(held) = world.stored(&user).await? else { continue };
            let stays = stored_end(world, &user).await?.is_none_or(|end| end > own);
            if stays && leans_on(&user, &held.value).iter().any(|(target, _)| target == key) {
                return Err(invalid(
                    format!(
                        "ttl is refused: {user} uses {key} and stays longer, so that it would be left without it; leave the ttl out, or \
                         give {user} one that ends no later"
                    ),
                    key,
                    "",
                ));
            }
        }
    }
    Ok(())
}

/// What a resource refers to, with the place of the reference. What it lives below is not among them: it goes with that.
fn leans_on(key: &Key, value: &Value) -> Vec<(Key, String)> {
    let references = references(key.kind, value).into_iter().map(|found| (found.target, found.pointer));
    references.chain(managers(value)).filter(|(target, _)| target != key).collect()
}

/// When something that isn't put by this set ends.
async fn stored_end(world: &mut World<'_>, key: &Key) -> Result<Option<u64>, ServiceError> {
    if world.draft(key).is_some() {
        return Ok(None);
    }
    let held = world.stored(key).await?;
    Ok(held.and_then(|held| world.service.ends_at(key, held.modified)))
}
