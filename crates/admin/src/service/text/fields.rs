//! One change field by field, values whole.

use std::collections::HashMap;

use serde_json::{Map, Value};
use usher_model::certificate;
use usher_model::change::Change;
use usher_model::diff::{FieldChange, diff};

use crate::service::escape::plain;

/// Members that every resource has and that tell nothing of a change.
const SILENT: [&str; 3] = ["id", "create_time", "update_time"];

/// Members that only describe: their changes are told behind those that requests meet.
const DESCRIPTIVE: [&str; 3] = ["name", "desc", "labels"];

/// Items up to which a changed list is told whole.
const FEW: usize = 6;

/// The lines of one change.
pub(super) fn change(change: &Change) -> Vec<String> {
    let key = plain(&change.key.to_string());
    match (&change.before, &change.after) {
        (None, Some(after)) => titled(format!("+ {key}"), whole(after)),
        (Some(before), None) => titled(format!("- {key}"), whole(before)),
        (Some(before), Some(after)) => {
            let mut fields = diff(Some(before), Some(after));
            fields.retain(|field| !SILENT.contains(&field.path.as_str()));
            fields.sort_by_key(|field| {
                DESCRIPTIVE.contains(&field.path.split(['.', '[']).next().unwrap_or_default())
            });
            let mut lines: Vec<String> = fields.iter().flat_map(field_lines).collect();
            if lines.is_empty() {
                lines.push("    nothing but its update_time".to_owned());
            }
            titled(format!("~ {key}"), lines)
        }
        (None, None) => Vec::new(),
    }
}

fn titled(title: String, mut lines: Vec<String>) -> Vec<String> {
    lines.insert(0, title);
    lines
}

/// A resource member by member.
fn whole(value: &Value) -> Vec<String> {
    let members = value.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| !SILENT.contains(&name.as_str()))
        .flat_map(|(name, member)| parts(&plain(name), member))
        .map(|(path, shown)| format!("    {path}: {shown}"))
        .collect()
}

fn field_lines(field: &FieldChange) -> Vec<String> {
    let path = plain(&field.path);
    match (&field.before, &field.after) {
        (Some(before), Some(after)) => {
            let told = list_difference(before, after)
                .unwrap_or_else(|| format!("{} -> {}", shown(&path, before), shown(&path, after)));
            vec![format!("    ~ {path}: {told}")]
        }
        (None, Some(value)) => marked('+', &path, value),
        (Some(value), None) => marked('-', &path, value),
        (None, None) => Vec::new(),
    }
}

/// What came to a long list and what went, where the rest stays as it is and in order.
fn list_difference(before: &Value, after: &Value) -> Option<String> {
    let (before, after) = (before.as_array()?, after.as_array()?);
    if before.len().max(after.len()) <= FEW {
        return None;
    }
    let (removed, stayed) = apart(before, after);
    let (added, kept) = apart(after, before);
    if kept.is_empty() || stayed != kept || (added.is_empty() && removed.is_empty()) {
        return None;
    }
    let added = added.into_iter().map(|value| format!("+ {}", item(value)));
    let removed = removed.into_iter().map(|value| format!("- {}", item(value)));
    let told: Vec<String> = added.chain(removed).collect();
    Some(format!("{}, {} unchanged", told.join(", "), kept.len()))
}

/// The items of a list that another one lacks, and those that it has too.
fn apart<'v>(list: &'v [Value], other: &[Value]) -> (Vec<&'v Value>, Vec<&'v Value>) {
    let mut left: HashMap<String, usize> = HashMap::new();
    for value in other {
        *left.entry(value.to_string()).or_default() += 1;
    }
    list.iter().partition(|value| match left.get_mut(&value.to_string()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    })
}

fn marked(mark: char, path: &str, value: &Value) -> Vec<String> {
    parts(path, value).into_iter().map(|(path, shown)| format!("    {mark} {path}: {shown}")).collect()
}

/// Plugins and an inline upstream take a line a member; everything else is one line.
fn parts(path: &str, value: &Value) -> Vec<(String, String)> {
    match (path, value) {
        ("plugins" | "upstream", Value::Object(members)) if !members.is_empty() => members
            .iter()
            .map(|(name, member)| {
                let below = format!("{path}.{}", plain(name));
                let text = shown(&below, member);
                (below, text)
            })
            .collect(),
        _ => vec![(path.to_owned(), shown(path, value))],
    }
}

fn shown(path: &str, value: &Value) -> String {
    let is_plugin = path.strip_prefix("plugins.").is_some_and(|name| !name.contains(['.', '[']));
    let is_nodes = path == "nodes" || path.ends_with(".nodes");
    match value {
        Value::Object(body) if is_plugin => plugin(body),
        Value::Object(nodes) if is_nodes && !nodes.is_empty() => {
            let told = nodes.iter().map(|(address, weight)| format!("{address} weight {weight}"));
            plain(&told.collect::<Vec<_>>().join(", "))
        }
        other => plain(&inline(other)),
    }
}

/// A plugin's body on one line: `10 per 60 s, key remote_addr, rejected_code 429`. Only what is written, no defaults.
fn plugin(body: &Map<String, Value>) -> String {
    let mut told = Vec::new();
    if body.get("_meta").and_then(|meta| meta.get("disable")) == Some(&Value::Bool(true)) {
        told.push("switched off".to_owned());
    }
    let rate = match (body.get("count"), body.get("time_window")) {
        (Some(count), Some(window)) if count.is_number() && window.is_number() => {
            told.push(format!("{count} per {window} s"));
            true
        }
        _ => false,
    };
    for (name, member) in body {
        if rate && (name == "count" || name == "time_window") {
            continue;
        }
        if name == "_meta"
            && member.as_object().is_some_and(|meta| meta.len() == 1 && meta.contains_key("disable"))
        {
            continue;
        }
        told.push(format!("{name} {}", inline(member)));
    }
    if told.is_empty() { "on".to_owned() } else { plain(&told.join(", ")) }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => line(text).unwrap_or_else(|| text.clone()),
        Value::Array(items)
            if !items.is_empty() && items.iter().all(|item| !item.is_object() && !item.is_array()) =>
        {
            items.iter().map(listed).collect::<Vec<_>>().join(", ")
        }
        other => told(other).to_string(),
    }
}

/// Characters of an OpenAPI document from which on a line tells of it.
const LONG_DOCUMENT: usize = 2_000;

/// What stands for a text that nobody reads as it is: a certificate, or a long OpenAPI document.
fn line(text: &str) -> Option<String> {
    certificate::line(text).or_else(|| {
        if text.len() < LONG_DOCUMENT || !text.trim_start().starts_with('{') {
            return None;
        }
        let document: Value = serde_json::from_str(text).ok()?;
        document.get("openapi")?;
        let word = |place| document.pointer(place).and_then(Value::as_str).unwrap_or_default();
        let paths = document.get("paths").and_then(Value::as_object).map_or(0, Map::len);
        Some(format!(
            "an OpenAPI document, {:?} version {:?}: {paths} paths, {} characters",
            word("/info/title"),
            word("/info/version"),
            text.chars().count()
        ))
    })
}

/// The value with a line in place of each text that nobody reads.
fn told(value: &Value) -> Value {
    match value {
        Value::String(text) => line(text).unwrap_or_else(|| text.clone()).into(),
        Value::Array(items) => items.iter().map(told).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), told(member))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

fn item(value: &Value) -> String {
    plain(&listed(value))
}

/// An item of a list; in quotes where it could be taken for several.
fn listed(value: &Value) -> String {
    match value {
        Value::String(text) => {
            line(text).unwrap_or_else(|| if text.contains(',') { value.to_string() } else { text.clone() })
        }
        other => told(other).to_string(),
    }
}
