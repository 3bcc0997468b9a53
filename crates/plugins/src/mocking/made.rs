//! Values that fit a schema: a member's example where it has one, something at random elsewhere.

use serde_json::{Map, Value};
use usher_pipeline::plugin::BuildError;

/// How deep a schema may be nested.
const DEEPEST: usize = 32;
/// How many values one answer has at most.
const MOST_VALUES: usize = 10_000;

/// What an answer is made by.
pub(super) struct Made {
    schema: Value,
    xml: bool,
}

impl Made {
    /// # Errors
    /// The schema is nested too deep.
    pub(super) fn new(schema: Value, xml: bool) -> Result<Self, BuildError> {
        if depth(&schema) > DEEPEST {
            return Err(BuildError::new(format!(
                "property \"response_schema\" validation failed: it is nested more than {DEEPEST} deep"
            )));
        }
        Ok(Self { schema, xml })
    }

    /// One answer.
    pub(super) fn make(&self) -> String {
        let mut left = MOST_VALUES;
        let value = value(&self.schema, &mut left);
        if !self.xml {
            return value.to_string();
        }
        let mut text = String::new();
        element("data", &value, &mut text);
        text
    }
}

fn members(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn depth(schema: &Value) -> usize {
    let below = members(schema).map(|(_, member)| member).chain(schema.get("items"));
    1 + below.map(depth).max().unwrap_or(0)
}

fn value(schema: &Value, left: &mut usize) -> Value {
    *left = left.saturating_sub(1);
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => {
            let items = schema.get("items");
            let count = if *left == 0 { 0 } else { fastrand::usize(1..=3) };
            (0..count).map(|_| items.map_or(Value::Null, |items| value(items, left))).collect()
        }
        Some("string") => text().into(),
        Some("integer") => fastrand::u32(1..=10_000).into(),
        Some("number") => (fastrand::f64() * 10_000.0).into(),
        Some("boolean") => fastrand::bool().into(),
        Some("null") => Value::Null,
        _ => {
            let made: Map<String, Value> =
                members(schema).map(|(name, member)| (name.clone(), value(member, left))).collect();
            Value::Object(made)
        }
    }
}

fn text() -> String {
    (0..fastrand::usize(1..=10)).map(|_| fastrand::alphabetic()).collect()
}

/// An element of XML; a list is its elements one after the other.
fn element(name: &str, value: &Value, out: &mut String) {
    if let Value::Array(items) = value {
        items.iter().for_each(|item| element(name, item, out));
        return;
    }
    let tag: String =
        name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    out.push_str(&format!("<{tag}>"));
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| element(name, member, out)),
        Value::String(text) => out.push_str(&quick_xml::escape::escape(text.as_str())),
        Value::Null | Value::Array(_) => {}
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
    out.push_str(&format!("</{tag}>"));
}
