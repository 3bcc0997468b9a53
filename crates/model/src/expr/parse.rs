//! From JSON to an expression.

use serde_json::Value;

use super::compare::Test;
use super::{BadExpr, Node};

/// How deep expressions may nest.
const DEEPEST: usize = 16;

pub(super) fn rules(value: &Value) -> Result<Node, BadExpr> {
    list(value, 0)
}

fn list(value: &Value, depth: usize) -> Result<Node, BadExpr> {
    let Value::Array(items) = value else { return Err(bad("invalid expression")) };
    if depth > DEEPEST {
        return Err(bad("invalid expression"));
    }
    let (first, rest) = match items.split_first() {
        None => return Ok(Node::And(Vec::new())),
        Some((Value::String(word), rest)) => (word.to_uppercase(), rest),
        Some(_) => return Ok(Node::And(all(items, depth)?)),
    };
    let node = |nodes| match first.as_str() {
        "AND" => Some(Node::And(nodes)),
        "OR" => Some(Node::Or(nodes)),
        "!AND" => Some(Node::Not(Box::new(Node::And(nodes)))),
        "!OR" => Some(Node::Not(Box::new(Node::Or(nodes)))),
        _ => None,
    };
    if !matches!(first.as_str(), "AND" | "OR" | "!AND" | "!OR") {
        return Err(bad("rule should be wrapped inside brackets"));
    }
    if rest.len() < 2 {
        return Err(bad("rule too short"));
    }
    node(all(rest, depth)?).ok_or_else(|| bad("invalid expression"))
}

fn all(items: &[Value], depth: usize) -> Result<Vec<Node>, BadExpr> {
    items.iter().map(|item| one(item, depth)).collect()
}

fn one(item: &Value, depth: usize) -> Result<Node, BadExpr> {
    let Value::Array(words) = item else { return Err(bad("rule should be wrapped inside brackets")) };
    let Some(Value::String(first)) = words.first() else {
        return if words.is_empty() { Err(bad("rule too short")) } else { list(item, depth + 1) };
    };
    if matches!(first.to_uppercase().as_str(), "AND" | "OR" | "!AND" | "!OR") {
        return list(item, depth + 1);
    }
    let variable = first.trim_start_matches('$').to_owned();
    match words.get(1..).unwrap_or_default() {
        [] => Err(bad("rule too short")),
        [value] => Ok(Node::Test { variable, negated: false, test: Test::new("==", value)? }),
        [Value::String(not), rest @ ..] if not == "!" => match rest {
            [Value::String(operator), value] => {
                Ok(Node::Test { variable, negated: true, test: Test::new(operator, value)? })
            }
            _ => Err(bad("bad 'not' expression")),
        },
        [Value::String(operator), value] => {
            Ok(Node::Test { variable, negated: false, test: Test::new(operator, value)? })
        }
        _ => Err(bad("invalid expression")),
    }
}

pub(super) fn bad(sentence: impl Into<String>) -> BadExpr {
    BadExpr(sentence.into())
}
