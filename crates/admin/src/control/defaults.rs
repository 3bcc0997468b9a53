//! Fills in the defaults that a schema names: stored is only what was written, but the gateway acts upon more.

use serde_json::Value;

/// How deep a value is followed.
const DEEPEST: usize = 32;

/// Adds each member that has a default and isn't there.
pub(super) fn fill(schema: &Value, value: &mut Value) {
    fill_within(schema, value, DEEPEST);
}

fn fill_within(schema: &Value, value: &mut Value, depth: usize) {
    if depth == 0 {
        return;
    }
    if let Value::Object(members) = value {
        for (name, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            match members.get_mut(name) {
                Some(member) => fill_within(below, member, depth - 1),
                None => {
                    if let Some(default) = below.get("default") {
                        members.insert(name.clone(), default.clone());
                    }
                }
            }
        }
    }
    if let (Value::Array(items), Some(below)) = (&mut *value, schema.get("items")) {
        for item in items {
            fill_within(below, item, depth - 1);
        }
    }
    for branch in branches(schema, "allOf") {
        fill_within(branch, value, depth - 1);
    }
    // Of alternatives, those that are for values of another type say nothing about this one.
    for branch in branches(schema, "anyOf").chain(branches(schema, "oneOf")) {
        if branch.get("type").and_then(Value::as_str).is_some_and(|kind| kind == kind_of(value)) {
            fill_within(branch, value, depth - 1);
        }
    }
}

fn branches<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(name).and_then(Value::as_array).into_iter().flatten()
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_model::kind::Kind;
    use usher_model::schema::schema;

    use super::fill;

    #[test]
    fn what_is_not_there_gets_its_default() {
        for (kind, mut value, wanted) in [
            (
                Kind::Route,
                json!({ "uri": "/a", "status": 0, "upstream": { "nodes": [{ "host": "a", "weight": 1 }], "keepalive_pool": { "size": 4 } } }),
                json!({
                    "uri": "/a", "status": 0, "priority": 0,
                    "upstream": {
                        "nodes": [{ "host": "a", "weight": 1, "priority": 0 }],
                        "keepalive_pool": { "size": 4, "idle_timeout": 60, "requests": 1000 },
                        "type": "roundrobin", "hash_on": "vars", "scheme": "http", "pass_host": "pass",
                    },
                }),
            ),
            (
                Kind::Upstream,
                json!({ "nodes": { "a:1": 1 } }),
                json!({
                    "nodes": { "a:1": 1 }, "type": "roundrobin", "hash_on": "vars", "scheme": "http", "pass_host": "pass",
                }),
            ),
            (Kind::Service, json!({}), json!({})),
        ] {
            fill(schema(kind), &mut value);
            assert_eq!(value, wanted, "{kind}");
        }
    }
}
