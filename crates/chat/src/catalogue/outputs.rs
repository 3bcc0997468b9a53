//! What each tool answers with, as `structuredContent`.
//!
//! Open, unlike what the tools take: a later version may answer more. Members that hold one of APISIX's objects, a plugin's schema or what the
//! proxy tells of itself are only called objects, because every word here is paid for in every conversation.

use serde_json::{Value, json};

use super::inputs::{list, object as closed, or_null, text, whole};

/// An object with these members and room for more.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let mut schema = closed(members);
    if let Some(words) = schema.as_object_mut() {
        words.shift_remove("additionalProperties");
    }
    schema
}

fn yes_or_no() -> Value {
    json!({ "type": "boolean" })
}

fn open() -> Value {
    json!({ "type": "object" })
}

fn texts() -> Value {
    list(&text())
}

pub(super) fn overview() -> Value {
    object([
        ("version", text()),
        ("revision", whole()),
        ("listeners", texts()),
        ("counts", open()),
        ("problems", list(&open())),
        ("busiest", list(&open())),
    ])
}

pub(super) fn find() -> Value {
    let item = object([("kind", text()), ("id", text()), ("name", or_null(&text())), ("line", text())]);
    object([("total", whole()), ("items", list(&item)), ("next", or_null(&text()))])
}

pub(super) fn get() -> Value {
    object([("kind", text()), ("id", text()), ("revision", whole()), ("value", open())])
}

pub(super) fn explain_request() -> Value {
    let route = object([("id", text()), ("name", or_null(&text())), ("uri", text())]);
    object([
        ("route", or_null(&route)),
        ("passed_over", list(&object([("route", open()), ("because", text())]))),
        ("plugins", texts()),
        ("upstream", or_null(&open())),
        ("answer", or_null(&text())),
    ])
}

pub(super) fn plugin_help() -> Value {
    // One shape for both answers would be an `anyOf` at the top, which some clients refuse; so nothing is required.
    json!({
        "type": "object",
        "properties": {
            "plugins": list(&open()),
            "plugin": text(),
            "summary": text(),
            "phases": texts(),
            "priority": whole(),
            "schema": open(),
            "example": open(),
            "credential_schema": open(),
        },
    })
}

pub(super) fn traffic() -> Value {
    object([("total", open()), ("before", or_null(&open())), ("rows", list(&open())), ("more", whole())])
}

pub(super) fn requests() -> Value {
    object([("requests", list(&open()))])
}

pub(super) fn health() -> Value {
    object([("down", list(&open())), ("failing", list(&open()))])
}

pub(super) fn plan() -> Value {
    object([
        ("plan_id", text()),
        ("risk", text()),
        ("needs_person", yes_or_no()),
        ("text", text()),
        ("affected", texts()),
        ("warnings", texts()),
        ("expires_in_secs", whole()),
    ])
}

pub(super) fn apply() -> Value {
    object([("revision", whole()), ("in_force", yes_or_no()), ("applied", texts()), ("warnings", texts())])
}

pub(super) fn history() -> Value {
    let entry = object([
        ("revision", whole()),
        ("when", text()),
        ("who", text()),
        ("door", text()),
        ("intent", or_null(&text())),
        ("risk", text()),
        ("summary", text()),
        ("undoes", or_null(&whole())),
    ]);
    object([("entries", list(&entry)), ("next", or_null(&whole()))])
}

pub(super) fn probe() -> Value {
    object([
        ("status", whole()),
        ("headers", list(&open())),
        ("body", text()),
        ("millis", whole()),
        ("route", or_null(&text())),
    ])
}

pub(super) fn search() -> Value {
    let result = object([("id", text()), ("title", text()), ("url", text())]);
    object([("results", list(&result))])
}

pub(super) fn fetch() -> Value {
    object([("id", text()), ("title", text()), ("text", text()), ("url", text()), ("metadata", open())])
}

pub(super) fn certificates() -> Value {
    let item = object([
        ("id", text()),
        ("names", texts()),
        ("until", or_null(&text())),
        ("days_left", or_null(&whole())),
        ("in_use", yes_or_no()),
        ("fingerprint", or_null(&text())),
    ]);
    object([("total", whole()), ("items", list(&item))])
}

pub(super) fn export() -> Value {
    object([("format", text()), ("objects", whole()), ("document", text())])
}

pub(super) fn models() -> Value {
    let item = object([("kind", text()), ("id", text()), ("plugins", open())]);
    object([("total", whole()), ("items", list(&item))])
}

pub(super) fn raw_get() -> Value {
    object([("total", whole()), ("list", list(&open())), ("next", or_null(&text()))])
}
