//! Which resources a resource refers to, by its own members and from inside its plugins.

use serde_json::Value;
use usher_model::kind::{Key, Kind};
use usher_model::reference::{self, Reference as SecretReference};

/// Members of plugin bodies that hold the id of a resource.
const IN_PLUGINS: [(&str, Kind); 3] =
    [("upstream_id", Kind::Upstream), ("proto_id", Kind::Proto), ("client_cert_id", Kind::Ssl)];

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

/// The own id of a resource that lives below another, without that one's.
pub(super) fn own_id(key: &Key) -> Option<&str> {
    key.kind.is_below_another().then(|| key.own_id())
}

/// An id, which may be written as a number: `1.0` is the same as `1`, as Lua prints it.
pub(super) fn id_text(value: &Value) -> Option<String> {
    usher_model::kind::id_text(value)
}

/// Every reference of a resource. The resource that it lives below is part of its key and not listed.
pub(super) fn references(kind: Kind, value: &Value) -> Vec<Reference> {
    let client_cert = "upstream/tls/client_cert_id";
    let members: &[(&str, Kind)] = match kind {
        Kind::Route => &[
            ("service_id", Kind::Service),
            ("upstream_id", Kind::Upstream),
            ("plugin_config_id", Kind::PluginConfig),
            (client_cert, Kind::Ssl),
        ],
        Kind::Service => &[("upstream_id", Kind::Upstream), (client_cert, Kind::Ssl)],
        Kind::Upstream => &[("tls/client_cert_id", Kind::Ssl)],
        Kind::Consumer => &[("group_id", Kind::ConsumerGroup)],
        Kind::StreamRoute => &[
            ("service_id", Kind::Service),
            ("upstream_id", Kind::Upstream),
            (client_cert, Kind::Ssl),
            ("protocol/superior_id", Kind::StreamRoute),
        ],
        _ => &[],
    };
    let mut found: Vec<Reference> = members
        .iter()
        .filter_map(|(member, kind)| {
            let mut parts = member.split('/');
            let id = id_text(parts.try_fold(value, |value, part| value.get(part))?)?;
            Some(Reference { target: Key::new(*kind, id), pointer: format!("/{member}"), in_plugin: false })
        })
        .collect();
    each_object_in_plugins(value, &mut |object, pointer| {
        // No plugin is known by name here: whatever it is, a member of such a name is an id, as in traffic-split and grpc-transcode.
        for (member, kind) in IN_PLUGINS {
            if let Some(id) = object.get(member).and_then(id_text) {
                let pointer = format!("{pointer}/{member}");
                found.push(Reference { target: Key::new(kind, id), pointer, in_plugin: true });
            }
        }
    });
    found
}

/// The secret managers that texts of a resource refer to, each with the JSON pointer of the text.
pub(super) fn managers(value: &Value) -> Vec<(Key, String)> {
    let mut found = Vec::new();
    reference::each(value, &mut |text, pointer| {
        if let Some(Ok(SecretReference::Managed { manager, .. })) = SecretReference::parse(text) {
            found.push((manager, pointer.to_owned()));
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
    use usher_model::kind::{Key, Kind};

    use super::{managers, references};

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
        let several = [
            (Kind::Consumer, json!({ "group_id": "g" }), "consumer group g /group_id"),
            (Kind::Upstream, json!({ "tls": { "client_cert_id": 1 } }), "ssl 1 /tls/client_cert_id"),
            (
                Kind::StreamRoute,
                json!({ "protocol": { "superior_id": "2" } }),
                "stream route 2 /protocol/superior_id",
            ),
            (
                Kind::ConsumerGroup,
                json!({ "plugins": { "grpc-transcode": { "proto_id": "p" } } }),
                "proto p /plugins/grpc-transcode/proto_id",
            ),
        ];
        for (kind, value, wanted) in several {
            let found = references(kind, &value);
            assert_eq!(format!("{} {}", found[0].target, found[0].pointer), wanted);
        }
        let told =
            managers(&json!({ "a": "$secret://vault/1/b/c", "d": "$env://E", "f": "$secret://vault" }));
        assert_eq!(told, [(Key::new(Kind::Secret, "vault/1"), "/a".to_owned())]);
    }
}
