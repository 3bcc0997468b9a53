//! Places in a JSON document, as `post_arg.messages[*].role` names them: the part of JSONPath that names members, items and wildcards.

use serde_json::Value;

/// Values that one path may find.
const MOST: usize = 256;

/// A path, read.
#[derive(Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(i64),
    Every,
    /// A member at any depth.
    Below(String),
}

impl JsonPath {
    /// Reads a path, with or without `$.` in front; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        // The first name has no dot in front, because `post_arg.` was taken off.
        let mut named = true;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (inside, behind) = inner.split_once(']')?;
                steps.push(bracketed(inside)?);
                rest = behind;
            } else if let Some(behind) = rest
                .strip_prefix("..")
                .or_else(|| rest.strip_prefix('.').filter(|_| steps.is_empty() && !text.starts_with('$')))
            {
                let (name, behind) = name(behind)?;
                steps.push(Step::Below(name.to_owned()));
                rest = behind;
            } else {
                let begins = rest.strip_prefix('.');
                if begins.is_none() && !named {
                    return None;
                }
                let from = begins.unwrap_or(rest);
                if from.starts_with('[') {
                    rest = from;
                    named = false;
                    continue;
                }
                let (name, behind) = name(from)?;
                steps.push(if name == "*" { Step::Every } else { Step::Member(name.to_owned()) });
                rest = behind;
            }
            named = false;
        }
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// Whether it may find several values.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.0.iter().any(|step| matches!(step, Step::Every | Step::Below(_)))
    }

    /// What it finds, at most 256 values.
    #[must_use]
    pub fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in found {
                step.take(value, &mut next);
                next.truncate(MOST);
            }
            found = next;
        }
        found
    }
}

fn name(text: &str) -> Option<(&str, &str)> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, behind) = text.split_at(end);
    (!name.is_empty()).then_some((name, behind))
}

fn bracketed(inside: &str) -> Option<Step> {
    let quoted = |mark: char| inside.strip_prefix(mark)?.strip_suffix(mark);
    if let Some(name) = quoted('\'').or_else(|| quoted('"')) {
        return Some(Step::Member(name.to_owned()));
    }
    if inside == "*" {
        return Some(Step::Every);
    }
    if let Ok(at) = inside.parse() {
        return Some(Step::Item(at));
    }
    // As forms name their fields: `user[name]`.
    let is_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
    (!inside.is_empty() && inside.chars().all(is_word)).then(|| Step::Member(inside.to_owned()))
}

impl Step {
    fn take<'a>(&self, value: &'a Value, found: &mut Vec<&'a Value>) {
        match self {
            Self::Member(name) => found.extend(value.get(name)),
            Self::Item(at) => {
                let Value::Array(items) = value else { return };
                let place = match usize::try_from(*at) {
                    Ok(at) => Some(at),
                    Err(_) => {
                        usize::try_from(at.unsigned_abs()).ok().and_then(|back| items.len().checked_sub(back))
                    }
                };
                found.extend(place.and_then(|at| items.get(at)));
            }
            Self::Every => match value {
                Value::Array(items) => found.extend(items.iter().take(MOST)),
                Value::Object(members) => found.extend(members.values().take(MOST)),
                _ => {}
            },
            // The reader of JSON bounds how deep a document is, and the caller how much is found.
            Self::Below(name) => below(value, name, found),
        }
    }
}

fn below<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    if found.len() >= MOST {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| below(item, name, found)),
        Value::Object(members) => {
            for (member, value) in members {
                if member == name {
                    found.push(value);
                }
                below(value, name, found);
            }
        }
        _ => {}
    }
}
