//! The document of `/configs`: lists of resources by collection, each resource with its id.

use serde_json::{Map, Value};
use usher_model::kind::{Key, Kind};
use usher_model::schema;
use usher_pipeline::registry::Registry;

use super::rules::{bad_id, id_text};

/// The collections that a document may hold; others in it are looked over, as in APISIX. Credentials stand among the consumers.
pub(super) const COLLECTIONS: [Kind; 12] = [
    Kind::Route,
    Kind::Service,
    Kind::Upstream,
    Kind::Consumer,
    Kind::PluginConfig,
    Kind::GlobalRule,
    Kind::ConsumerGroup,
    Kind::Ssl,
    Kind::PluginMetadata,
    Kind::Proto,
    Kind::Secret,
    Kind::StreamRoute,
];

/// A resource of a document.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) key: Key,
    pub(super) value: Value,
    /// The revision that whoever made the document knows it by.
    pub(super) modified_index: Option<u64>,
}

/// A plugin that is named and given nothing in YAML (`key-auth:`) has its defaults, as in APISIX; null of JSON is no configuration.
pub(super) fn fill_plugins(document: &mut Map<String, Value>) {
    let items = document.values_mut().filter_map(Value::as_array_mut).flatten();
    let plugins = items.filter_map(|item| item.get_mut("plugins")?.as_object_mut());
    for body in plugins.flat_map(Map::values_mut).filter(|body| body.is_null()) {
        *body = Value::Object(Map::new());
    }
}

/// The resource that an item of a collection describes. What has no id is named by its place, as in APISIX.
///
/// # Errors
/// The sentence about what is missing in it.
pub(super) fn item(registry: &Registry, kind: Kind, at: usize, given: &Value) -> Result<Item, String> {
    let mut value = given.clone();
    let Some(members) = value.as_object_mut() else {
        return Err(schema::check_schema(kind, given)
            .err()
            .map_or_else(|| "invalid configuration".to_owned(), |broken| broken.admin_sentence()));
    };
    let modified_index = members.shift_remove("modifiedIndex").and_then(|index| index.as_u64());
    let id = members.get("id").map(id_text);
    let key = match (kind, id) {
        (Kind::Consumer, Some(id)) if id.contains('/') => {
            let (consumer, own) = id
                .split_once("/credentials/")
                .filter(|(consumer, _)| !consumer.contains('/'))
                .ok_or_else(|| format!("{id} is no id of a credential; write <username>/credentials/<id>"))?;
            refuse(Kind::Credential, own)?;
            members.insert("id".to_owned(), own.into());
            Key::credential(consumer, own)
        }
        (Kind::Consumer, id) => {
            let name = members.get("username").and_then(Value::as_str).unwrap_or_default().to_owned();
            // It is the user name once more, where it is there at all.
            if id.is_some_and(|id| id == name) {
                members.shift_remove("id");
            }
            schema::check_schema(kind, &value).map_err(|broken| broken.admin_sentence())?;
            Key::new(kind, name)
        }
        (Kind::PluginMetadata, None) => return Err("missing plugin name".to_owned()),
        (Kind::PluginMetadata, Some(name)) if registry.find(&name).is_none() => {
            return Err("invalid plugin name".to_owned());
        }
        (Kind::Secret, None) => return Err(format!("missing {kind} id")),
        (kind, None) => Key::new(kind, place_id(at)),
        (kind, Some(id)) => {
            refuse(kind, &id)?;
            Key::new(kind, id)
        }
    };
    Ok(Item { key, value, modified_index })
}

/// The id of what stands at a place and has none of its own.
pub(super) fn place_id(at: usize) -> String {
    format!("arr_{}", at + 1)
}

fn refuse(kind: Kind, id: &str) -> Result<(), String> {
    bad_id(kind, id).map_or(Ok(()), Err)
}

/// What tells an item from others of its collection: what that is called, and what it is.
pub(super) fn identifier(kind: Kind, given: &Value) -> Option<(&'static str, String)> {
    let id = given.get("id").map(id_text);
    match (kind, id) {
        (Kind::Consumer, Some(id)) if id.contains('/') => Some(("credential id", id)),
        (Kind::Consumer, _) => Some(("username", given.get("username")?.as_str()?.to_owned())),
        (_, id) => id.map(|id| ("id", id)),
    }
}

/// The sentence about an identifier that was there before.
pub(super) fn duplicate(kind: Kind, what: &str, identifier: &str) -> String {
    format!("found duplicate {what} {identifier} in {}", kind.collection())
}
