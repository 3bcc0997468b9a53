//! The manual's page of each plugin, made of its doc comments and its schema, so that both say the same.

use std::fmt::Write as _;

use serde_json::{Value, json};
use usher_pipeline::registry::Registry;
use usher_pipeline::spec::Spec;

use crate::counterparts::COUNTERPARTS;

/// The page of a plugin. `text` is its source file.
pub(crate) fn page(spec: &Spec, registry: &Registry, text: &str) -> String {
    let docs: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let (examples, said): (Vec<&str>, Vec<&str>) =
        docs.iter().partition(|line| line.starts_with("Example: `"));
    let mut page = format!("# {}\n\n{}\n\n", spec.name, said.join("\n").trim());
    let phases = spec.phases.names().join(", ");
    let phases = match phases.as_str() {
        "" if !spec.is_for_requests() => "of connections only".to_owned(),
        "" => "none".to_owned(),
        _ => phases,
    };
    let _ = writeln!(page, "Priority {}, phases: {phases}.\n\n## Try it\n", spec.priority);
    for (at, example) in examples.iter().enumerate() {
        let body: Value =
            serde_json::from_str(example.trim_start_matches("Example: `").trim_end_matches('`')).unwrap();
        let mut plugins = serde_json::Map::new();
        plugins.insert(spec.name.to_owned(), body);
        let (kind, route) = if spec.is_for_requests() {
            let upstream = json!({ "type": "roundrobin", "nodes": { "127.0.0.1:1980": 1 } });
            ("routes", json!({ "uri": "/anything/*", "plugins": plugins, "upstream": upstream }))
        } else {
            let upstream = json!({ "type": "roundrobin", "scheme": "tcp", "nodes": { "127.0.0.1:1883": 1 } });
            ("stream_routes", json!({ "server_port": 9100, "plugins": plugins, "upstream": upstream }))
        };
        // What a shell reads between single quotes has none itself.
        let route = serde_json::to_string_pretty(&route).unwrap().replace('\'', "\\u0027");
        let _ = writeln!(
            page,
            "```console\ncurl -H \"X-API-KEY: $(cat usher-data/admin.key)\" -X PUT \\\n  http://127.0.0.1:9180/apisix/admin/{kind}/{} -d '\n{route}'\n```\n",
            at + 1
        );
    }
    table(&mut page, "Fields", registry.schema(spec.name));
    table(&mut page, "Fields of consumers and credentials", registry.credential_schema(spec.name));
    table(&mut page, "Metadata", registry.metadata_schema(spec.name).as_ref());
    page.push_str(&section(spec.name));
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn table(page: &mut String, title: &str, schema: Option<&Value>) {
    let Some(schema) = schema else { return };
    let mut rows = String::new();
    below(&mut rows, "", schema);
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(page, "## {title}\n\n| field | type | default | meaning |\n|---|---|---|---|\n{rows}");
}

fn below(rows: &mut String, path: &str, schema: &Value) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        // An upstream that is written inside of a plugin has a manual of its own.
        if place.split('.').count() > 4 {
            continue;
        }
        let default = match &member["default"] {
            Value::Null if required.contains(&name.as_str()) => "needed".to_owned(),
            Value::Null => String::new(),
            value => format!("`{value}`"),
        };
        let meaning = member["description"].as_str().unwrap_or_default().replace('\n', " ");
        let _ = writeln!(rows, "| `{place}` | {} | {} | {} |", kind(member), cell(&default), cell(&meaning));
        below(rows, &place, member);
        below(rows, &format!("{place}[]"), &member["items"]);
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn kind(member: &Value) -> String {
    if let Some(values) = member["enum"].as_array() {
        let mut words: Vec<String> = Vec::new();
        for word in values.iter().map(|value| format!("`{}`", value.to_string().replace('"', ""))) {
            // A number that may be written as a text as well is named once.
            if !words.contains(&word) {
                words.push(word);
            }
        }
        return words.join(" ");
    }
    let of = |schema: &Value| schema["type"].as_str().map(str::to_owned);
    let branches = ["oneOf", "anyOf"].iter().filter_map(|name| member[*name].as_array()).flatten();
    let mut kinds: Vec<String> = of(member).into_iter().chain(branches.filter_map(of)).collect();
    kinds.dedup();
    if kinds.is_empty() { "any".to_owned() } else { kinds.join(" or ") }
}

/// What clients are answered when somebody fails whom the plugin calls; empty where it calls nobody.
fn section(plugin: &str) -> String {
    let mut rows = String::new();
    for one in COUNTERPARTS.iter().filter(|one| one.plugin == plugin) {
        let nonsense = one.nonsense.map_or_else(String::new, told);
        rows.push_str(&format!(
            "| {} | {} | {} | {} | {nonsense} |\n",
            one.calls,
            told(one.away),
            told(one.silent),
            told(one.garbage)
        ));
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "## When whom it calls fails\n\n| it calls | away | silent | not its protocol | 200 with nonsense |\n|---|---|---|---|---|\n{rows}\n"
    )
}

fn told(status: u16) -> String {
    if status == 200 { "the request goes on".to_owned() } else { status.to_string() }
}
