//! The schemas of a document, compiled: `$ref`s are followed inside the document, OpenAPI 3.0's own words become JSON Schema's.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::request_validation::rules::Rules;

/// How often one reference may lead to another.
const MAX_HOPS: usize = 16;
/// How deep a document may be nested.
const MAX_DEPTH: usize = 100;

/// Compiles the schemas of one document.
pub(crate) struct Compiler<'d> {
    root: &'d Value,
    is_old: bool,
}

impl<'d> Compiler<'d> {
    /// For schemas of this document; an old one is of OpenAPI 3.0.
    pub(crate) const fn new(root: &'d Value, is_old: bool) -> Self {
        Self { root, is_old }
    }

    /// What stands here, or where a reference leads.
    ///
    /// # Errors
    /// The reference leads nowhere, or out of the document.
    pub(crate) fn resolve<'v>(&self, value: &'v Value) -> Result<&'v Value, String>
    where
        'd: 'v,
    {
        let mut found = value;
        for _ in 0..MAX_HOPS {
            match found.get("$ref").and_then(Value::as_str) {
                None => return Ok(found),
                Some(target) => found = self.target(target)?,
            }
        }
        Err("a $ref leads back to itself".to_owned())
    }

    fn target(&self, target: &str) -> Result<&'d Value, String> {
        let pointer = target.strip_prefix('#').ok_or_else(|| {
            format!("$ref {target:?} leaves the document; only references within it are followed")
        })?;
        self.root.pointer(pointer).ok_or_else(|| format!("$ref {target:?} leads nowhere"))
    }

    /// Compiles a schema, together with those parts of the document that it refers to.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(&self, schema: &Value) -> Result<Rules, String> {
        let mut whole = Map::new();
        let dialect = if self.is_old {
            "http://json-schema.org/draft-07/schema#"
        } else {
            "https://json-schema.org/draft/2020-12/schema"
        };
        whole.insert("$schema".to_owned(), dialect.into());
        whole.insert("allOf".to_owned(), json!([self.modern(schema, 0)?]));
        let mut wanted = references(schema);
        let mut done = BTreeSet::new();
        while let Some(target) = wanted.pop_first() {
            if !done.insert(target.clone()) {
                continue;
            }
            let found = self.target(&target)?;
            wanted.extend(references(found));
            put(&mut whole, target.trim_start_matches("#/"), self.modern(found, 0)?)?;
        }
        Rules::new("spec", whole).map_err(|error| error.message)
    }

    /// The schema in words that JSON Schema knows; `depth` says how deep it lies in another.
    ///
    /// # Errors
    /// It is nested too deep.
    pub(crate) fn modern(&self, schema: &Value, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(format!("a schema is nested more than {MAX_DEPTH} levels deep"));
        }
        let Value::Object(members) = schema else {
            return match schema {
                Value::Array(items) => items.iter().map(|item| self.modern(item, depth + 1)).collect(),
                other => Ok(other.clone()),
            };
        };
        let mut out = Map::new();
        for (name, value) in members {
            // Data, not schemas.
            let is_data = matches!(name.as_str(), "enum" | "const" | "default" | "example" | "examples");
            out.insert(name.clone(), if is_data { value.clone() } else { self.modern(value, depth + 1)? });
        }
        if self.is_old {
            for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
                match out.get(flag) {
                    Some(Value::Bool(true)) => {
                        if let Some(limit) = out.remove(bound) {
                            out.insert(flag.to_owned(), limit);
                        }
                    }
                    Some(Value::Bool(false)) => drop(out.remove(flag)),
                    _ => {}
                }
            }
            if out.get("nullable") == Some(&Value::Bool(true)) {
                out.remove("nullable");
                return Ok(json!({ "anyOf": [{ "type": "null" }, Value::Object(out)] }));
            }
        }
        Ok(Value::Object(out))
    }
}

/// Every target of a `$ref`.
fn references(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(items) => waiting.extend(items),
            Value::Object(members) => {
                if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                    found.insert(target.to_owned());
                }
                waiting.extend(members.values());
            }
            _ => {}
        }
    }
    found
}

/// Puts a value where a pointer leads, making what is on the way.
fn put(whole: &mut Map<String, Value>, pointer: &str, value: Value) -> Result<(), String> {
    let name = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let (parents, last) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    let mut place = whole;
    for parent in parents.split('/').filter(|parent| !parent.is_empty()) {
        let below = place.entry(name(parent)).or_insert_with(|| Value::Object(Map::new()));
        place = below.as_object_mut().ok_or_else(|| format!("$ref \"#/{pointer}\" leads into a list"))?;
    }
    place.insert(name(last), value);
    Ok(())
}
