//! What each tool takes: the smallest subset of JSON schema that every model provider understands.
//!
//! Strict: every member is required and may be null where it may be left out; no references, no limits, no lists of types.

use serde_json::{Map, Value, json};

/// The kinds as arguments spell them.
pub(crate) const KINDS: [&str; 14] = [
    "route",
    "service",
    "upstream",
    "consumer",
    "credential",
    "plugin_config",
    "global_rule",
    "consumer_group",
    "ssl",
    "plugin_metadata",
    "proto",
    "secret",
    "stream_route",
    "graphql_cost_decoration",
];

pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let required = json!(required);
    let properties: Map<String, Value> =
        members.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn whole() -> Value {
    json!({ "type": "integer" })
}

pub(super) fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

pub(super) fn or_null(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

pub(super) fn kind() -> Value {
    json!({ "type": "string", "enum": KINDS })
}

/// Headers as arguments and results carry them.
pub(super) fn headers() -> Value {
    list(&object([("name", text()), ("value", text())]))
}

pub(super) fn overview() -> Value {
    object([])
}

pub(super) fn find() -> Value {
    // The kinds are listed where objects are planned; a wrong one is told with all of them.
    object([
        ("kind", text()),
        ("text", or_null(&text())),
        ("label", or_null(&text())),
        ("cursor", or_null(&text())),
        ("limit", or_null(&whole())),
    ])
}

pub(super) fn get() -> Value {
    object([("kind", text()), ("id", text())])
}

pub(super) fn explain_request() -> Value {
    object([
        ("method", text()),
        ("path", text()),
        ("host", or_null(&text())),
        ("headers", or_null(&headers())),
        ("client", or_null(&text())),
    ])
}

pub(super) fn plugin_help() -> Value {
    object([("plugin", or_null(&text()))])
}

pub(super) fn traffic() -> Value {
    object([
        ("by", or_null(&text())),
        ("range", or_null(&text())),
        ("compare", or_null(&text())),
        ("route", or_null(&text())),
        ("consumer", or_null(&text())),
        ("status", or_null(&text())),
        ("sort", or_null(&text())),
        ("limit", or_null(&whole())),
    ])
}

pub(super) fn requests() -> Value {
    object([
        ("route", or_null(&text())),
        ("consumer", or_null(&text())),
        ("status", or_null(&text())),
        ("path", or_null(&text())),
        ("limit", or_null(&whole())),
    ])
}

pub(super) fn health() -> Value {
    object([])
}

pub(super) fn plan() -> Value {
    let change = object([
        ("op", json!({ "type": "string", "enum": ["create", "replace", "merge", "delete"] })),
        ("kind", kind()),
        ("id", or_null(&text())),
        ("body_json", or_null(&text())),
    ]);
    object([("changes", list(&change)), ("intent", text())])
}

pub(super) fn import_openapi() -> Value {
    object([
        ("document", text()),
        ("prefix", or_null(&text())),
        ("server", or_null(&text())),
        ("id", or_null(&text())),
        ("intent", text()),
    ])
}

pub(super) fn apply() -> Value {
    object([("plan_id", text())])
}

pub(super) fn history() -> Value {
    object([
        ("kind", or_null(&text())),
        ("id", or_null(&text())),
        ("before", or_null(&whole())),
        ("limit", or_null(&whole())),
    ])
}

pub(super) fn undo() -> Value {
    object([("revision", or_null(&whole())), ("intent", or_null(&text()))])
}

pub(super) fn probe() -> Value {
    object([
        ("method", text()),
        ("path", text()),
        ("host", or_null(&text())),
        ("headers", or_null(&headers())),
        ("body", or_null(&text())),
    ])
}

pub(super) fn search() -> Value {
    object([("query", text())])
}

pub(super) fn fetch() -> Value {
    object([("id", text())])
}

pub(super) fn certificates() -> Value {
    object([("within_days", or_null(&whole()))])
}

pub(super) fn export() -> Value {
    let format = json!({ "type": "string", "enum": ["usher", "apisix"] });
    object([("format", format), ("kinds", or_null(&list(&text()))), ("label", or_null(&text()))])
}

pub(super) fn models() -> Value {
    object([])
}

pub(super) fn raw_get() -> Value {
    object([("path", text()), ("cursor", or_null(&text()))])
}
