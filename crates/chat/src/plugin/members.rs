//! What the document says of an object's members: a part of the real schema, in the few words that models handle well.
//!
//! The real schema decides what is accepted. Here are its names and types, without patterns, bounds and alternatives, which only cost tokens.

use serde_json::{Map, Value, json};
use usher_model::kind::Kind;
use usher_model::schema::schema;

/// The members that are described, each with the words for it. What isn't here is rare, and is still accepted.
const ROUTE: &[(&str, &str)] = &[
    ("name", "a name for people"),
    ("desc", "what it is for"),
    ("labels", "keys and values to find it by"),
    ("uri", "the path: exact such as /a, or a prefix such as /a/*; this or uris"),
    ("uris", "several paths"),
    ("methods", "the methods taken; all without it"),
    ("host", "the host taken, such as api.example.com or *.example.com"),
    ("hosts", "several hosts"),
    ("priority", "decides among routes with the same path; higher first"),
    ("vars", "conditions over request variables, such as [[\"arg_version\", \"==\", \"2\"]]"),
    ("plugins", "settings by plugin name, such as {\"limit-count\": {\"count\": 10, \"time_window\": 60}}"),
    ("upstream_id", "the upstream it goes to; this, upstream or service_id"),
    ("upstream", "an upstream written in place"),
    ("service_id", "a service it belongs to"),
    ("plugin_config_id", "a plugin config whose plugins it takes over"),
    ("enable_websocket", "whether WebSocket connections pass"),
    ("status", "1 serves, 0 takes the route out"),
];
const SERVICE: &[(&str, &str)] = &[
    ("name", "a name for people"),
    ("desc", "what it is for"),
    ("labels", "keys and values to find it by"),
    ("hosts", "hosts for its routes that have none"),
    ("plugins", "settings by plugin name, for all its routes"),
    ("upstream_id", "the upstream its routes go to"),
    ("upstream", "an upstream written in place"),
    ("enable_websocket", "whether WebSocket connections pass"),
];
const UPSTREAM: &[(&str, &str)] = &[
    ("name", "a name for people"),
    ("desc", "what it is for"),
    ("labels", "keys and values to find it by"),
    ("type", "how a node is chosen: roundrobin"),
    ("nodes", "weights by address, such as {\"127.0.0.1:8080\": 1}"),
    ("scheme", "http or https"),
    (
        "pass_host",
        "which Host the node sees: pass keeps the client's, node takes the node's, rewrite takes upstream_host",
    ),
    ("upstream_host", "the Host for pass_host rewrite"),
    ("retries", "how often another node is tried"),
    ("timeout", "seconds to connect, send and read"),
];

/// The kinds that have operations in the document.
pub(super) const KINDS: [Kind; 3] = [Kind::Route, Kind::Service, Kind::Upstream];

/// The described members of a kind.
const fn described(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Service => SERVICE,
        Kind::Upstream => UPSTREAM,
        _ => ROUTE,
    }
}

/// The schema of a kind for the document.
pub(super) fn simplified(kind: Kind) -> Value {
    let properties: Map<String, Value> = described(kind)
        .iter()
        .map(|(name, words)| {
            let real = schema(kind).pointer(&format!("/properties/{name}")).unwrap_or(&Value::Null);
            ((*name).to_owned(), member(name, real, words))
        })
        .collect();
    json!({ "type": "object", "properties": properties })
}

fn member(name: &str, real: &Value, words: &str) -> Value {
    let mut simple = match name {
        "upstream" => json!({ "type": "object", "properties": {
            "type": { "type": "string" }, "scheme": { "type": "string", "enum": ["http", "https"] },
            "nodes": { "type": "object", "additionalProperties": { "type": "integer" } },
        } }),
        "nodes" => json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
        "labels" => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        "plugins" => json!({ "type": "object", "additionalProperties": { "type": "object" } }),
        "vars" => json!({ "type": "array", "items": { "type": "array", "items": {} } }),
        "scheme" => json!({ "type": "string", "enum": ["http", "https"] }),
        _ => plain(real),
    };
    if let Some(members) = simple.as_object_mut() {
        members.insert("description".to_owned(), words.into());
    }
    simple
}

/// A schema's type, choices and parts, and nothing else; of alternatives the first.
fn plain(real: &Value) -> Value {
    if let Some(first) = real.get("anyOf").and_then(Value::as_array).and_then(|branches| branches.first()) {
        return plain(first);
    }
    let mut simple = Map::new();
    for kept in ["type", "enum", "default"] {
        if let Some(value) = real.get(kept) {
            simple.insert(kept.to_owned(), value.clone());
        }
    }
    if let Some(items) = real.get("items") {
        simple.insert("items".to_owned(), plain(items));
    }
    if let Some(properties) = real.get("properties").and_then(Value::as_object) {
        let properties: Map<String, Value> =
            properties.iter().map(|(name, member)| (name.clone(), plain(member))).collect();
        simple.insert("properties".to_owned(), properties.into());
    }
    simple.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_model::kind::Kind;
    use usher_model::schema::{check, schema};

    use super::{KINDS, described, simplified};

    #[test]
    fn every_described_member_is_one_of_the_real_schema() {
        for kind in KINDS {
            for (name, words) in described(kind) {
                assert!(schema(kind)["properties"].get(name).is_some(), "{kind} has no {name}");
                assert!(words.len() <= 300, "{kind} {name}");
                assert!(
                    simplified(kind)["properties"][name].get("type").is_some(),
                    "{kind} {name} has no type"
                );
            }
        }
    }

    #[test]
    fn what_the_words_show_is_accepted() {
        let route = json!({
            "uri": "/a/*", "hosts": ["*.example.com"], "vars": [["arg_version", "==", "2"]], "status": 1, "upstream_id": "x",
            "plugins": { "limit-count": { "count": 10, "time_window": 60 } }, "labels": { "env": "test" },
        });
        check(Kind::Route, &route).unwrap();
        let upstream = json!({ "type": "roundrobin", "nodes": { "127.0.0.1:8080": 1 }, "scheme": "https", "pass_host": "rewrite",
            "upstream_host": "a.example", "retries": 1, "timeout": { "connect": 1, "send": 1, "read": 1 } });
        check(Kind::Upstream, &upstream).unwrap();
        check(Kind::Service, &json!({ "hosts": ["a"], "upstream": upstream })).unwrap();
    }
}
