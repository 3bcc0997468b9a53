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
                walk(name.clone(), None, Some(value), changes);
            }
        }
        (Some(Value::Object(old)), None) if path.is_empty() => {
            for (name, value) in old {
                walk(name.clone(), Some(value), None, changes);
            }
        }
        _ => changes.push(FieldChange { path, before: before.cloned(), after: after.cloned() }),
    }
}

fn below(path: &str, name: &str) -> String {
    // A name with dots, such as a node's address, is bracketed so that the path can be read.
    match (path.is_empty(), name.contains('.')) {
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
