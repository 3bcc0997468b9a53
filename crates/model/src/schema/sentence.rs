//! The sentence for a value that breaks a schema, in the order and the words of APISIX's validator (api7/jsonschema).

use serde_json::{Map, Value};

/// Sentence and JSON pointer.
pub(super) type Broken = (String, String);

/// The first violation, or `None` where the schema says nothing that is understood here.
pub(super) fn first(schema: &Value, value: &Value) -> Option<Broken> {
    let Value::Object(rules) = schema else {
        return (schema == &Value::Bool(false)).then(|| here("value wasn't supposed to match schema"));
    };
    if let Some(text) = value.as_str()
        && crate::mask::is_reference(text)
        && rules.get("type").is_none_or(|wanted| wanted == "string")
    {
        return None;
    }
    kind(rules, value)
        .or_else(|| value.as_object().and_then(|members| object(rules, members)))
        .or_else(|| value.as_array().and_then(|items| array(rules, items)))
        .or_else(|| value.as_str().and_then(|text| string(rules, text)))
        .or_else(|| value.as_number().and_then(|_| number(rules, value)))
        .or_else(|| fixed(rules, value))
        .or_else(|| combined(rules, value))
}

fn here(sentence: impl Into<String>) -> Broken {
    (sentence.into(), String::new())
}

fn kind(rules: &Map<String, Value>, value: &Value) -> Option<Broken> {
    let wanted: Vec<&str> = match rules.get("type")? {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    if wanted.iter().any(|wanted| is_of(value, wanted)) {
        return None;
    }
    let found = match value {
        Value::Null => "userdata",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "table",
    };
    let wanted = match wanted.as_slice() {
        [one] => (*one).to_owned(),
        several => format!("one of {}", several.join(", ")),
    };
    Some(here(format!("wrong type: expected {wanted}, got {found}")))
}

fn is_of(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" | "table" => value.is_object() || (wanted == "table" && value.is_array()),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    }
}

fn object(rules: &Map<String, Value>, members: &Map<String, Value>) -> Option<Broken> {
    let required: Vec<&str> = rules
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let empty = Map::new();
    let properties = rules.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let missing = |name: &str| Some(here(format!("property \"{name}\" is required")));
    for (name, below) in properties {
        match members.get(name) {
            Some(member) => {
                if let Some(broken) = first(below, member) {
                    return Some(inside(name, broken));
                }
            }
            None if required.contains(&name.as_str()) => return missing(name),
            None => {}
        }
    }
    if let Some(name) = required.iter().find(|name| !members.contains_key(**name)) {
        return missing(name);
    }
    let patterns = rules.get("patternProperties").and_then(Value::as_object).unwrap_or(&empty);
    for (name, member) in members {
        let mut known = properties.contains_key(name);
        for (pattern, below) in patterns {
            if matches(pattern, name) {
                known = true;
                if let Some((sentence, pointer)) = first(below, member) {
                    let sentence = format!("failed to validate {name} (matching \"{pattern}\"): {sentence}");
                    return Some((sentence, format!("/{}{pointer}", escaped(name))));
                }
            }
        }
        if known {
            continue;
        }
        match rules.get("additionalProperties") {
            Some(Value::Bool(false)) => {
                return Some((
                    format!("additional properties forbidden, found {name}"),
                    format!("/{}", escaped(name)),
                ));
            }
            Some(below @ Value::Object(_)) => {
                if let Some((sentence, pointer)) = first(below, member) {
                    let sentence = format!("failed to validate additional property {name}: {sentence}");
                    return Some((sentence, format!("/{}{pointer}", escaped(name))));
                }
            }
            _ => {}
        }
    }
    let count = members.len() as u64;
    if let Some(least) = whole(rules, "minProperties").filter(|least| count < *least) {
        return Some(here(format!("expect object to have at least {least} properties")));
    }
    if let Some(most) = whole(rules, "maxProperties").filter(|most| count > *most) {
        return Some(here(format!("expect object to have at most {most} properties")));
    }
    for (name, needs) in rules.get("dependencies").and_then(Value::as_object).unwrap_or(&empty) {
        if !members.contains_key(name) {
            continue;
        }
        if let Value::Array(names) = needs {
            let missing =
                names.iter().filter_map(Value::as_str).find(|needed| !members.contains_key(*needed));
            if let Some(needed) = missing {
                return Some(here(format!("property \"{needed}\" is required when \"{name}\" is set")));
            }
        } else if let Some((sentence, pointer)) = first(needs, &Value::Object(members.clone())) {
            return Some((
                format!("failed to validate dependent schema for \"{name}\": {sentence}"),
                pointer,
            ));
        }
    }
    None
}

fn array(rules: &Map<String, Value>, items: &[Value]) -> Option<Broken> {
    let count = items.len() as u64;
    if let Some(least) = whole(rules, "minItems").filter(|least| count < *least) {
        return Some(here(format!("expect array to have at least {least} items")));
    }
    if let Some(most) = whole(rules, "maxItems").filter(|most| count > *most) {
        return Some(here(format!("expect array to have at most {most} items")));
    }
    if rules.get("uniqueItems") == Some(&Value::Bool(true)) {
        for (at, item) in items.iter().enumerate() {
            if let Some(other) = items.iter().take(at).position(|other| other == item) {
                return Some(here(format!(
                    "expected unique items but items {} and {} are equal",
                    other + 1,
                    at + 1
                )));
            }
        }
    }
    for (at, item) in items.iter().enumerate() {
        let below = match rules.get("items") {
            Some(Value::Array(several)) => several.get(at),
            other => other,
        };
        if let Some((sentence, pointer)) = below.and_then(|below| first(below, item)) {
            return Some((
                format!("failed to validate item {}: {sentence}", at + 1),
                format!("/{at}{pointer}"),
            ));
        }
    }
    None
}

fn string(rules: &Map<String, Value>, text: &str) -> Option<Broken> {
    let length = text.chars().count() as u64;
    if let Some(least) = whole(rules, "minLength").filter(|least| length < *least) {
        return Some(here(format!("string too short, expected at least {least}, got {length}")));
    }
    if let Some(most) = whole(rules, "maxLength").filter(|most| length > *most) {
        return Some(here(format!("string too long, expected at most {most}, got {length}")));
    }
    if let Some(pattern) = rules.get("pattern").and_then(Value::as_str)
        && !matches(pattern, text)
    {
        return Some(here(format!("failed to match pattern \"{pattern}\" with \"{text}\"")));
    }
    let format = rules.get("format").and_then(Value::as_str)?;
    let good = match format {
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        _ => return None,
    };
    (!good).then(|| here(format!("expect valid {format} format but got: {text}")))
}

fn number(rules: &Map<String, Value>, value: &Value) -> Option<Broken> {
    let found = value.as_f64()?;
    let bound = |name: &str| {
        rules.get(name).filter(|bound| bound.is_number()).and_then(|bound| Some((bound, bound.as_f64()?)))
    };
    let said = |bound: &Value, how: &str| Some(here(format!("expected {value} to be {how} {bound}")));
    if let Some((bound, least)) = bound("minimum")
        && found < least
    {
        return said(bound, "at least");
    }
    if let Some((bound, least)) = bound("exclusiveMinimum")
        && found <= least
    {
        return said(bound, "greater than");
    }
    if let Some((bound, most)) = bound("maximum")
        && found > most
    {
        return said(bound, "at most");
    }
    if let Some((bound, most)) = bound("exclusiveMaximum")
        && found >= most
    {
        return said(bound, "smaller than");
    }
    let (step, size) = bound("multipleOf")?;
    ((found / size).fract() != 0.0).then(|| here(format!("expected {value} to be a multiple of {step}")))
}

fn fixed(rules: &Map<String, Value>, value: &Value) -> Option<Broken> {
    let same = |wanted: &Value| {
        wanted == value || matches!((wanted.as_f64(), value.as_f64()), (Some(a), Some(b)) if a == b)
    };
    if let Some(Value::Array(allowed)) = rules.get("enum")
        && !allowed.iter().any(same)
    {
        return Some(here("matches none of the enum values"));
    }
    rules.get("const").filter(|wanted| !same(wanted)).map(|_| here("failed to match the constant value"))
}

fn combined(rules: &Map<String, Value>, value: &Value) -> Option<Broken> {
    let branches = |name: &str| rules.get(name).and_then(Value::as_array);
    for (at, branch) in branches("allOf").into_iter().flatten().enumerate() {
        if let Some((sentence, pointer)) = first(branch, value) {
            return Some((format!("allOf {} failed: {sentence}", at + 1), pointer));
        }
    }
    if let Some(any) = branches("anyOf")
        && any.iter().all(|branch| first(branch, value).is_some())
    {
        let required: Vec<String> =
            any.iter().filter_map(|branch| branch.get("required")).map(listed).collect();
        let which = if required.is_empty() { String::new() } else { format!(": {}", required.join(" or ")) };
        return Some(here(format!("object matches none of the required{which}")));
    }
    if let Some(one) = branches("oneOf") {
        let fitting: Vec<usize> = one
            .iter()
            .enumerate()
            .filter(|(_, branch)| first(branch, value).is_none())
            .map(|(at, _)| at + 1)
            .collect();
        match fitting.as_slice() {
            [_] => {}
            [] => return Some(here("value should match only one schema, but matches none")),
            [a, b, ..] => {
                return Some(here(format!(
                    "value should match only one schema, but matches both schemas {a} and {b}"
                )));
            }
        }
    }
    if rules.get("not").is_some_and(|not| first(not, value).is_none()) {
        return Some(here("value wasn't supposed to match schema"));
    }
    let condition = rules.get("if")?;
    let (branch, name) = if first(condition, value).is_none() { ("then", "then") } else { ("else", "else") };
    let broken = rules.get(branch).is_some_and(|branch| first(branch, value).is_some());
    broken.then(|| here(format!("{name} clause did not match")))
}

/// `["a","b"]` as the sentences show lists.
fn listed(names: &Value) -> String {
    serde_json::to_string(names).unwrap_or_default()
}

fn inside(name: &str, (sentence, pointer): Broken) -> Broken {
    (format!("property \"{name}\" validation failed: {sentence}"), format!("/{}{pointer}", escaped(name)))
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn whole(rules: &Map<String, Value>, name: &str) -> Option<u64> {
    rules.get(name).and_then(Value::as_u64)
}

/// Sentences are made only for values that are refused, so patterns are compiled here and not kept.
fn matches(pattern: &str, text: &str) -> bool {
    match regex::RegexBuilder::new(pattern).size_limit(super::PATTERN_BYTES).build() {
        Ok(regex) => regex.is_match(text),
        Err(_) => fancy_regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text).unwrap_or(false)),
    }
}
