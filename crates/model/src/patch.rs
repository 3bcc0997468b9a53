//! What PATCH does to a value: a merge, or the replacement of one member (Admin API contract, section 4.2).

use serde_json::{Map, Value};

/// Merges: objects member by member, `null` deletes a member, anything else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(members) = target.as_object_mut() else { return };
    for (name, wanted) in patch {
        match wanted {
            Value::Null => {
                members.shift_remove(name);
            }
            Value::Object(_) => merge(members.entry(name.as_str()).or_insert(Value::Null), wanted),
            _ => {
                members.insert(name.clone(), wanted.clone());
            }
        }
    }
}

/// Names of a sub-path at most: a value that is deeper is refused anyway, and reading one of thousands of levels ends the stack.
const DEEPEST: usize = 64;

/// Replaces the member at `sub_path` (`upstream/nodes`), making missing objects on the way. `null` is a value like any other
/// here, which the schema then refuses, as APISIX does.
///
/// # Errors
/// `invalid sub-path: /a/b` where something on the way is no object; a path of more than 64 names.
pub fn replace_at(target: &mut Value, sub_path: &str, value: Value) -> Result<(), String> {
    let bad = || format!("invalid sub-path: /{}", sub_path.trim_matches('/'));
    let mut names: Vec<&str> = sub_path.trim_matches('/').split('/').collect();
    if names.len() > DEEPEST {
        return Err(format!("invalid sub-path: it has {} names, at most {DEEPEST} are allowed", names.len()));
    }
    let last = names.pop().filter(|last| !last.is_empty()).ok_or_else(bad)?;
    let mut place = target;
    for name in names {
        let members = place.as_object_mut().ok_or_else(bad)?;
        place = members.entry(name).or_insert_with(|| Value::Object(Map::new()));
    }
    place.as_object_mut().ok_or_else(bad)?.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{merge, replace_at};

    #[test]
    fn merging_adds_replaces_and_deletes() {
        for (target, patch, wanted) in [
            (json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
            (json!({"n": {"a:80": 1}}), json!({"n": {"b:80": 1, "a:80": null}}), json!({"n": {"b:80": 1}})),
            (json!({"l": [1, 2]}), json!({"l": [3]}), json!({"l": [3]})),
            (json!({"a": 1}), json!({"a": {"b": {"c": null, "d": 1}}}), json!({"a": {"b": {"d": 1}}})),
            (json!({"a": 1}), json!({"x": null}), json!({"a": 1})),
        ] {
            let mut merged: Value = target;
            merge(&mut merged, &patch);
            assert_eq!(merged, wanted);
        }
    }

    #[test]
    fn a_path_of_thousands_of_names_is_refused() {
        let mut value = json!({ "a": 1 });
        let error = replace_at(&mut value, &"n/".repeat(3000), json!(1)).unwrap_err();
        assert!(error.contains("it has 3000 names, at most 64"), "{error}");
        assert_eq!(value, json!({ "a": 1 }));
        replace_at(&mut value, &"n/".repeat(64), json!(1)).unwrap();
    }

    #[test]
    fn a_member_is_replaced_at_its_path() {
        let mut value = json!({ "upstream": { "nodes": { "a:80": 1 } }, "uri": "/a" });
        replace_at(&mut value, "upstream/nodes", json!({ "b:80": 1 })).unwrap();
        replace_at(&mut value, "plugins/limit-count/count", json!(10)).unwrap();
        assert_eq!(
            value,
            json!({ "upstream": { "nodes": { "b:80": 1 } }, "uri": "/a", "plugins": { "limit-count": { "count": 10 } } })
        );
        assert_eq!(replace_at(&mut value, "uri/b", json!(1)).unwrap_err(), "invalid sub-path: /uri/b");
        assert_eq!(replace_at(&mut value, "", json!(1)).unwrap_err(), "invalid sub-path: /");
    }
}
