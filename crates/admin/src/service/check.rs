//! Checks a set of edits as a whole, against the state after all of them.
//!
//! Nothing is written here, and nothing is looked at that the edits don't touch, refer to or collide with: a check costs what the edit
//! touches, not what the table holds.

mod alone;
mod calls;
mod collect;
mod deletions;
mod duplicates;
mod ends;
mod nodes;
mod object;
mod refer;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use usher_model::change::Principal;
use usher_model::kind::Key;
use usher_model::schema::Near;

pub(super) use alone::as_stored;
pub(super) use nodes::refused as refused_node;

use super::wish::{Aim, Wish};
use super::world::World;
use super::{Service, ServiceError, scoped};

impl Service {
    /// The state after these edits, where everything about them is in order, and within reach of who wishes it. The wish's own are not looked at.
    pub(super) fn check<'s: 'a, 'a>(
        &'s self,
        who: &'a Principal,
        wish: &'a Wish,
        edits: Vec<Aim>,
    ) -> BoxFuture<'a, Result<World<'s>, ServiceError>> {
        Box::pin(async move {
            let head = self.head().await?;
            self.up_to(&head).await?;
            // The revision is taken before the index is brought up to it, so that a change in between is noticed.
            let mut world = World::new(self, head, who.scope.clone());
            self.catch_up().await?;
            collect::edits(&mut world, wish, edits).await?;
            collect::expectations(&mut world, wish).await?;
            // Before anything is said of an object, so that no later sentence tells of one that lies outside.
            scoped::guard_stored(&mut world, who).await?;
            for draft in &mut world.drafts {
                if let Some(wanted) = draft.after.take() {
                    let wanted = Arc::unwrap_or_clone(wanted);
                    let checked = object::check(self, wish, &draft.key, draft.before.as_deref(), wanted)?;
                    draft.after = Some(Arc::new(checked));
                }
            }
            refer::check(&mut world, wish.restores).await?;
            scoped::guard_wanted(&mut world, who).await?;
            duplicates::check(&mut world).await?;
            ends::check(&mut world, wish).await?;
            deletions::check(&mut world, wish.force).await?;
            Ok(world)
        })
    }
}

fn invalid(sentence: impl Into<String>, key: &Key, pointer: impl Into<String>) -> ServiceError {
    ServiceError::Invalid {
        sentence: sentence.into(),
        key: Some(key.clone()),
        pointer: pointer.into(),
        near: None,
    }
}

/// The same with the field that is nearest to the fault, below `pointer`.
fn invalid_near(sentence: String, key: &Key, pointer: String, below: &str, near: Near) -> ServiceError {
    let near = Near { pointer: format!("{below}{}", near.pointer), ..near };
    ServiceError::Invalid { sentence, key: Some(key.clone()), pointer, near: Some(Box::new(near)) }
}
