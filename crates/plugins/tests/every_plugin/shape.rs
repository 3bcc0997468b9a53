//! Compares a schema with facts that were written by hand.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// What is known of one field.
struct Field {
    kinds: BTreeSet<String>,
    /// Bounds and what lies below are somebody else's business.
    open: bool,
    required: bool,
    default: Option<Value>,
    bounds: Map<String, Value>,
}

/// Rules that a field's facts name.
const BOUNDS: [&str; 14] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "enum",
    "const",
];

/// Rules over several members, which only the body itself has.
const OVER_MEMBERS: [&str; 5] = ["oneOf", "anyOf", "allOf", "not", "dependencies"];

/// What differs between the facts and the schema, a line each.
pub(crate) fn compare(facts: &str, schema: &Value) -> Vec<String> {
    let facts = parse(facts);
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    below(&facts, ".", schema, false, &mut seen, &mut problems);
    for path in facts.keys().filter(|path| !seen.contains(*path) && *path != ".") {
        problems.push(format!("{path} is not in the schema"));
    }
    problems
}

fn parse(facts: &str) -> BTreeMap<String, Field> {
    let mut fields = BTreeMap::new();
    for line in facts.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // Columns are set apart by blanks, so that patterns may have a bar.
        let padded = format!("{line} ");
        let mut columns = padded.splitn(4, " | ").map(str::trim);
        let mut column = || columns.next().unwrap_or_default().trim_end_matches(" |").to_owned();
        let (path, kinds, default, bounds) = (column(), column(), column(), column());
        let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|error| panic!("{line}: {error}"));
        let field = Field {
            kinds: kinds.trim_end_matches("...").split('/').map(str::to_owned).collect(),
            open: kinds.ends_with("..."),
            required: default == "!",
            default: (!matches!(default.as_str(), "" | "!")).then(|| json(&default)),
            bounds: if bounds.is_empty() { Map::new() } else { json(&bounds).as_object().unwrap().clone() },
        };
        assert!(fields.insert(path.clone(), field).is_none(), "{path} stands twice in the facts");
    }
    fields
}

fn below(
    facts: &BTreeMap<String, Field>,
    path: &str,
    schema: &Value,
    required: bool,
    seen: &mut BTreeSet<String>,
    problems: &mut Vec<String>,
) {
    seen.insert(path.to_owned());
    match facts.get(path) {
        Some(field) => {
            problems.extend(differences(field, path, schema, required));
            if field.open {
                return;
            }
        }
        None if path == "." => {}
        None => {
            problems.push(format!("{path} is in the schema, and nothing is known of it"));
            return;
        }
    }
    let needed: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let place = if path == "." { name.clone() } else { format!("{path}.{name}") };
        if member["description"].as_str().is_none_or(|text| text.len() < 10) {
            problems.push(format!("{place} has no text for the manual"));
        }
        below(facts, &place, member, needed.contains(name.as_str()), seen, problems);
    }
    if let Some(items) = schema.get("items") {
        below(facts, &format!("{path}[]"), items, false, seen, problems);
    }
}

fn differences(field: &Field, path: &str, schema: &Value, required: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut differs = |what: &str, found: String, wanted: String| {
        if found != wanted {
            problems.push(format!("{path}: {what} is {found}, wanted {wanted}"));
        }
    };
    let branches: Vec<&Value> =
        ["oneOf", "anyOf"].iter().filter_map(|name| schema[*name].as_array()).flatten().collect();
    let mut kinds: BTreeSet<String> = std::iter::once(schema)
        .chain(branches.iter().copied())
        .filter_map(|schema| schema["type"].as_str().map(str::to_owned))
        .collect();
    if kinds.is_empty() {
        kinds.insert("any".to_owned());
    }
    differs("type", format!("{kinds:?}"), format!("{:?}", field.kinds));
    differs("required", required.to_string(), field.required.to_string());
    let default = schema.get("default").filter(|default| **default != Value::Array(Vec::new()));
    differs("default", shown(default), shown(field.default.as_ref()));
    if field.open {
        return problems;
    }
    let mut bounds = Map::new();
    for schema in std::iter::once(schema).chain(branches.iter().copied().filter(|_| path != ".")) {
        for name in BOUNDS {
            if let Some(bound) = schema.get(name) {
                bounds.insert(name.to_owned(), bound.clone());
            }
        }
    }
    if path == "." {
        for name in OVER_MEMBERS {
            if let Some(rule) = schema.get(name) {
                bounds.insert(name.to_owned(), rule.clone());
            }
        }
    }
    // Every number of ours that has no sign is at least 0; where the contract says nothing of it, that is no difference.
    if !field.bounds.contains_key("minimum") && bounds.get("minimum").and_then(Value::as_f64) == Some(0.0) {
        bounds.remove("minimum");
    }
    let sorted = |bounds: &Map<String, Value>| {
        bounds.iter().map(|(n, b)| format!("{n}: {b}")).collect::<BTreeSet<_>>()
    };
    differs("bounds", format!("{:?}", sorted(&bounds)), format!("{:?}", sorted(&field.bounds)));
    problems
}

/// Numbers are shown by their value, so that `-1` and `-1.0` are the same.
fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::Number(number)) => number.as_f64().unwrap_or_default().to_string(),
        Some(value) => value.to_string(),
        None => "none".to_owned(),
    }
}
