//! Declarative documents: a whole configuration as one text, in APISIX's, ADC's or our own form.
//!
//! Reading is strict: an unknown name, a wrong form or an id twice is an error with line, object and field, because what a document swallows is
//! missing in the gateway. What is written reads back as the same objects.

mod adc;
mod apisix;
mod collect;
mod environment;
mod error;
mod node;
mod usher;
mod write;

use serde_json::Value;

use crate::kind::{Key, Kind};
use collect::Collected;
use node::{Node, Shape};

pub use environment::Lookup;
pub use error::DocumentError;

/// The last line of APISIX's file: what ends otherwise is not written to its end yet.
pub const END: &str = "#END";

/// The syntax of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML, of which JSON is a part.
    Yaml,
    /// JSON.
    Json,
}

impl Format {
    /// JSON where a file's name ends so, else YAML.
    #[must_use]
    pub fn of(path: &std::path::Path) -> Self {
        match path.extension() {
            Some(ending) if ending.eq_ignore_ascii_case("json") => Self::Json,
            _ => Self::Yaml,
        }
    }
}

/// Whose form a document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Our own: `usher: 1`, then collections by APISIX's names, objects by their ids.
    Usher,
    /// APISIX's standalone file: lists of objects, [`END`] as the last line.
    Apisix,
    /// ADC's: services with their routes inside, consumers with their credentials. It is read, not written.
    Adc,
}

/// A document that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The objects, each id once. Each holds its id as in the store: `id`, a consumer's `username`.
    pub objects: Vec<(Key, Value)>,
    /// Whose form it had.
    pub dialect: Dialect,
    /// What was understood but is not acted upon, a sentence each.
    pub warnings: Vec<String>,
}

/// Reads a document. Environment variables in it are left as they are, with a warning: whoever sent the text must not read ours.
///
/// # Errors
/// [`DocumentError`] with the line where the mistake stands.
pub fn read(text: &str, format: Format) -> Result<Document, DocumentError> {
    read_all(text, format, None)
}

/// Any text in YAML or JSON as a value, within the same bounds: what other documents, such as OpenAPI's, are read by.
///
/// # Errors
/// [`DocumentError`] with the line where the mistake stands.
pub fn value(text: &str) -> Result<Value, DocumentError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let format = if text.trim_start().starts_with('{') { Format::Json } else { Format::Yaml };
    Ok(node::parse(text, format)?.value())
}

/// Reads a document of our own and fills in environment variables: `${{NAME}}` and `${{NAME:=default}}` in APISIX's form and ours, where the text
/// of a variable becomes a number or a truth if it looks like one; `${NAME}` in ADC's form. A backslash in front makes a text of it.
///
/// # Errors
/// As [`read`]; and a variable that isn't set.
pub fn read_with(text: &str, format: Format, lookup: Lookup<'_>) -> Result<Document, DocumentError> {
    read_all(text, format, Some(lookup))
}

/// Writes objects as a document, in a stable order: kinds as lists show them, ids by byte. ADC's form is written as ours.
#[must_use]
pub fn write(objects: &[(Key, Value)], dialect: Dialect) -> String {
    write::write(objects, dialect)
}

/// Whether the last line of a text is [`END`].
#[must_use]
pub fn is_complete(text: &str) -> bool {
    text.trim_end().rsplit('\n').next().is_some_and(|last| last.trim() == END)
}

fn read_all(text: &str, format: Format, lookup: Option<Lookup<'_>>) -> Result<Document, DocumentError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut root = node::parse(text, format)?;
    let dialect = dialect_of(&root, text, format)?;
    let left = environment::expand(&mut root, dialect, lookup)?;
    let members = collect::map_of("the document", root)?;
    let mut collected = Collected::default();
    if let Some(line) = left {
        collected.warnings.push(format!(
            "line {line}: environment variables are not filled in here, they stay as they are written"
        ));
    }
    match dialect {
        Dialect::Usher => usher::read(members, &mut collected)?,
        Dialect::Apisix => apisix::read(members, &mut collected)?,
        Dialect::Adc => adc::read(members, &mut collected)?,
    }
    Ok(Document { objects: collected.objects, dialect, warnings: collected.warnings })
}

/// Whose form a text has. Our own names itself, APISIX's ends with its mark, ADC's has members that no other has.
fn dialect_of(root: &Node, text: &str, format: Format) -> Result<Dialect, DocumentError> {
    let members = match &root.shape {
        Shape::Map(members) => members.as_slice(),
        Shape::Null => &[],
        _ => {
            return Err(DocumentError::at(
                root.line,
                format!("expected collections by name, such as `routes:`, found {}", root.word()),
            ));
        }
    };
    if members.iter().any(|member| member.name == usher::MARK) {
        return Ok(Dialect::Usher);
    }
    if is_complete(text) {
        return Ok(Dialect::Apisix);
    }
    if adc::is_it(members) {
        return Ok(Dialect::Adc);
    }
    if format == Format::Json && !members.is_empty() {
        return Ok(Dialect::Apisix);
    }
    Err(DocumentError::whole(format!(
        "the document is not complete: APISIX's form ends with a line {END}, Usher's begins with a line `usher: {}`",
        usher::VERSION
    )))
}

/// The kind of a collection's name. What lives below another has none of its own.
fn collection(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| !kind.is_below_another() && kind.collection() == name)
}

/// The names of all collections.
fn names() -> impl Iterator<Item = &'static str> + Clone {
    Kind::ALL.into_iter().filter(|kind| !kind.is_below_another()).map(Kind::collection)
}

#[cfg(test)]
mod tests;
