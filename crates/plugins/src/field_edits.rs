//! Fields that a plugin adds, sets and removes in a head, as `headers` of the two rewriting plugins says it.
//!
//! Names and fixed texts are checked once, when the plugin is built; values with variables are checked by the head itself when they are set.

use std::borrow::Cow;

use schemars::{Schema, json_schema};
use serde_json::{Map, Value, json};
use usher_http1::head::{BadField, Head};
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::BuildError;

use crate::text::Text;

/// Header fields that one member may name: more than any head may have.
const MOST_FIELDS: usize = 100;

/// Whether a member names no more header fields than are taken.
///
/// # Errors
/// The sentence that names it.
pub(crate) fn check_fields(member: &str, count: usize) -> Result<(), BuildError> {
    if count <= MOST_FIELDS {
        return Ok(());
    }
    Err(BuildError::new(format!(
        "property \"{member}\" validation failed: it names {count} header fields, and at most {MOST_FIELDS} are taken"
    )))
}

/// What is done to a head, in this order: add, set, remove. Setting a field to an empty text removes it.
#[derive(Debug, Default)]
pub(crate) struct FieldEdits {
    add: Vec<(String, Text)>,
    set: Vec<(String, Vec<Text>)>,
    remove: Vec<String>,
}

impl FieldEdits {
    /// Reads `{"add": .., "set": .., "remove": ..}`, or a plain object of fields to set.
    ///
    /// # Errors
    /// A name or value that can't stand in a head.
    pub(crate) fn parse(headers: &Map<String, Value>) -> Result<Self, BuildError> {
        let verbs = headers.get("add").is_some_and(|add| add.is_object() || add.is_array())
            || headers.get("set").is_some_and(Value::is_object)
            || headers.get("remove").is_some_and(Value::is_array);
        let most =
            ["add", "set", "remove"].iter().filter_map(|verb| headers.get(*verb)).map(|named| match named {
                Value::Array(items) => items.len(),
                Value::Object(members) => members.len(),
                _ => 0,
            });
        check_fields("headers", most.max().unwrap_or_default().max(headers.len()))?;
        if !verbs {
            return Ok(Self { set: set_of(headers)?, ..Self::default() });
        }
        let mut edits = Self::default();
        match headers.get("add") {
            Some(Value::Object(add)) => {
                for (name, texts) in set_of(add)? {
                    edits.add.extend(texts.into_iter().map(|text| (name.clone(), text)));
                }
            }
            Some(Value::Array(lines)) => edits.add = lines.iter().map(line).collect::<Result<_, _>>()?,
            _ => {}
        }
        if let Some(Value::Object(set)) = headers.get("set") {
            edits.set = set_of(set)?;
        }
        for name in headers.get("remove").and_then(Value::as_array).into_iter().flatten() {
            let name = name.as_str().ok_or_else(|| BuildError::new("invalid type as header field"))?;
            check(name, "")?;
            edits.remove.push(name.to_owned());
        }
        Ok(edits)
    }

    /// Edits one of the exchange's heads. A value that can't be sent leaves its field alone; the rest is still done.
    ///
    /// # Errors
    /// The first field whose value can't be sent.
    pub(crate) fn apply(
        &self,
        exchange: &mut Exchange,
        head: fn(&mut Exchange) -> &mut Head,
        render: impl for<'t> Fn(&Exchange, &'t Text) -> Cow<'t, [u8]>,
    ) -> Result<(), BadField> {
        let mut outcome = Ok(());
        for (name, text) in &self.add {
            let value = render(exchange, text);
            outcome = outcome.and(head(exchange).append(name, &value));
        }
        for (name, texts) in &self.set {
            for (at, text) in texts.iter().enumerate() {
                let value = render(exchange, text);
                let head = head(exchange);
                // A field that is set to nothing is taken away, as in APISIX.
                let done = match (at, value.is_empty()) {
                    (0, true) => {
                        head.remove(name);
                        Ok(())
                    }
                    (_, true) => Ok(()),
                    (0, false) => head.set(name, &value),
                    (_, false) => head.append(name, &value),
                };
                outcome = outcome.and(done);
            }
        }
        for name in &self.remove {
            head(exchange).remove(name);
        }
        outcome
    }
}

fn set_of(members: &Map<String, Value>) -> Result<Vec<(String, Vec<Text>)>, BuildError> {
    let mut set = Vec::with_capacity(members.len());
    for (name, value) in members {
        let texts = match value {
            Value::Array(values) => {
                values.iter().map(|value| text_of(name, value)).collect::<Result<_, _>>()?
            }
            one => vec![text_of(name, one)?],
        };
        set.push((name.clone(), texts));
    }
    Ok(set)
}

fn text_of(name: &str, value: &Value) -> Result<Text, BuildError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(BuildError::new("invalid type as header value")),
    };
    check(name, &text)?;
    Ok(Text::parse(&text))
}

/// One line `Name: value`.
fn line(line: &Value) -> Result<(String, Text), BuildError> {
    let split = line.as_str().and_then(|line| line.split_once(':'));
    let (name, value) =
        split.ok_or_else(|| BuildError::new(format!("invalid header line {line}: write \"Name: value\"")))?;
    let (name, value) = (name.trim(), value.trim());
    check(name, value)?;
    Ok((name.to_owned(), Text::parse(value)))
}

fn check(name: &str, value: &str) -> Result<(), BuildError> {
    if name.is_empty() {
        return Err(BuildError::new("invalid field length in header"));
    }
    let mut probe = Head::empty();
    probe
        .set(name, "")
        .map_err(|_| BuildError::new(format!("invalid field character in header {name:?}")))?;
    probe.set(name, value).map_err(|_| BuildError::new(format!("invalid value character in header {name:?}")))
}

/// A field's value in a schema: a text or a number, and where `several` a list of them.
fn values(several: bool) -> Value {
    let mut choices = vec![json!({ "type": "string" }), json!({ "type": "number" })];
    if several {
        let one = json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] });
        choices.push(json!({ "type": "array", "minItems": 1, "items": one }));
    }
    json!({ "oneOf": choices })
}

fn fields(several: bool) -> Value {
    json!({ "type": "object", "minProperties": 1, "patternProperties": { "^[^:]+$": values(several) } })
}

fn names() -> Value {
    json!({ "type": "array", "minItems": 1, "items": { "type": "string", "pattern": "^[^:]+$" } })
}

/// The schema of `headers` in `proxy-rewrite`.
pub(crate) fn request_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    let verbs = json!({ "add": fields(true), "set": fields(true), "remove": names() });
    json_schema!({
        "oneOf": [
            { "type": "object", "minProperties": 1, "additionalProperties": false, "properties": verbs },
            fields(false),
        ]
    })
}

/// The schema of `headers` in `response-rewrite`.
pub(crate) fn response_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    let lines =
        json!({ "type": "array", "minItems": 1, "items": { "type": "string", "pattern": "^[^:]+:.+$" } });
    json_schema!({
        "anyOf": [
            fields(false),
            { "type": "object", "properties": { "add": lines, "set": fields(false), "remove": names() } },
        ]
    })
}
