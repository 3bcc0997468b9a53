//! A plan as people read it: small, by field, in the words of the resources, and never with a character that could fake a line.

use serde_json::{Map, Value};
use usher_model::change::{Change, Risk};
use usher_model::diff::{FieldChange, diff};

use super::escape::{plain, shortened};
use super::plan::Plan;

/// Lines at most.
const LINES: usize = 60;
/// Characters of one value at most.
const VALUE_CHARS: usize = 160;
/// Warnings, and routes affected beside those that change, that are shown.
const WARNINGS: usize = 10;
const AFFECTED: usize = 5;

/// Members that every resource has and that tell nothing of a change.
const SILENT: [&str; 3] = ["id", "create_time", "update_time"];

/// The whole text.
pub(super) fn of(plan: &Plan) -> String {
    let mut head = vec![format!("plan {}  risk {}", plan.id, plan.risk)];
    if plan.risk > Risk::Low {
        head.extend(plan.reasons.iter().take(WARNINGS).map(|reason| format!("    because {reason}")));
    }
    if plan.needs_person {
        head.push("    a person has to agree to it".to_owned());
    }
    if let Some(revision) = plan.undoes {
        head.push(format!("    takes back revision {revision}"));
    }
    let tail = tail(plan);
    let mut body: Vec<String> = plan.changes.iter().flat_map(change).collect();
    let room = LINES.saturating_sub(head.len() + tail.len());
    if body.len() > room {
        let more = body.len() + 1 - room;
        body.truncate(room.saturating_sub(1));
        body.push(format!("  ... {more} more lines; plan fewer edits at once to see each of them"));
    }
    head.extend(body);
    head.extend(tail);
    head.join("\n")
}

fn tail(plan: &Plan) -> Vec<String> {
    let mut tail = Vec::new();
    let changed: Vec<String> = plan.changes.iter().map(|change| plain(&change.key.to_string())).collect();
    let others: Vec<&String> = plan
        .affected
        .iter()
        .filter(|line| {
            !changed
                .iter()
                .any(|key| line.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with([':', ' '])))
        })
        .collect();
    if !others.is_empty() {
        tail.push("affects".to_owned());
        tail.extend(others.iter().take(AFFECTED).map(|line| format!("    {line}")));
        let more = others.len().saturating_sub(AFFECTED);
        if more > 0 {
            tail.push(format!("    ... {more} more lines"));
        }
    }
    tail.extend(plan.warnings.iter().take(WARNINGS).map(|warning| format!("warning: {}", plain(warning))));
    let more = plan.warnings.len().saturating_sub(WARNINGS);
    if more > 0 {
        tail.push(format!("warning: {more} more"));
    }
    tail
}

/// The lines of one change.
fn change(change: &Change) -> Vec<String> {
    let key = plain(&change.key.to_string());
    match (&change.before, &change.after) {
        (None, Some(after)) => titled(format!("+ {key}"), whole(after)),
        (Some(before), None) => titled(format!("- {key}"), whole(before)),
        (Some(before), Some(after)) => {
            let fields = diff(Some(before), Some(after));
            let mut lines: Vec<String> = fields
                .iter()
                .filter(|field| !SILENT.contains(&field.path.as_str()))
                .flat_map(field_lines)
                .collect();
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
            vec![format!("    ~ {path}: {} -> {}", shown(&path, before), shown(&path, after))]
        }
        (None, Some(value)) => marked('+', &path, value),
        (Some(value), None) => marked('-', &path, value),
        (None, None) => Vec::new(),
    }
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
            shortened(&told.collect::<Vec<_>>().join(", "), VALUE_CHARS)
        }
        other => shortened(&inline(other), VALUE_CHARS),
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
    if told.is_empty() { "on".to_owned() } else { shortened(&told.join(", "), VALUE_CHARS) }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items)
            if !items.is_empty() && items.iter().all(|item| !item.is_object() && !item.is_array()) =>
        {
            items.iter().map(inline).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_model::change::{Change, Risk};
    use usher_model::kind::{Key, Kind};

    use super::super::plan::Plan;
    use super::LINES;

    fn plan(changes: Vec<Change>) -> Plan {
        Plan {
            id: "3f9c2a".to_owned(),
            base: 2,
            changes,
            affected: vec!["route speaker: GET /speaker/*".to_owned()],
            warnings: Vec::new(),
            risk: Risk::Low,
            reasons: vec!["adds route speaker".to_owned()],
            intent: None,
            expires_in_secs: 900,
            needs_person: false,
            undoes: None,
        }
    }

    fn change(id: &str, before: Option<Value>, after: Option<Value>) -> Change {
        Change { key: Key::new(Kind::Route, id), before, after }
    }

    #[test]
    fn the_picture_of_the_readme_holds() {
        let route = json!({
            "id": "speaker", "methods": ["GET"], "uri": "/speaker/*", "upstream_id": "conference-api",
            "plugins": { "limit-count": { "count": 10, "time_window": 60, "key": "remote_addr", "rejected_code": 429 } },
            "create_time": 1, "update_time": 1,
        });
        let wanted = "plan 3f9c2a  risk low\n\
            + route speaker\n    methods: GET\n    uri: /speaker/*\n    upstream_id: conference-api\n    \
            plugins.limit-count: 10 per 60 s, key remote_addr, rejected_code 429";
        assert_eq!(plan(vec![change("speaker", None, Some(route))]).text(), wanted);
    }

    #[test]
    fn a_change_is_told_field_by_field() {
        let before = json!({
            "uri": "/a", "plugins": { "limit-count": { "count": 5 }, "cors": {} }, "host": "a.example", "update_time": 1,
            "upstream": { "nodes": { "127.0.0.1:80": 1 } },
        });
        let after = json!({
            "uri": "/b", "plugins": { "limit-count": { "count": 10 }, "key-auth": {} }, "update_time": 2,
            "upstream": { "nodes": { "127.0.0.1:81": 1 } }, "methods": ["GET", "PUT"],
        });
        let mut plan = plan(vec![
            change("1", Some(before.clone()), Some(after)),
            change("2", Some(before), None),
            change("3", Some(json!({ "update_time": 1 })), Some(json!({ "update_time": 2 }))),
        ]);
        plan.risk = Risk::High;
        plan.reasons = vec!["deletes route 2".to_owned()];
        plan.needs_person = true;
        plan.warnings = vec!["route 1 \u{202e}".to_owned()];
        plan.affected = vec!["route 1: /b".to_owned(), "route 11: /x".to_owned()];
        let wanted = [
            "plan 3f9c2a  risk high",
            "    because deletes route 2",
            "    a person has to agree to it",
            "~ route 1",
            "    ~ uri: /a -> /b",
            "    ~ plugins.limit-count.count: 5 -> 10",
            "    - plugins.cors: on",
            "    + plugins.key-auth: on",
            "    - host: a.example",
            "    - upstream.nodes[127.0.0.1:80]: 1",
            "    + upstream.nodes[127.0.0.1:81]: 1",
            "    + methods: GET, PUT",
            "- route 2",
            "    uri: /a",
            "    plugins.limit-count: count 5",
            "    plugins.cors: on",
            "    host: a.example",
            "    upstream.nodes: 127.0.0.1:80 weight 1",
            "~ route 3",
            "    nothing but its update_time",
            "affects",
            "    route 11: /x",
            "warning: route 1 \\u{202e}",
        ];
        assert_eq!(plan.text(), wanted.join("\n"));
    }

    #[test]
    fn a_long_plan_is_cut_and_says_so() {
        let route = json!({ "uri": "/a\nplan 00  risk low", "desc": "x".repeat(1000) });
        let changes = (0..200).map(|at| change(&at.to_string(), None, Some(route.clone()))).collect();
        let mut plan = plan(changes);
        plan.warnings = (0..30).map(|at| format!("w{at}")).collect();
        let text = plan.text();
        assert_eq!(text.lines().count(), LINES);
        assert!(text.contains("more lines; plan fewer edits at once") && text.ends_with("warning: 20 more"));
        assert!(text.contains("uri: /a\\u{a}plan 00") && text.lines().all(|line| line.len() < 200));
    }
}
