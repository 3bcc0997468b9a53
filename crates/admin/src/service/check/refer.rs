//! What a resource refers to has to be there after the change.

use usher_model::kind::{Key, Kind};

use super::super::ServiceError;
use super::super::references::{id_text, references};
use super::super::world::World;
use super::invalid;

/// Checks the references of everything that is put.
pub(super) async fn check(world: &mut World<'_>) -> Result<(), ServiceError> {
    let put: Vec<_> =
        world.drafts.iter().filter_map(|draft| Some((draft.key.clone(), draft.after.clone()?))).collect();
    for (key, value) in put {
        if key.kind == Kind::Credential
            && let Some(name) = key.consumer()
        {
            let consumer = Key::new(Kind::Consumer, name);
            if world.lean_on(&consumer).await?.is_none() {
                return Err(ServiceError::NotFound(consumer));
            }
        }
        if let Some(group) = value.get("group_id").and_then(id_text) {
            let sentence = format!(
                "failed to fetch consumer group info by consumer group id [{group}], response code: 404; \
                 consumer groups are not served by this version of Usher: put their plugins on the consumer"
            );
            return Err(invalid(sentence, &key, "/group_id"));
        }
        for reference in references(key.kind, &value) {
            let target = &reference.target;
            if world.lean_on(target).await?.is_none() {
                let (word, id) = (target.kind.word(), &target.id);
                let sentence = format!("failed to fetch {word} info by {word} id [{id}], response code: 404");
                return Err(invalid(sentence, &key, reference.pointer));
            }
        }
    }
    Ok(())
}
