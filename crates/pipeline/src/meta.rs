//! `_meta`: what may stand in every plugin's body, whatever the plugin.

use serde_json::{Map, Value};
use usher_model::expr::Expr;

use crate::plugin::BuildError;

/// What `_meta` asks for.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    pub(crate) disable: bool,
    pub(crate) priority: Option<i32>,
    pub(crate) filter: Option<Expr>,
    pub(crate) error_response: Option<Value>,
}

/// The name of the member.
pub(crate) const META: &str = "_meta";

impl Meta {
    /// Reads the member `_meta` of a plugin's body.
    ///
    /// # Errors
    /// The member that is unknown or of a wrong type.
    pub(crate) fn of(body: &Value) -> Result<Self, BuildError> {
        let mut meta = Self::default();
        let Some(given) = body.get(META) else { return Ok(meta) };
        let Some(given) = given.as_object() else { return Err(wrong(META, "object", given)) };
        for (name, value) in given {
            match name.as_str() {
                "disable" => {
                    meta.disable = value.as_bool().ok_or_else(|| inside("disable", "boolean", value))?
                }
                "priority" => {
                    let number = value.as_i64().ok_or_else(|| inside("priority", "integer", value))?;
                    meta.priority =
                        Some(i32::try_from(number).map_err(|_| inside("priority", "integer", value))?);
                }
                "filter" => {
                    let expr = Expr::parse(value).map_err(|error| {
                        BuildError::new(format!("failed to validate the 'vars' expression: {error}"))
                    })?;
                    meta.filter = Some(expr);
                }
                "error_response" if value.is_string() || value.is_object() => {
                    meta.error_response = Some(value.clone());
                }
                "error_response" => return Err(inside("error_response", "string or object", value)),
                "pre_function" => {
                    return Err(BuildError::new(
                        "property \"_meta\" validation failed: pre_function is not supported by this version of Usher; remove it",
                    ));
                }
                _ => {
                    return Err(BuildError::new(format!(
                        "property \"_meta\" validation failed: additional properties forbidden, found {name}"
                    )));
                }
            }
        }
        Ok(meta)
    }
}

/// The JSON schema of `_meta`, as `GET /plugins/{name}` shows it.
pub(crate) fn schema() -> Value {
    serde_json::json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "disable": { "type": "boolean", "description": "true leaves the plugin out" },
            "priority": { "type": "integer", "description": "reorders it among the plugins of the same object" },
            "filter": { "type": "array", "description": "an expression over variables: the plugin runs only where it is true" },
            "error_response": {
                "anyOf": [{ "type": "string" }, { "type": "object" }],
                "description": "replaces the body of what the plugin refuses with"
            }
        }
    })
}

/// A body without its `_meta`.
pub(crate) fn without(body: &Value) -> Value {
    match body {
        Value::Object(members) if members.contains_key(META) => {
            let rest: Map<String, Value> = members
                .iter()
                .filter(|(name, _)| *name != META)
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect();
            Value::Object(rest)
        }
        other => other.clone(),
    }
}

fn inside(member: &str, wanted: &str, found: &Value) -> BuildError {
    let inner = wrong(member, wanted, found);
    BuildError::new(format!("property \"_meta\" validation failed: {}", inner.message))
}

fn wrong(member: &str, wanted: &str, found: &Value) -> BuildError {
    let found = match found {
        Value::Null => "userdata",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "table",
    };
    BuildError::new(format!(
        "property \"{member}\" validation failed: wrong type: expected {wanted}, got {found}"
    ))
}
