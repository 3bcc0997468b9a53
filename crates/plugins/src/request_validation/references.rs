//! Looks at a schema's `$ref`s before it is compiled: each has to stay in its document, and none may lead back to itself or unfold without end.
//!
//! A validator follows references while a request waits, so what they can cost is settled when the plugin is built.

use std::collections::HashMap;

use serde_json::Value;

use super::reading::percent_decoded;

/// How many parts a schema may have, each reference counted as what it leads to.
const MAX_PARTS: usize = 10_000;

/// Members that apply a schema to the same value.
const SAME_VALUE: [&str; 8] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependencies"];

/// Checks the references of a schema.
///
/// # Errors
/// What is wrong with the first bad one, or that the schema is too large.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    let mut targets = vec!["#".to_owned()];
    let mut parts = 0;
    collect(schema, &mut targets, &mut parts);
    if parts > MAX_PARTS {
        return Err(format!("it has more than {MAX_PARTS} parts"));
    }
    let mut walk = Walk { root: schema, costs: HashMap::new() };
    targets.iter().try_for_each(|target| walk.follow(target).map(drop))
}

/// Every text that stands behind a `$ref`, and how many values there are.
fn collect(value: &Value, targets: &mut Vec<String>, parts: &mut usize) {
    *parts += 1;
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, targets, parts)),
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get("$ref") {
                targets.push(target.clone());
            }
            members.values().for_each(|member| collect(member, targets, parts));
        }
        _ => {}
    }
}

struct Walk<'s> {
    root: &'s Value,
    /// What each target costs; `None` while it is being looked at.
    costs: HashMap<String, Option<usize>>,
}

impl Walk<'_> {
    /// What it costs to apply a target to one value, without what lies deeper in that value.
    fn follow(&mut self, target: &str) -> Result<usize, String> {
        match self.costs.get(target) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err(format!("$ref \"{target}\" leads back to itself")),
            None => {}
        }
        let Some(pointer) = target.strip_prefix('#') else {
            return Err(format!(
                "$ref \"{target}\" leaves the document: write the schema into \"definitions\" and refer to \"#/definitions/...\""
            ));
        };
        let pointer = percent_decoded(pointer.as_bytes(), b'+').ok();
        let schema = pointer.and_then(|pointer| self.root.pointer(&pointer));
        let schema = schema.ok_or_else(|| format!("$ref \"{target}\" leads nowhere"))?;
        self.costs.insert(target.to_owned(), None);
        let cost = self.apply(schema)?;
        if cost > MAX_PARTS {
            return Err(format!("$ref \"{target}\" unfolds into more than {MAX_PARTS} parts"));
        }
        self.costs.insert(target.to_owned(), Some(cost));
        Ok(cost)
    }

    fn apply(&mut self, schema: &Value) -> Result<usize, String> {
        let Some(members) = schema.as_object() else { return Ok(1) };
        let mut cost = 1_usize;
        if let Some(Value::String(target)) = members.get("$ref") {
            cost = cost.saturating_add(self.follow(target)?);
        }
        for name in SAME_VALUE {
            match members.get(name) {
                Some(Value::Array(several)) => {
                    for one in several {
                        cost = cost.saturating_add(self.apply(one)?);
                    }
                }
                Some(Value::Object(by_name)) if name == "dependencies" => {
                    for one in by_name.values() {
                        cost = cost.saturating_add(self.apply(one)?);
                    }
                }
                Some(one) => cost = cost.saturating_add(self.apply(one)?),
                None => {}
            }
        }
        Ok(cost)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    /// Definitions of which each applies the next one twice.
    fn doubling(depth: usize) -> Value {
        let next = |at: usize| json!({ "$ref": format!("#/definitions/d{at}") });
        let mut definitions: serde_json::Map<String, Value> = (0..depth)
            .map(|at| (format!("d{at}"), json!({ "allOf": [next(at + 1), next(at + 1)] })))
            .collect();
        definitions.insert(format!("d{depth}"), json!({ "type": "string" }));
        json!({ "definitions": definitions, "properties": { "a": next(0) } })
    }

    #[test]
    fn takes_references_that_stay_and_end() {
        let tree = json!({ "type": "object", "properties": { "children": { "type": "array", "items": { "$ref": "#" } } } });
        let named = json!({
            "definitions": { "a b": { "type": "string" }, "c": { "$ref": "#/definitions/a%20b" } },
            "properties": { "x": { "$ref": "#/definitions/c" }, "y": { "$ref": "#/definitions/c" } },
        });
        for schema in [json!({}), json!(true), tree, named, doubling(8)] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
    }

    #[test]
    fn names_the_reference_that_can_not_be_followed() {
        let around = json!({ "definitions": {
            "a": { "allOf": [{ "$ref": "#/definitions/b" }] }, "b": { "not": { "$ref": "#/definitions/a" } },
        } });
        let many: Vec<u32> = (0..10_000).collect();
        for (schema, sentence) in [
            (json!({ "$ref": "#" }), "$ref \"#\" leads back to itself"),
            (json!({ "anyOf": [{ "$ref": "#" }] }), "leads back to itself"),
            (around, "leads back to itself"),
            (json!({ "$ref": "http://a.test/x.json" }), "leaves the document"),
            (json!({ "items": { "$ref": "file:///etc/passwd" } }), "leaves the document"),
            (json!({ "$ref": "#/definitions/none" }), "leads nowhere"),
            (doubling(20), "unfolds into more than 10000 parts"),
            (json!({ "enum": many }), "it has more than 10000 parts"),
        ] {
            let error = check(&schema).unwrap_err();
            assert!(error.contains(sentence), "{schema}: {error}");
        }
    }
}
