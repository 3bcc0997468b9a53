//! `POST /configs/validate`: a whole configuration is checked item by item, and every mistake is told, not only the first.

use std::collections::HashSet;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::Outcome;
use super::answer::Answer;
use super::document::{COLLECTIONS, duplicate, identifier, item};
use crate::service::{Service, ServiceError};

/// Mistakes that are told at most.
const MOST_ERRORS: usize = 1000;

/// Checks each item by itself; references to others aren't looked at.
pub(super) async fn validate(service: &Service, document: &Map<String, Value>) -> Outcome {
    let mut errors = Vec::new();
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
            match item(service.registry(), kind, given) {
                Err(sentence) => told(sentence),
                Ok(item) => match service.check_alone(&item.key, item.value).await {
                    Ok(()) => {}
                    Err(error @ ServiceError::Store(_)) => return Err(error.into()),
                    Err(error) => told(error.to_string()),
                },
            }
            if let Some((what, id)) = &known
                && !seen.insert(id.clone())
            {
                told(duplicate(kind, what, id));
            }
            if errors.len() >= MOST_ERRORS {
                return Err(failed(&errors));
            }
        }
    }
    if errors.is_empty() { Ok(Answer::json(StatusCode::OK, &json!({}))) } else { Err(failed(&errors)) }
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
