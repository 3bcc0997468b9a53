//! One text out of what somebody keeps: an environment's variable, a member of a JSON object.

use serde_json::Value;
use usher_model::secret::Secret;

/// A variable of the environment, or a member of the JSON object that it holds.
///
/// # Errors
/// There is no such variable, or no such member.
pub(super) fn of_environment(name: &str, key: Option<&str>) -> Result<Secret<String>, String> {
    let text = std::env::var(name)
        .map_err(|_| format!("the environment has no text in {name}; set it and start Usher again"))?;
    match key {
        None => Ok(Secret::new(text)),
        Some(key) => of_text(&text, key).map_err(|error| format!("the variable {name} {error}")),
    }
}

/// A member of the JSON object that a text holds.
///
/// # Errors
/// It holds none, or not this member.
pub(super) fn of_text(text: &str, key: &str) -> Result<Secret<String>, String> {
    // The parser's own words might quote the text.
    let value: Value = serde_json::from_str(text).map_err(|_| "holds no JSON object".to_owned())?;
    of_value(&value, key)
}

/// A member of a JSON object, as a text.
///
/// # Errors
/// It isn't there, or is no text and no number.
pub(super) fn of_value(value: &Value, key: &str) -> Result<Secret<String>, String> {
    match value.get(key) {
        Some(Value::String(text)) => Ok(Secret::new(text.clone())),
        Some(number @ (Value::Number(_) | Value::Bool(_))) => Ok(Secret::new(number.to_string())),
        Some(_) => Err(format!("holds no text at {key:?}")),
        None => Err(format!("has no member {key:?}")),
    }
}
