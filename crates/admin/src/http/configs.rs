//! `POST /configs/validate`: a whole configuration is checked item by item, and every mistake is told, not only the first.

use std::collections::{HashMap, HashSet};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use usher_model::kind::Kind;
use usher_model::nearest::nearest;

use super::Outcome;
use super::answer::Answer;
use super::document::{COLLECTIONS, duplicate, identifier, item, place_id};
use crate::service::{Service, ServiceError};

/// Mistakes that are told at most.
const MOST_ERRORS: usize = 1000;

/// Checks each item by itself; references to others aren't looked at.
pub(super) async fn validate(service: &Service, document: &Map<String, Value>) -> Outcome {
    let mut errors = Vec::new();
    // What is overlooked here would be missing in the gateway.
    for name in document.keys().filter(|name| !is_known(name)) {
        let near = nearest(name, COLLECTIONS.iter().map(|kind| kind.collection()));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        errors.push(json!({ "resource_type": name, "error": format!("unknown collection{hint}") }));
    }
    let mut ruled: HashMap<String, String> = HashMap::new();
    for kind in COLLECTIONS {
        let name = kind.collection();
        let items = match document.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(items)) => items,
            Some(other) => {
                errors.push(json!({ "resource_type": name, "error": format!("expected a list, got {}", shape(other)) }));
                continue;
            }
        };
        let mut seen = HashSet::new();
        for (index, given) in items.iter().enumerate() {
            let known = identifier(kind, given);
            let mut told = |error: String| {
                let mut entry = json!({ "resource_type": name, "index": index, "error": error });
                if let (Some((_, id)), Some(members)) = (&known, entry.as_object_mut()) {
                    members.shift_insert(1, "resource_id".to_owned(), id.as_str().into());
                }
                errors.push(entry);
            };
            match item(service.registry(), kind, index, given) {
                Err(sentence) => told(sentence),
                Ok(item) => match service.check_alone(&item.key, item.value).await {
                    Ok(()) => {}
                    Err(error @ ServiceError::Store(_)) => return Err(error.into()),
                    Err(error) => told(error.to_string()),
                },
            }
            if kind == Kind::GlobalRule {
                let own = known.as_ref().map_or("", |(_, id)| id.as_str());
                for plugin in given.get("plugins").and_then(Value::as_object).into_iter().flat_map(Map::keys)
                {
                    if let Some(other) = ruled.insert(plugin.clone(), own.to_owned()) {
                        told(format!("plugin '{plugin}' already exists in global rule with id '{other}'"));
                    }
                }
            }
            let (what, id) = known.clone().unwrap_or_else(|| ("id", place_id(index)));
            if !seen.insert(id.clone()) {
                told(duplicate(kind, what, &id));
            }
            if errors.len() >= MOST_ERRORS {
                return Err(failed(&errors));
            }
        }
    }
    if errors.is_empty() { Ok(Answer::json(StatusCode::OK, &json!({}))) } else { Err(failed(&errors)) }
}

/// Whether a document may have a member of this name: a collection, its version, the list of plugins, or what is known of the document itself.
fn is_known(name: &str) -> bool {
    let collection = name.strip_suffix("_conf_version").unwrap_or(name);
    COLLECTIONS.iter().any(|kind| kind.collection() == collection)
        || matches!(name, "plugins" | "X-Digest" | "X-Last-Modified")
}

fn failed(errors: &[Value]) -> Answer {
    let body = json!({ "error_msg": "Configuration validation failed", "errors": errors });
    Answer::json(StatusCode::BAD_REQUEST, &body)
}

/// What a value is, without its content.
pub(super) const fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
