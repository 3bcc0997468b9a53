//! What differs between two values, field by field.

use serde::Serialize;
use serde_json::Value;

/// One field before and after. `None` is absence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldChange {
    /// Where, such as `plugins.limit-count.count` or `methods`; empty for the whole value.
    pub path: String,
    /// What was there.
    pub before: Option<Value>,
    /// What is there now.
    pub after: Option<Value>,
}

/// The differences, in the order of the members: objects are stepped into where both sides have one, arrays and scalars are taken whole.
#[must_use]
pub fn diff(before: Option<&Value>, after: Option<&Value>) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    walk(String::new(), before, after, &mut changes);
    changes
}

fn walk(path: String, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<FieldChange>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for (name, value) in old {
                walk(below(&path, name), Some(value), new.get(name), changes);
            }
            for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                walk(below(&path, name), None, Some(value), changes);
            }
        }
        // A new or deleted object is told member by member at the top, so that it reads like the object itself.
        (None, Some(Value::Object(new))) if path.is_empty() => {
            for (name, value) in new {
                walk(below(&path, name), None, Some(value), changes);
            }
        }
        (Some(Value::Object(old)), None) if path.is_empty() => {
            for (name, value) in old {
                walk(below(&path, name), Some(value), None, changes);
            }
        }
        _ => changes.push(FieldChange { path, before: before.cloned(), after: after.cloned() }),
    }
}

fn below(path: &str, name: &str) -> String {
    // A name with dots, such as a node's address, is bracketed so that the path can be read; an empty one so that it is seen.
    match (path.is_empty(), name.contains('.') || name.is_empty()) {
        (true, false) => name.to_owned(),
        (true, true) => format!("[{name}]"),
        (false, false) => format!("{path}.{name}"),
        (false, true) => format!("{path}[{name}]"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::diff;

    #[test]
    fn a_member_without_a_name_is_told_as_one() {
        let odd = json!({ "": { "uri": "/hidden" }, "uri": "/a" });
        let paths = |changes: Vec<super::FieldChange>| -> Vec<String> {
            changes.into_iter().map(|change| change.path).collect()
        };
        assert_eq!(paths(diff(None, Some(&odd))), ["[]", "uri"]);
        assert_eq!(paths(diff(Some(&odd), None)), ["[]", "uri"]);
        assert_eq!(paths(diff(Some(&json!({ "": { "uri": "/b" }, "uri": "/a" })), Some(&odd))), ["[].uri"]);
    }

    #[test]
    fn differences_are_told_by_field() {
        let before = json!({ "uri": "/a", "plugins": { "limit-count": { "count": 5, "key": "x" } }, "nodes": { "1.2.3.4:80": 1 } });
        let after = json!({ "uri": "/a", "plugins": { "limit-count": { "count": 10, "key": "x" }, "cors": {} }, "nodes": {} });
        let told: Vec<String> = diff(Some(&before), Some(&after))
            .into_iter()
            .map(|change| {
                format!(
                    "{} {:?} {:?}",
                    change.path,
                    change.before.map(|v| v.to_string()),
                    change.after.map(|v| v.to_string())
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "plugins.limit-count.count Some(\"5\") Some(\"10\")",
                "plugins.cors None Some(\"{}\")",
                "nodes[1.2.3.4:80] Some(\"1\") None",
            ]
        );
        assert!(diff(Some(&after), Some(&after)).is_empty());
        assert_eq!(diff(None, Some(&json!({ "uri": "/a" }))).len(), 1);
    }
}
