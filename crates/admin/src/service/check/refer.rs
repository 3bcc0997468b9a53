//! What a resource refers to has to be there after the change.

use serde_json::Value;
use usher_model::kind::{Key, Kind};

use super::super::references::{Reference, references};
use super::super::world::World;
use super::super::{ServiceError, scoped};
use super::invalid;

/// Checks the references of everything that is put.
pub(super) async fn check(world: &mut World<'_>, restores: bool) -> Result<(), ServiceError> {
    let put: Vec<_> =
        world.drafts.iter().filter_map(|draft| Some((draft.key.clone(), draft.after.clone()?))).collect();
    for (key, value) in put {
        if let Some(above) = key.parent()
            && (world.lean_on(&above).await?.is_none() || !scoped::reaches(world, &above).await?)
        {
            return Err(ServiceError::NotFound(above));
        }
        for reference in references(key.kind, &value) {
            let mut there = world.lean_on(&reference.target).await?;
            // What it refers to already was given to it by somebody who may; the rest is not there.
            if there.is_some()
                && !restores
                && !scoped::reaches(world, &reference.target).await?
                && !refers_already(world, &key, &reference.target)
            {
                there = None;
            }
            judge(&key, &value, &reference, there.as_deref())
                .map_err(|sentence| invalid(sentence, &key, reference.pointer))?;
        }
        // A protocol runs on top of what this version doesn't serve yet, and nothing tells another apart.
        if key.kind == Kind::StreamRoute
            && let Some(name) = value.pointer("/protocol/name").and_then(Value::as_str)
        {
            return Err(invalid(format!("unknown protocol [{name}]"), &key, "/protocol/name"));
        }
    }
    Ok(())
}

/// Whether what is stored refers to the same.
fn refers_already(world: &World<'_>, key: &Key, target: &Key) -> bool {
    let before = world.draft(key).and_then(|draft| draft.before.as_ref());
    before.is_some_and(|held| references(key.kind, &held.value).iter().any(|known| known.target == *target))
}

/// The sentence about a reference that leads nowhere, or to something of another sort.
fn judge(key: &Key, value: &Value, reference: &Reference, there: Option<&Value>) -> Result<(), String> {
    let (kind, id) = (reference.target.kind, &reference.target.id);
    let Some(there) = there else {
        return Err(match kind {
            Kind::StreamRoute => format!("failed to fetch stream routes[{id}], response code: 404"),
            other => {
                let word = other.word();
                format!("failed to fetch {word} info by {word} id [{id}], response code: 404")
            }
        });
    };
    match kind {
        Kind::Ssl if there.get("type").and_then(Value::as_str) != Some("client") => {
            Err(format!("failed to fetch ssl info by ssl id [{id}], wrong ssl type"))
        }
        Kind::StreamRoute if key.kind == Kind::StreamRoute => {
            let name =
                |value: &Value| value.pointer("/protocol/name").and_then(Value::as_str).map(str::to_owned);
            match (name(value), name(there)) {
                (Some(own), Some(superior)) if own != superior => Err(format!(
                    "protocol mismatch: subordinate protocol [{own}] does not match superior protocol [{superior}]"
                )),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}
