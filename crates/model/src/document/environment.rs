//! Environment variables inside a document: `${{NAME}}` and `${{NAME:=default}}` as APISIX has them, `${NAME}` as ADC has it.
//!
//! APISIX leaves `${name}` alone, because it means a variable of the request there, and so do we.

use serde_json::Number;

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

/// The text with its variables replaced; `None` where it has none.
fn replaced(
    text: &str,
    line: u64,
    dialect: Dialect,
    lookup: Option<Lookup<'_>>,
    left: &mut Option<u64>,
) -> Result<Option<String>, DocumentError> {
    let (open, close) = if dialect == Dialect::Adc { ("${", "}") } else { ("${{", "}}") };
    let mut out = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some((before, behind)) = rest.split_once(open) {
        let variable = behind.split_once(close).and_then(|(inside, after)| Some((named(inside)?, after)));
        let Some(((name, default), after)) = variable else {
            out += before;
            out += open;
            rest = behind;
            continue;
        };
        let Some(lookup) = lookup else {
            left.get_or_insert(line);
            return Ok(None);
        };
        found = true;
        rest = after;
        if dialect == Dialect::Adc && before.ends_with('\\') {
            out += before.strip_suffix('\\').unwrap_or(before);
            out += &format!("${{{name}}}");
            continue;
        }
        out += before;
        let value = lookup(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
            let instead = if dialect == Dialect::Adc {
                format!("set it, or write \\${{{name}}} for the text itself")
            } else {
                format!("set it, or write ${{{{{name}:=default}}}}")
            };
            DocumentError::at(line, format!("the environment variable {name} is not set; {instead}"))
        })?;
        out += &value;
    }
    out += rest;
    Ok(found.then_some(out))
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
