//! A schema of a document as a tool shows it: references written out, without what is no rule for a request.
//!
//! Many clients can't follow a `$ref`. What refers to itself is written out once and left open below, and so is what would grow beyond all bounds.

use serde_json::{Map, Value, json};

use super::tools::cut;
use crate::oas_validator::schema::Compiler;

/// How deep schemas are written out.
const MOST_DEPTH: usize = 20;
/// How many values the schema of one tool has; what lies beyond is left open.
const MOST_OF_ONE: usize = 4_000;
/// How many values the schemas of all tools have together.
const MOST_OF_ALL: usize = 150_000;
/// Characters of a description in a schema.
const MOST_WORDS: usize = 1_000;

/// Members that say nothing of what a request has to be, or only where the schema stood.
const LEFT_OUT: [&str; 20] = [
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$schema",
    "$vocabulary",
    "definitions",
    "deprecated",
    "discriminator",
    "example",
    "examples",
    "externalDocs",
    "readOnly",
    "required",
    "writeOnly",
    "xml",
];

/// Writes schemas out.
pub(super) struct Writer<'d> {
    compiler: &'d Compiler<'d>,
    left: usize,
    left_of_all: usize,
}

impl<'d> Writer<'d> {
    pub(super) const fn new(compiler: &'d Compiler<'d>) -> Self {
        Self { compiler, left: MOST_OF_ONE, left_of_all: MOST_OF_ALL }
    }

    /// Begins with the next tool.
    pub(super) fn next(&mut self) {
        self.left = MOST_OF_ONE.min(self.left_of_all);
    }

    /// A schema, written out.
    ///
    /// # Errors
    /// A reference in it leads nowhere, or out of the document.
    pub(super) fn write(&mut self, schema: &Value) -> Result<Value, String> {
        let written = self.schema(schema, &mut Vec::new(), 0)?;
        self.compiler.modern(&written, 0)
    }

    /// Whether there is room for one more value.
    fn takes(&mut self, values: usize) -> bool {
        let has_room = values <= self.left && values <= self.left_of_all;
        if has_room {
            self.left -= values;
            self.left_of_all -= values;
        }
        has_room
    }

    fn schema(&mut self, schema: &Value, above: &mut Vec<String>, depth: usize) -> Result<Value, String> {
        let Value::Object(members) = schema else { return Ok(schema.clone()) };
        if depth > MOST_DEPTH || !self.takes(1) {
            return Ok(json!({}));
        }
        let Some(target) = members.get("$ref").and_then(Value::as_str) else {
            return self.members(members, above, depth);
        };
        let found = self.compiler.resolve(schema)?;
        if above.iter().any(|known| known == target) {
            let kind = found.get("type").map(|kind| ("type".to_owned(), kind.clone()));
            return Ok(Value::Object(kind.into_iter().collect()));
        }
        above.push(target.to_owned());
        let mut written = self.schema(found, above, depth + 1)?;
        above.pop();
        // What stands beside a reference says what it is for in this place.
        if let (Some(words), Some(into)) = (members.get("description"), written.as_object_mut()) {
            into.insert("description".to_owned(), short(words));
        }
        Ok(written)
    }

    fn members(
        &mut self,
        members: &Map<String, Value>,
        above: &mut Vec<String>,
        depth: usize,
    ) -> Result<Value, String> {
        let mut out = Map::new();
        let mut unsendable = Vec::new();
        for (name, value) in members {
            if LEFT_OUT.contains(&name.as_str()) || name.starts_with("x-") {
                continue;
            }
            let written = match (name.as_str(), value) {
                ("description", words) => short(words),
                ("enum" | "const" | "default", data) => {
                    if !self.takes(size(data)) {
                        continue;
                    }
                    data.clone()
                }
                ("properties", Value::Object(properties)) => {
                    let mut kept = Map::new();
                    for (name, property) in properties {
                        // What only answers have isn't sent.
                        if self.compiler.resolve(property)?.get("readOnly") == Some(&Value::Bool(true)) {
                            unsendable.push(name.as_str());
                            continue;
                        }
                        kept.insert(name.clone(), self.schema(property, above, depth + 1)?);
                    }
                    kept.into()
                }
                ("patternProperties" | "dependentSchemas", Value::Object(schemas)) => {
                    let written = schemas.iter().map(|(name, below)| {
                        Ok::<_, String>((name.clone(), self.schema(below, above, depth + 1)?))
                    });
                    Value::Object(written.collect::<Result<_, _>>()?)
                }
                (_, Value::Array(items)) => {
                    let written = items.iter().map(|item| self.schema(item, above, depth + 1));
                    Value::Array(written.collect::<Result<_, _>>()?)
                }
                (_, value) => self.schema(value, above, depth + 1)?,
            };
            out.insert(name.clone(), written);
        }
        if let Some(needed) = members.get("required").and_then(Value::as_array) {
            let sent = |name: &&Value| !name.as_str().is_some_and(|name| unsendable.contains(&name));
            let needed: Vec<Value> = needed.iter().filter(sent).cloned().collect();
            if !needed.is_empty() {
                out.insert("required".to_owned(), needed.into());
            }
        }
        Ok(Value::Object(out))
    }
}

fn short(words: &Value) -> Value {
    words.as_str().map_or_else(|| words.clone(), |words| cut(words, MOST_WORDS).into())
}

/// How many values there are in this one.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// Puts defaults where a value has nothing.
pub(super) fn fill(schema: &Value, value: &mut Value) {
    let Some(members) = value.as_object_mut() else { return };
    for (name, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        match members.get_mut(name) {
            Some(member) => fill(below, member),
            None => {
                if let Some(default) = below.get("default") {
                    members.insert(name.clone(), default.clone());
                }
            }
        }
    }
}
