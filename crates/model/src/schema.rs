//! JSON schemas, and the sentences that say how a value breaks them.
//!
//! The verdict is the `jsonschema` crate's; the sentence is APISIX's, because clients read it (Admin API contract, section 5).

mod beside;
mod kinds;
mod meaning;
mod near;
mod sentence;
mod unsupported;

use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use crate::kind::{Kind, SECRET_MANAGERS};

pub use kinds::{schema, secret_schema};
pub use unsupported::unsupported;

/// How a value breaks a schema or the meaning behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The sentence of the contract.
    pub sentence: String,
    /// Where, as a JSON pointer.
    pub pointer: String,
    /// Whether `invalid configuration: ` stands before it on the Admin API.
    pub prefixed: bool,
    /// The field that is nearest to it.
    pub near: Near,
}

/// The field that a violation is about, said by us: the sentence of the contract may speak of the whole object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Near {
    /// Where, as a JSON pointer; of what is missing, where it would stand.
    pub pointer: String,
    /// What is wrong there.
    pub sentence: String,
}

impl Violation {
    /// A violation whose sentence says all that there is to say.
    pub(crate) fn at(pointer: &str, sentence: String, prefixed: bool) -> Self {
        let near = Near { pointer: pointer.to_owned(), sentence: sentence.clone() };
        Self { sentence, pointer: pointer.to_owned(), prefixed, near }
    }

    /// The whole sentence of the Admin API.
    #[must_use]
    pub fn admin_sentence(&self) -> String {
        if self.prefixed {
            format!("invalid configuration: {}", self.sentence)
        } else {
            self.sentence.clone()
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Violation {}

/// A schema that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the schema can't be used: {0}")]
pub struct BadSchema(pub String);

/// A compiled schema.
#[derive(Debug)]
pub struct Checker {
    schema: Value,
    validator: jsonschema::Validator,
}

/// How large a compiled pattern may be, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

impl Checker {
    /// Compiles a schema; references to other documents are refused, patterns run in linear time where they can.
    ///
    /// # Errors
    /// The schema breaks its own rules.
    pub fn new(schema: &Value) -> Result<Self, BadSchema> {
        let linear = jsonschema::options()
            .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(PATTERN_BYTES))
            .should_validate_formats(true)
            .build(schema);
        let validator = linear.or_else(|_| {
            jsonschema::options()
                .with_pattern_options(jsonschema::PatternOptions::fancy_regex().backtrack_limit(100_000))
                .should_validate_formats(true)
                .build(schema)
        });
        let validator = validator.map_err(|error| BadSchema(error.to_string()))?;
        Ok(Self { schema: schema.clone(), validator })
    }

    /// Checks a value.
    ///
    /// # Errors
    /// The first violation, in the order in which APISIX looks.
    pub fn check(&self, value: &Value) -> Result<(), Violation> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        match sentence::first(&self.schema, value) {
            // References to secrets stand for strings that aren't known here, whatever a pattern says of their text.
            None if has_reference(value) => Ok(()),
            said => {
                let broken = self.broken(said, value);
                let near = near::of(&broken);
                let (sentence, pointer, _) = broken;
                Err(Violation { sentence, pointer, prefixed: true, near })
            }
        }
    }

    /// Checks a value that a stranger sent: a text that looks like a reference to a secret is a text like any other.
    ///
    /// # Errors
    /// The first violation, in the order in which APISIX looks.
    pub fn check_foreign(&self, value: &Value) -> Result<(), Violation> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let broken = self.broken(sentence::first(&self.schema, value), value);
        // A schema of a stranger's too, perhaps: nobody looks through its forms for a stranger's value.
        Err(Violation::at(&broken.1, broken.0, true))
    }

    /// What was said of a value, or where nothing was, what the validator says.
    fn broken<'a>(&self, said: Option<sentence::Broken<'a>>, value: &Value) -> sentence::Broken<'a> {
        said.unwrap_or_else(|| {
            let (sentence, pointer) = self.validator.iter_errors(value).next().map_or_else(
                || ("value does not fit its schema".to_owned(), String::new()),
                |error| (error.to_string(), error.instance_path().to_string()),
            );
            (sentence, pointer, sentence::About::There)
        })
    }

    /// The schema itself.
    #[must_use]
    pub const fn schema(&self) -> &Value {
        &self.schema
    }
}

fn has_reference(value: &Value) -> bool {
    match value {
        Value::String(text) => crate::mask::is_reference(text),
        Value::Array(items) => items.iter().any(has_reference),
        Value::Object(members) => members.values().any(has_reference),
        _ => false,
    }
}

/// Checks a resource by its schema and by its meaning, as far as no other object is needed for that.
///
/// # Errors
/// The first violation.
pub fn check(kind: Kind, value: &Value) -> Result<(), Violation> {
    check_schema(kind, value)?;
    meaning::check(kind, value)
}

/// Checks a resource by its schema alone, as `POST /schema/validate` does. A secret manager's own schema follows from its id.
///
/// # Errors
/// The first violation.
pub fn check_schema(kind: Kind, value: &Value) -> Result<(), Violation> {
    static CHECKERS: LazyLock<Vec<(Kind, Made)>> =
        LazyLock::new(|| Kind::ALL.into_iter().map(|kind| (kind, Checker::new(schema(kind)))).collect());
    static MANAGERS: LazyLock<Vec<(&str, Made)>> = LazyLock::new(|| {
        let known = SECRET_MANAGERS.into_iter();
        known.filter_map(|manager| Some((manager, Checker::new(secret_schema(manager)?)))).collect()
    });
    by(CHECKERS.iter().find(|(known, _)| *known == kind).map(|(_, made)| made), value)?;
    let id = value.get("id").and_then(Value::as_str).filter(|_| kind == Kind::Secret);
    let manager = id.and_then(|id| id.split_once('/')).map(|(manager, _)| manager);
    by(MANAGERS.iter().find(|(known, _)| Some(*known) == manager).map(|(_, made)| made), value)
}

type Made = Result<Checker, BadSchema>;

fn by(checker: Option<&Made>, value: &Value) -> Result<(), Violation> {
    match checker {
        Some(Ok(checker)) => checker.check(value),
        Some(Err(error)) => Err(Violation::at("", error.to_string(), true)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
