//! A user's JSON schema, compiled; and header fields as such a schema sees them.

use serde_json::{Map, Value};
use usher_http1::head::Head;
use usher_model::schema::Checker;
use usher_pipeline::plugin::BuildError;

use super::reading::add;
use super::references;

/// The longest sentence that a client reads, in characters: the validator's own may quote a whole body.
const MAX_SENTENCE: usize = 500;

/// A schema that bodies have to fit.
pub(crate) struct Rules(Checker);

impl Rules {
    /// Compiles a schema; draft 7 unless it says otherwise.
    ///
    /// # Errors
    /// The schema breaks its own rules, or refers to another document.
    pub(crate) fn new(member: &str, schema: Map<String, Value>) -> Result<Self, BuildError> {
        let refused =
            |error: String| BuildError::new(format!("property \"{member}\" can't be used: {error}"));
        let mut schema = schema;
        schema.entry("$schema").or_insert_with(|| "http://json-schema.org/draft-07/schema#".into());
        let schema = Value::Object(schema);
        references::check(&schema).map_err(refused)?;
        Checker::new(&schema).map(Self).map_err(|error| refused(error.0))
    }

    /// Checks what a client sent.
    ///
    /// # Errors
    /// The sentence that the client reads.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        self.0.check_foreign(value).map_err(|violation| {
            let mut sentence = violation.sentence;
            if let Some((end, _)) = sentence.char_indices().nth(MAX_SENTENCE) {
                sentence.truncate(end);
            }
            sentence
        })
    }
}

/// A schema that a request's header fields have to fit.
pub(crate) struct HeaderRules {
    rules: Rules,
    /// Names in lower case, with the spelling in which the schema has them.
    spellings: Vec<(String, String)>,
}

impl HeaderRules {
    /// Compiles a schema.
    ///
    /// # Errors
    /// As for [`Rules::new`].
    pub(crate) fn new(schema: Map<String, Value>) -> Result<Self, BuildError> {
        let mut spellings = Vec::new();
        collect_names(&schema, &mut spellings);
        Ok(Self { rules: Rules::new("header_schema", schema)?, spellings })
    }

    /// Checks a request's fields.
    ///
    /// # Errors
    /// The sentence that the client reads.
    pub(crate) fn check(&self, head: &Head) -> Result<(), String> {
        let mut fields = Map::new();
        for (name, value) in head.iter() {
            let mut spelled = false;
            for (_, spelling) in self.spellings.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)) {
                add(&mut fields, spelling.clone(), text(value).into());
                spelled = true;
            }
            if !spelled {
                add(&mut fields, name.to_ascii_lowercase(), text(value).into());
            }
        }
        self.rules.check(&Value::Object(fields))
    }
}

/// Bytes that aren't UTF-8 are read as Latin-1, so that different values stay different.
fn text(value: &[u8]) -> String {
    std::str::from_utf8(value)
        .map_or_else(|_| value.iter().map(|byte| char::from(*byte)).collect(), str::to_owned)
}

/// The names that a schema has for members of the value it is applied to.
fn collect_names(schema: &Map<String, Value>, names: &mut Vec<(String, String)>) {
    let mut note = |name: &str| {
        let known = names.iter().any(|(_, spelling)| spelling == name);
        if !known {
            names.push((name.to_ascii_lowercase(), name.to_owned()));
        }
    };
    let object = |member: &str| schema.get(member).and_then(Value::as_object);
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    object("properties").into_iter().flat_map(Map::keys).for_each(|name| note(name));
    schema.get("required").map(texts).into_iter().flatten().for_each(|name| note(&name));
    for (name, needed) in object("dependencies").into_iter().flatten() {
        note(name);
        texts(needed).iter().for_each(|name| note(name));
    }
    for member in ["allOf", "anyOf", "oneOf"] {
        let several = schema.get(member).and_then(Value::as_array).into_iter().flatten();
        several.filter_map(Value::as_object).for_each(|below| collect_names(below, names));
    }
    for member in ["not", "if", "then", "else"] {
        object(member).into_iter().for_each(|below| collect_names(below, names));
    }
    for member in ["definitions", "$defs", "dependencies"] {
        let several = object(member).into_iter().flat_map(Map::values);
        several.filter_map(Value::as_object).for_each(|below| collect_names(below, names));
    }
}
