//! Which resources a resource refers to, by its own members and from inside its plugins.

use serde_json::Value;
use usher_model::kind::{Key, Kind};

/// How deep plugin bodies are searched.
const DEEPEST: usize = 16;

/// One reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// What is referred to.
    pub(super) target: Key,
    /// Where the reference stands, as a JSON pointer.
    pub(super) pointer: String,
    /// Whether it stands inside a plugin's body.
    pub(super) in_plugin: bool,
}

/// A credential's own id, without its consumer.
pub(super) fn own_id(key: &Key) -> Option<&str> {
    key.id.split_once("/credentials/").map(|(_, own)| own)
}

/// An id, which may be written as a number.
pub(super) fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Every reference of a resource. A credential's consumer is part of its key and not listed.
pub(super) fn references(kind: Kind, value: &Value) -> Vec<Reference> {
    let members: &[(&str, Kind)] = match kind {
        Kind::Route => &[
            ("service_id", Kind::Service),
            ("upstream_id", Kind::Upstream),
            ("plugin_config_id", Kind::PluginConfig),
        ],
        Kind::Service => &[("upstream_id", Kind::Upstream)],
        _ => &[],
    };
    let mut found: Vec<Reference> = members
        .iter()
        .filter_map(|(member, kind)| {
            let id = id_text(value.get(member)?)?;
            Some(Reference { target: Key::new(*kind, id), pointer: format!("/{member}"), in_plugin: false })
        })
        .collect();
    each_object_in_plugins(value, &mut |object, pointer| {
        // No plugin is known by name here: whatever it is, a member of this name is an upstream's id, as in traffic-split.
        if let Some(id) = object.get("upstream_id").and_then(id_text) {
            let pointer = format!("{pointer}/upstream_id");
            found.push(Reference { target: Key::new(Kind::Upstream, id), pointer, in_plugin: true });
        }
    });
    found
}

/// The JSON pointer of a plugin's body.
pub(super) fn plugin_pointer(name: &str) -> String {
    format!("/plugins/{}", pointer_part(name))
}

/// A member's name inside a JSON pointer.
pub(super) fn pointer_part(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Calls `f` for every object inside the bodies of a resource's plugins, with its JSON pointer.
pub(super) fn each_object_in_plugins(value: &Value, f: &mut impl FnMut(&Value, &str)) {
    let plugins = value.get("plugins").and_then(Value::as_object);
    for (name, body) in plugins.into_iter().flatten() {
        walk(body, &plugin_pointer(name), DEEPEST, f);
    }
}

fn walk(value: &Value, pointer: &str, depth: usize, f: &mut impl FnMut(&Value, &str)) {
    if depth == 0 {
        return;
    }
    match value {
        Value::Object(members) => {
            f(value, pointer);
            for (name, member) in members.iter().filter(|(_, member)| member.is_object() || member.is_array())
            {
                walk(member, &format!("{pointer}/{}", pointer_part(name)), depth - 1, f);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                walk(item, &format!("{pointer}/{at}"), depth - 1, f);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_model::kind::Kind;

    use super::references;

    #[test]
    fn references_are_found_in_members_and_plugins() {
        let route = json!({
            "uri": "/a", "service_id": 7, "upstream_id": "u", "plugin_config_id": "p",
            "plugins": {
                "traffic-split": { "rules": [{ "weighted_upstreams": [{ "upstream_id": 9 }, { "weight": 1 }] }] },
                "request-validation": { "body_schema": { "properties": { "upstream_id": { "type": "string" } } } },
            },
        });
        let told: Vec<String> = references(Kind::Route, &route)
            .into_iter()
            .map(|found| format!("{} {} {}", found.target, found.pointer, found.in_plugin))
            .collect();
        assert_eq!(
            told,
            [
                "service 7 /service_id false",
                "upstream u /upstream_id false",
                "plugin config p /plugin_config_id false",
                "upstream 9 /plugins/traffic-split/rules/0/weighted_upstreams/0/upstream_id true",
            ]
        );
        assert!(references(Kind::Upstream, &json!({ "upstream_id": "u" })).is_empty());
    }
}
