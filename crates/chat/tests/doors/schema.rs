//! A check of values against the catalogue's subset of JSON schema, written apart from the one that is shipped.

use serde_json::Value;

/// Panics with the place where a value does not fit.
pub(crate) fn check(schema: &Value, value: &Value) {
    if let Err(reason) = fits(schema, value, "") {
        panic!("{reason} in {value:#}");
    }
}

fn fits(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
        return match branches.iter().any(|branch| fits(branch, value, at).is_ok()) {
            true => Ok(()),
            false => Err(format!("{at} fits no branch")),
        };
    }
    let right = match schema["type"].as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is outside of the subset"),
    };
    if !right {
        return Err(format!("{at} is {value}, wanted {}", schema["type"]));
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.contains(value)
    {
        return Err(format!("{at} is none of the choices"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        fits(&schema["items"], item, &format!("{at}/{index}"))?;
    }
    let Some(members) = value.as_object() else { return Ok(()) };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            return Err(format!("{at} lacks {name}"));
        }
    }
    for (name, member) in members {
        match (schema.get("properties").and_then(|all| all.get(name)), schema.get("additionalProperties")) {
            (Some(below), _) => fits(below, member, &format!("{at}/{name}"))?,
            (None, Some(Value::Bool(false))) => return Err(format!("{at} has {name}")),
            (None, Some(below)) if below.is_object() => fits(below, member, &format!("{at}/{name}"))?,
            _ => {}
        }
    }
    Ok(())
}
