//! Members of plugin bodies that the plugin doesn't know: allowed by the contract, and most often a slip of the pen.

use serde_json::Value;
use usher_model::nearest::nearest;

/// How deep bodies are looked at.
const DEEPEST: usize = 8;

/// Calls `f` with the dotted path of each unknown member and the known one most like it.
pub(super) fn unknown(schema: &Value, body: &Value, f: &mut impl FnMut(&str, Option<String>)) {
    look(schema, body, "", DEEPEST, f);
}

fn look(schema: &Value, body: &Value, path: &str, depth: usize, f: &mut impl FnMut(&str, Option<String>)) {
    if depth == 0 {
        return;
    }
    if let Value::Array(items) = body {
        if let Some(below) = schema.get("items").filter(|below| below.is_object()) {
            items.iter().for_each(|item| look(below, item, path, depth - 1, f));
        }
        return;
    }
    let Value::Object(members) = body else { return };
    let mut known: Vec<(&String, &Value)> = Vec::new();
    properties(schema, depth, &mut known);
    let is_free = known.is_empty()
        || ["additionalProperties", "patternProperties", "propertyNames"]
            .iter()
            .any(|rule| schema.get(rule).is_some());
    for (name, member) in members {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match known.iter().find(|(known, _)| *known == name) {
            Some((_, schema)) => look(schema, member, &below, depth - 1, f),
            None if is_free || (path.is_empty() && name == "_meta") => {}
            None => f(&below, nearest(name, known.iter().map(|(known, _)| known.as_str()))),
        }
    }
}

/// The members that a schema or any branch of it names.
fn properties<'s>(schema: &'s Value, depth: usize, known: &mut Vec<(&'s String, &'s Value)>) {
    if depth == 0 {
        return;
    }
    known.extend(schema.get("properties").and_then(Value::as_object).into_iter().flatten());
    for branches in ["allOf", "anyOf", "oneOf"] {
        for branch in schema.get(branches).and_then(Value::as_array).into_iter().flatten() {
            properties(branch, depth - 1, known);
        }
    }
    for branch in ["if", "then", "else"] {
        if let Some(branch) = schema.get(branch) {
            properties(branch, depth - 1, known);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::unknown;

    #[test]
    fn unknown_members_are_told_with_the_nearest_known_one() {
        let schema = json!({
            "properties": {
                "count": {}, "policy": {}, "rules": { "items": { "properties": { "match": {} } } }, "headers": { "type": "object" },
                "strict": { "properties": { "a": {} }, "additionalProperties": false },
            },
            "oneOf": [{ "properties": { "redis_host": {} } }],
        });
        let body = json!({
            "cuont": 1, "policy": 2, "redis_host": 3, "rules": [{ "match": 1, "matsch": 2 }], "headers": { "X": 1 },
            "_meta": { "disable": true }, "zzz": 1, "strict": { "b": 1 },
        });
        let mut told = Vec::new();
        unknown(&schema, &body, &mut |path, near| told.push(format!("{path} {}", near.unwrap_or_default())));
        assert_eq!(told, ["cuont count", "rules.matsch match", "zzz "]);
    }
}
