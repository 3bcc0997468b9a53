//! Places in a JSON document by JSONPath: members, items, wildcards, and any depth; what is found may be changed or taken away.

use serde_json::Value;

/// Steps of one path.
const MOST_STEPS: usize = 64;

/// A path, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// At any depth below, not just here.
    deep: bool,
    choices: Vec<Choice>,
}

#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Member(String),
    /// From behind where it is negative.
    Item(i64),
    Every,
}

impl Path {
    /// Reads a path, with or without `$` in front.
    ///
    /// # Errors
    /// The sentence of what is no path, or one that isn't understood.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("name \"{text}\" is no path that is understood: {why}");
        let mut steps = Vec::new();
        let mut rest = match text.strip_prefix('$') {
            Some(rest) => rest.to_owned(),
            // A bare name is a member of the document.
            None if !text.starts_with(['.', '[']) => format!(".{text}"),
            None => text.to_owned(),
        };
        while !rest.is_empty() {
            let deep = rest.starts_with("..");
            let behind = rest.strip_prefix("..").or_else(|| rest.strip_prefix('.')).unwrap_or(&rest);
            let dotted = behind.len() < rest.len();
            let (choices, left) = if let Some(inside) = behind.strip_prefix('[') {
                bracketed(inside).map_err(|why| bad(&why))?
            } else if dotted {
                let end = behind.find(['.', '[']).unwrap_or(behind.len());
                let (name, left) = behind.split_at(end);
                let choice = match name {
                    "" => return Err(bad("a dot has a name behind it")),
                    "*" => Choice::Every,
                    name => Choice::Member(name.to_owned()),
                };
                (vec![choice], left)
            } else {
                return Err(bad("names are set apart by dots"));
            };
            let left = left.to_owned();
            steps.push(Step { deep, choices });
            if steps.len() > MOST_STEPS {
                return Err(bad("it has too many steps"));
            }
            rest = left;
        }
        if steps.is_empty() {
            return Err(bad("it has to name something inside of the document"));
        }
        Ok(Self(steps))
    }

    /// Puts in the place of everything that it finds what `new` makes of it; `None` takes it away. Whether anything was found.
    pub(super) fn edit(&self, value: &mut Value, new: &dyn Fn(&Value) -> Option<Value>) -> bool {
        edit(value, &self.0, new)
    }
}

/// The choices in brackets, and what follows them.
fn bracketed(inside: &str) -> Result<(Vec<Choice>, &str), String> {
    let mut choices = Vec::new();
    let mut rest = inside;
    loop {
        rest = rest.trim_start();
        let quote = rest.chars().next().filter(|first| matches!(first, '\'' | '"'));
        let (choice, behind) = if let Some(quote) = quote {
            let inner = rest.get(1..).unwrap_or_default();
            let (name, behind) = inner.split_once(quote).ok_or("a quote has no end")?;
            (Choice::Member(name.to_owned()), behind)
        } else {
            let end = rest.find([',', ']']).ok_or("a bracket has no end")?;
            let (word, behind) = rest.split_at(end);
            let choice = match word.trim() {
                "*" => Choice::Every,
                word => Choice::Item(word.parse().map_err(|_| {
                    format!("in brackets stand names in quotes, places and *, but not {word:?}")
                })?),
            };
            (choice, behind)
        };
        choices.push(choice);
        let behind = behind.trim_start();
        if let Some(left) = behind.strip_prefix(']') {
            return Ok((choices, left));
        }
        rest = behind.strip_prefix(',').ok_or("a bracket has no end")?;
    }
}

/// The reader of JSON bounds how deep a document is, so that this ends.
fn edit(value: &mut Value, steps: &[Step], new: &dyn Fn(&Value) -> Option<Value>) -> bool {
    let Some((step, rest)) = steps.split_first() else { return false };
    let mut found = false;
    if step.deep {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| found |= edit(item, steps, new)),
            Value::Object(members) => {
                members.iter_mut().for_each(|(_, member)| found |= edit(member, steps, new));
            }
            _ => {}
        }
    }
    match value {
        Value::Array(items) => {
            let length = items.len();
            let mut at = 0;
            items.retain_mut(|item| {
                let here = step.takes_item(at, length);
                at += 1;
                if !here {
                    return true;
                }
                if !rest.is_empty() {
                    found |= edit(item, rest, new);
                    return true;
                }
                found = true;
                put(item, new(item))
            });
        }
        Value::Object(members) => members.retain(|name, member| {
            if !step.takes_member(name) {
                return true;
            }
            if !rest.is_empty() {
                found |= edit(member, rest, new);
                return true;
            }
            found = true;
            put(member, new(member))
        }),
        _ => {}
    }
    found
}

fn put(place: &mut Value, new: Option<Value>) -> bool {
    match new {
        Some(new) => {
            *place = new;
            true
        }
        None => false,
    }
}

impl Step {
    fn takes_item(&self, at: usize, length: usize) -> bool {
        self.choices.iter().any(|choice| match choice {
            Choice::Every => true,
            Choice::Item(wanted) => match usize::try_from(*wanted) {
                Ok(wanted) => wanted == at,
                Err(_) => usize::try_from(wanted.unsigned_abs()).is_ok_and(|back| at + back == length),
            },
            Choice::Member(_) => false,
        })
    }

    fn takes_member(&self, name: &str) -> bool {
        self.choices.iter().any(|choice| match choice {
            Choice::Every => true,
            Choice::Member(wanted) => wanted == name,
            Choice::Item(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Path;

    #[test]
    fn everything_that_a_path_names_is_changed_or_taken_away() {
        let document = || {
            json!({
                "a": { "b": "1", "c": ["x", "y", { "b": "2" }] },
                "d.e": "3",
                "l": [{ "k": "4" }, { "k": "5", "m": 6 }],
            })
        };
        for (path, hidden) in [
            ("$.a.b", &["1"] as &[&str]),
            ("a.b", &["1"]),
            ("$['a']['b']", &["1"]),
            ("$..b", &["1", "2"]),
            ("$.a..b", &["1", "2"]),
            ("$['d.e']", &["3"]),
            ("$.l[*].k", &["4", "5"]),
            ("$.l[0].k", &["4"]),
            ("$.l[-1].k", &["5"]),
            ("$.l[0, 1]['k', \"m\"]", &["4", "5", "6"]),
            ("$.a.c[1]", &["y"]),
            ("$..k", &["4", "5"]),
            ("$.a.c..*", &["x", "y", "2"]),
            ("$.nobody", &[]),
            ("$.a.b.c", &[]),
            ("$.l[7]", &[]),
        ] {
            let read = Path::parse(path).unwrap();
            for takes_away in [false, true] {
                let mut edited = document();
                let new = |_: &Value| if takes_away { None } else { Some(Value::from("-")) };
                assert_eq!(read.edit(&mut edited, &new), !hidden.is_empty(), "{path}");
                let text = edited.to_string();
                for one in ["1", "2", "3", "4", "5", "6", "x", "y"] {
                    let stands = text.contains(&format!("\"{one}\"")) || text.contains(&format!(":{one}"));
                    assert_eq!(stands, !hidden.contains(&one), "{path} {one} {text}");
                }
                assert_eq!(text.contains("\"-\""), !takes_away && !hidden.is_empty(), "{path} {text}");
            }
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in [
            "$",
            "",
            "$.",
            "$.a.",
            "$a",
            "$.a[",
            "$.a[?(@.b)]",
            "$.a['b",
            "$.a[0:2]",
            "$.a[0",
            "$.a]b[x]",
            "$[(@.length-1)]",
        ] {
            let refused = Path::parse(path).err().unwrap_or_else(|| panic!("{path} was taken"));
            assert!(refused.contains(&format!("name \"{path}\" is no path")), "{refused}");
        }
        assert!(Path::parse(&"..a".repeat(65)).is_err());
    }
}
