//! An object as an APISIX shows it, and as it takes it.
//!
//! What it adds by itself is left out of comparisons and writes. Private keys of certificates are never shown; a reference stands in for them,
//! and an edit beside it is sent as a patch that doesn't speak of the key.

use serde_json::{Map, Value};
use usher_model::kind::{Key, Kind};
use usher_model::mask::is_mask;
use usher_model::reference::KEPT_BY_APISIX;
use usher_model::seal::is_sealed;

/// Members that only an APISIX writes.
const TIMES: [&str; 2] = ["create_time", "update_time"];

/// An object of the far side.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) key: Key,
    pub(super) value: Value,
    /// When it was made and last changed, by the far side's own count; 0 where it doesn't say.
    pub(super) mark: Mark,
    /// Its version, where the far side compares that at a write.
    pub(super) etag: Option<String>,
}

/// `createdIndex` and `modifiedIndex`.
pub(super) type Mark = (u64, u64);

impl Object {
    /// Reads an item of a list, or the answer to a GET; `None` where it is neither.
    pub(super) fn of(kind: Kind, item: &Value) -> Option<Self> {
        let path = item.get("key")?.as_str()?;
        let mut value = item.get("value").filter(|value| value.is_object())?.clone();
        // The prefix of its etcd is its own business.
        let collection = format!("/{}/", kind.collection());
        let (_, id) = path.split_once(&collection)?;
        let key = Key::parse(&format!("{}{collection}{id}", usher_model::kind::PREFIX))?;
        let index = |name: &str| match item.get(name) {
            Some(Value::Number(number)) => number.as_u64().unwrap_or_default(),
            Some(Value::String(text)) => text.parse().unwrap_or_default(),
            _ => 0,
        };
        stand_in(&key, &mut value);
        Some(Self { key, value, mark: (index("createdIndex"), index("modifiedIndex")), etag: None })
    }
}

/// Puts references where the far side leaves private keys out, or masks them.
fn stand_in(key: &Key, value: &mut Value) {
    if key.kind != Kind::Ssl {
        return;
    }
    let Value::Object(members) = value else { return };
    let further = members.get("certs").and_then(Value::as_array).map_or(0, Vec::len);
    members.insert("key".to_owned(), format!("{KEPT_BY_APISIX}{}/key", key.id).into());
    if further > 0 {
        let keys = (0..further).map(|at| format!("{KEPT_BY_APISIX}{}/keys/{at}", key.id).into());
        members.insert("keys".to_owned(), Value::Array(keys.collect()));
    }
}

/// Where a value holds what can't be sent: what only the far side knows.
pub(super) fn kept_inside(value: &Value) -> bool {
    any_text(value, &|text| text.starts_with(KEPT_BY_APISIX) || is_mask(text))
}

/// Where a value holds what was sealed and couldn't be opened.
pub(super) fn sealed_inside(value: &Value) -> bool {
    any_text(value, &is_sealed)
}

fn any_text(value: &Value, holds: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => holds(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, holds)),
        Value::Object(members) => members.values().any(|member| any_text(member, holds)),
        _ => false,
    }
}

/// The value without what the far side adds by itself and refuses to be given: the id, and times wherever it looks for them.
pub(super) fn bare(value: &Value) -> Value {
    let mut bare = value.clone();
    if let Value::Object(members) = &mut bare {
        members.shift_remove("id");
        without_times(members);
        for name in ["upstream", "plugins"] {
            if let Some(Value::Object(below)) = members.get_mut(name) {
                without_times(below);
            }
        }
    }
    bare
}

fn without_times(members: &mut Map<String, Value>) {
    for name in TIMES {
        members.shift_remove(name);
    }
}

/// Whether two values are the same to the far side.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    bare(one) == bare(other)
}

/// What a PATCH has to say to make one value the other; `None` where it can't: a member that shall be null would be deleted.
pub(super) fn patch(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return None };
    let mut said = Map::new();
    for (name, wanted) in to {
        match from.get(name) {
            Some(found) if found == wanted => {}
            Some(found @ Value::Object(_)) if wanted.is_object() => {
                said.insert(name.clone(), patch(found, wanted)?);
            }
            _ if has_null(wanted) => return None,
            _ => {
                said.insert(name.clone(), wanted.clone());
            }
        }
    }
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        said.insert(name.clone(), Value::Null);
    }
    Some(Value::Object(said))
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}

/// Whether APISIX has PATCH for a kind.
pub(super) const fn is_patched(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Consumer
            | Kind::Credential
            | Kind::PluginMetadata
            | Kind::Proto
            | Kind::StreamRoute
            | Kind::CostDecoration
    )
}

/// The path below `/apisix/admin`.
pub(super) fn path(key: &Key) -> String {
    format!("/{}/{}", key.kind.collection(), key.id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_model::kind::{Key, Kind};

    use super::{Object, kept_inside, patch, same};

    #[test]
    fn objects_are_read_whatever_the_far_sides_prefix_is() {
        for (kind, path, wanted) in [
            (Kind::Route, "/apisix/routes/1", Some(Key::new(Kind::Route, "1"))),
            (Kind::Route, "/other/apisix/routes/1", Some(Key::new(Kind::Route, "1"))),
            (Kind::Consumer, "/apisix/consumers/jack/credentials/c1", Some(Key::credential("jack", "c1"))),
            (Kind::Credential, "/apisix/consumers/jack/credentials/c1", Some(Key::credential("jack", "c1"))),
            (Kind::Secret, "/apisix/secrets/vault/1", Some(Key::new(Kind::Secret, "vault/1"))),
            (Kind::Route, "/apisix/services/1", None),
            (Kind::Route, "/apisix/routes/", None),
        ] {
            let read = Object::of(kind, &json!({ "key": path, "value": {}, "modifiedIndex": 3 }));
            assert_eq!(read.map(|object| object.key), wanted, "{path}");
        }
    }

    #[test]
    fn what_the_far_side_adds_is_no_difference() {
        let far = json!({ "id": "1", "uri": "/a", "create_time": 1, "update_time": 9, "upstream": { "nodes": {}, "create_time": 2 } });
        assert!(same(&far, &json!({ "uri": "/a", "upstream": { "nodes": {} } })));
        assert!(!same(&far, &json!({ "uri": "/b", "upstream": { "nodes": {} } })));
    }

    #[test]
    fn a_key_that_is_not_shown_is_never_spoken_of() {
        let item = json!({ "key": "/apisix/ssls/a", "value": { "id": "a", "sni": "a.example", "cert": "C", "certs": ["D"] } });
        let far = Object::of(Kind::Ssl, &item).unwrap();
        assert!(kept_inside(&far.value) && far.value["keys"][0].is_string(), "{}", far.value);
        let mut wanted = far.value.clone();
        wanted["sni"] = json!("b.example");
        wanted["labels"] = json!({ "a": "b" });
        let said = patch(&far.value, &wanted).unwrap();
        assert_eq!(said, json!({ "sni": "b.example", "labels": { "a": "b" } }));
        wanted.as_object_mut().unwrap().remove("labels");
        assert_eq!(
            patch(&json!({ "labels": { "a": "b" }, "x": { "y": 1, "z": 2 } }), &json!({ "x": { "y": 1 } })),
            Some(json!({ "x": { "z": null }, "labels": null }))
        );
        assert_eq!(patch(&json!({}), &json!({ "a": null })), None);
    }
}
