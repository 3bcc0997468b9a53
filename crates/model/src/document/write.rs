//! Writes objects as a document that reads back as the same objects.

use serde_json::{Map, Value};

use super::{Dialect, END, collect::id_member, environment, usher};
use crate::kind::{Key, Kind};

/// The whole text.
pub(super) fn write(objects: &[(Key, Value)], dialect: Dialect) -> String {
    let mut sorted: Vec<&(Key, Value)> = objects.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut document = Map::new();
    if dialect == Dialect::Apisix {
        for (key, value) in sorted {
            let list = document.entry(key.kind.collection()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(in_list(key, value));
            }
        }
    } else {
        document.insert(usher::MARK.to_owned(), usher::VERSION.into());
        for (key, value) in sorted {
            place(&mut document, key, bare(key, value));
        }
    }
    let mut document = Value::Object(document);
    environment::escape(&mut document, if dialect == Dialect::Apisix { dialect } else { Dialect::Usher });
    let is_empty = document.as_object().is_some_and(Map::is_empty);
    let mut text = if is_empty { String::new() } else { yaml(&document) };
    if dialect == Dialect::Apisix {
        text += END;
        text.push('\n');
    }
    text
}

fn yaml(document: &Value) -> String {
    let options = serde_saphyr::ser_options! { compact_list_indent: false };
    let mut text = serde_saphyr::to_string_with_options(document, options).unwrap_or_else(|_| {
        // JSON is YAML too; nothing of it can't be written.
        document.to_string()
    });
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// An item of APISIX's lists holds its whole id.
fn in_list(key: &Key, value: &Value) -> Value {
    let mut value = value.clone();
    if key.kind.is_below_another()
        && let Value::Object(members) = &mut value
    {
        members.insert("id".to_owned(), key.id.clone().into());
    }
    value
}

/// The object without the id that it stands under.
fn bare(key: &Key, value: &Value) -> Value {
    let member = id_member(key.kind);
    let mut value = value.clone();
    if value.get(member).and_then(Value::as_str) == Some(key.own_id())
        && let Value::Object(members) = &mut value
    {
        members.shift_remove(member);
    }
    value
}

/// Puts an object into its collection; what lives below another goes into that one, where it is written too.
fn place(document: &mut Map<String, Value>, key: &Key, value: Value) {
    let collection = document.entry(key.kind.collection()).or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(collection) = collection else { return };
    let inside = match key.kind {
        Kind::Credential => "credentials",
        _ => "graphql_cost_decorations",
    };
    if let Some(parent) = key.parent()
        && let Some(Value::Object(above)) = collection.get_mut(&parent.id)
    {
        let below = above.entry(inside).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(below) = below {
            below.insert(key.own_id().to_owned(), value);
        }
        return;
    }
    collection.insert(key.id.clone(), value);
}
