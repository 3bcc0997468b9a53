//! Environment variables inside a document: `${{NAME}}` and `${{NAME:=default}}` as APISIX has them, `${NAME}` as ADC has it. With a backslash in
//! front they are texts.
//!
//! APISIX leaves `${name}` alone, because it means a variable of the request there, and so do we.

use serde_json::{Number, Value};

use super::node::{Node, Shape};
use super::{Dialect, DocumentError};

/// Looks a variable up.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces every variable of a tree; without a look-up, the first line that has one is returned and nothing is replaced.
///
/// # Errors
/// A variable that isn't set and has no default.
pub(super) fn expand(
    node: &mut Node,
    dialect: Dialect,
    lookup: Option<Lookup<'_>>,
) -> Result<Option<u64>, DocumentError> {
    let mut left = None;
    walk(node, dialect, lookup, &mut left)?;
    Ok(left)
}

fn walk(
    node: &mut Node,
    dialect: Dialect,
    lookup: Option<Lookup<'_>>,
    left: &mut Option<u64>,
) -> Result<(), DocumentError> {
    let line = node.line;
    match &mut node.shape {
        Shape::Text(text) => {
            if let Some(new) = replaced(text, line, dialect, lookup, left)? {
                // Only APISIX reads numbers and truths out of variables.
                node.shape = if dialect == Dialect::Adc { Shape::Text(new) } else { typed(new) };
            }
            Ok(())
        }
        Shape::List(items) => items.iter_mut().try_for_each(|item| walk(item, dialect, lookup, left)),
        Shape::Map(members) => members.iter_mut().try_for_each(|member| {
            if let Some(new) = replaced(&member.name, member.line, dialect, lookup, left)? {
                member.name = new;
            }
            walk(&mut member.node, dialect, lookup, left)
        }),
        Shape::Null | Shape::Bool(_) | Shape::Number(_) => Ok(()),
    }
}

/// The text with its variables replaced, and without the backslashes in front of those that are meant as they are; `None` where it has none.
fn replaced(
    text: &str,
    line: u64,
    dialect: Dialect,
    lookup: Option<Lookup<'_>>,
    left: &mut Option<u64>,
) -> Result<Option<String>, DocumentError> {
    let (open, close) = marks(dialect);
    let mut out = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some(Variable { before, inside, name, default, after }) = variable(rest, dialect) {
        rest = after;
        if let Some(before) = before.strip_suffix('\\') {
            found = true;
            out += &[before, open, inside, close].concat();
            continue;
        }
        out += before;
        let Some(lookup) = lookup else {
            left.get_or_insert(line);
            out += &[open, inside, close].concat();
            continue;
        };
        found = true;
        let value = lookup(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
            let text = format!("\\{open}{name}{close} for the text itself");
            let instead = if dialect == Dialect::Adc {
                format!("set it, or write {text}")
            } else {
                format!("set it, or write {open}{name}:=default{close}, or {text}")
            };
            DocumentError::at(line, format!("the environment variable {name} is not set; {instead}"))
        })?;
        out += &value;
    }
    out += rest;
    Ok(found.then_some(out))
}

/// A variable in a text.
struct Variable<'a> {
    /// What stands before it.
    before: &'a str,
    /// What stands between its marks.
    inside: &'a str,
    name: &'a str,
    default: Option<&'a str>,
    /// What stands behind it.
    after: &'a str,
}

/// The first variable of a text. Marks around what can't be a name are text.
fn variable(text: &str, dialect: Dialect) -> Option<Variable<'_>> {
    let (open, close) = marks(dialect);
    text.match_indices(open).find_map(|(at, _)| {
        let before = text.get(..at)?;
        let (inside, after) = text.get(at + open.len()..)?.split_once(close)?;
        let (name, default) = named(inside)?;
        Some(Variable { before, inside, name, default, after })
    })
}

/// What a variable begins and ends with.
const fn marks(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Adc => ("${", "}"),
        Dialect::Usher | Dialect::Apisix => ("${{", "}}"),
    }
}

/// The same value in a form that reads back as itself, whatever is in the environment: what looks like a variable gets a backslash. A text of
/// an object is data, and whoever wrote it need not be who reads the document.
pub(super) fn escape(value: &mut Value, dialect: Dialect) {
    match value {
        Value::String(text) => {
            if let Some(new) = escaped(text, dialect) {
                *text = new;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| escape(item, dialect)),
        Value::Object(members) => {
            members.values_mut().for_each(|member| escape(member, dialect));
            if members.keys().any(|name| escaped(name, dialect).is_some()) {
                let old = std::mem::take(members);
                members.extend(
                    old.into_iter().map(|(name, member)| (escaped(&name, dialect).unwrap_or(name), member)),
                );
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The text with a backslash in front of each variable; `None` where it has none.
fn escaped(text: &str, dialect: Dialect) -> Option<String> {
    let (open, close) = marks(dialect);
    let mut out = String::new();
    let mut rest = text;
    while let Some(Variable { before, inside, after, .. }) = variable(rest, dialect) {
        out += &[before, "\\", open, inside, close].concat();
        rest = after;
    }
    out += rest;
    (out.len() > text.len()).then_some(out)
}

/// Name and default of what stands between the braces.
fn named(inside: &str) -> Option<(&str, Option<&str>)> {
    let (name, default) = match inside.split_once(":=") {
        Some((name, default)) => (name, Some(default.trim())),
        None => (inside, None),
    };
    let name = name.trim();
    let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    good.then_some((name, default))
}

fn typed(text: String) -> Shape {
    match text.as_str() {
        "true" => Shape::Bool(true),
        "false" => Shape::Bool(false),
        other => match serde_json::from_str::<Number>(other) {
            Ok(number) => Shape::Number(number),
            Err(_) => Shape::Text(text),
        },
    }
}
