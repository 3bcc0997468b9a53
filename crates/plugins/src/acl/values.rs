//! Where a user's labels stand, and how their values are read.

use serde_json::Value;

use crate::pattern::Pattern;

/// How deep a path may lead.
const MAX_STEPS: usize = 16;
/// How many values of one label are looked at.
const MAX_VALUES: usize = 1000;

/// A way through JSON: `groups`, `$.realm_access.roles`, `$.orgs[0]['the name']`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
}

impl Path {
    /// Reads a path; `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let (step, behind) = inside.split_once(']')?;
                let quoted =
                    ['\'', '"'].iter().find_map(|quote| step.strip_prefix(*quote)?.strip_suffix(*quote));
                steps.push(match quoted {
                    Some(name) => Step::Member(name.to_owned()),
                    None => Step::Item(step.parse().ok()?),
                });
                rest = behind;
            } else {
                let named = rest.strip_prefix('.').unwrap_or(rest);
                let end = named.find(['.', '[']).unwrap_or(named.len());
                let (name, behind) = named.split_at(end);
                if name.is_empty() {
                    return None;
                }
                steps.push(Step::Member(name.to_owned()));
                rest = behind;
            }
        }
        (!steps.is_empty() && steps.len() <= MAX_STEPS).then_some(Self(steps))
    }

    /// What stands there. A name with dots in it is also looked for as it is written, as claims often have URLs for names.
    pub(super) fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, step| match step {
            Step::Member(name) => value.get(name),
            Step::Item(at) => value.get(at),
        })
    }
}

/// How the values of a label are written.
pub(super) enum Reading {
    /// A list, a JSON list in a text, texts between commas, or one text: whichever it looks like.
    Any,
    /// A JSON list in a text.
    Json,
    /// A list.
    List,
    /// Texts between what this pattern matches.
    Segmented(Pattern),
}

impl Reading {
    /// Texts between separators.
    ///
    /// # Errors
    /// The separator is no pattern.
    pub(super) fn segmented(separator: &str) -> Result<Self, String> {
        Pattern::new(&format!(r"^\s*(?:{separator})\s*")).map(Self::Segmented)
    }

    /// Whether one of the `wanted` is among the values.
    pub(super) fn has_any(&self, value: &Value, wanted: &[String]) -> bool {
        let among = |found: &str| wanted.iter().any(|wanted| wanted == found);
        let in_list = |list: &[Value]| list.iter().take(MAX_VALUES).filter_map(Value::as_str).any(among);
        let in_json = |text: &str| serde_json::from_str::<Vec<Value>>(text).is_ok_and(|list| in_list(&list));
        match (self, value) {
            (Self::Any | Self::List, Value::Array(list)) => in_list(list),
            (Self::Any, Value::String(text)) if text.starts_with('[') => in_json(text),
            (Self::Any, Value::String(text)) => among(text) || text.split(',').map(str::trim).any(among),
            (Self::Json, Value::String(text)) => in_json(text),
            (Self::Segmented(separator), Value::String(text)) => {
                segments(text, separator).iter().any(|found| among(found))
            }
            _ => false,
        }
    }
}

fn segments<'t>(text: &'t str, separator: &Pattern) -> Vec<&'t str> {
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty() && found.len() < MAX_VALUES) {
        let length = match separator.groups(rest.as_bytes()) {
            Ok(Some(groups)) => groups.first().cloned().flatten().map_or(0, |range| range.end),
            _ => 0,
        };
        if length == 0 || !text.is_char_boundary(at + length) {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        }
        found.extend(text.get(start..at));
        at += length;
        start = at;
    }
    found.extend(text.get(start..));
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Path, Reading};

    #[test]
    fn paths_lead_to_values() {
        let user = json!({ "groups": ["a"], "realm": { "roles": ["x", { "y z": 1 }] } });
        for (path, wanted) in [
            ("groups", Some(json!(["a"]))),
            ("$.groups", Some(json!(["a"]))),
            ("$.groups[0]", Some(json!("a"))),
            ("realm.roles[1]['y z']", Some(json!(1))),
            ("$['realm'].roles[0]", Some(json!("x"))),
            ("groups[7]", None),
            ("none.at.all", None),
        ] {
            assert_eq!(Path::parse(path).unwrap().find(&user).cloned(), wanted, "{path}");
        }
        for path in ["", "$", "$..a", "a[", "a[x]", "a..b", "a."] {
            assert_eq!(Path::parse(path), None, "{path}");
        }
    }

    #[test]
    fn values_are_read_as_told() {
        let pipes = Reading::segmented(r"\|").unwrap();
        let either = Reading::segmented(r"\s|,").unwrap();
        for (reading, value, wanted) in [
            (&pipes, json!("x | a|b"), true),
            (&pipes, json!("a,b"), false),
            (&pipes, json!(["a"]), false),
            (&either, json!("x, a y"), true),
            (&either, json!("\u{e9} a"), true),
            (&Reading::Json, json!(r#"["a"]"#), true),
            (&Reading::Json, json!(["a"]), false),
            (&Reading::Json, json!("a"), false),
            (&Reading::List, json!(["x", "a"]), true),
            (&Reading::List, json!("a"), false),
            (&Reading::Any, json!(7), false),
            (&Reading::Any, Value::Null, false),
        ] {
            assert_eq!(reading.has_any(&value, &["a".to_owned()]), wanted, "{value}");
        }
    }
}
