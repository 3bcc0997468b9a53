//! The sentence for a value that breaks a schema, in the order and the words of APISIX's validator (api7/jsonschema).

use serde_json::{Map, Value};

/// Sentence, JSON pointer, and what it is about beside that.
pub(super) type Broken<'a> = (String, String, About<'a>);

/// What a sentence is about that its pointer doesn't say.
#[derive(Clone, Copy)]
pub(super) enum About<'a> {
    /// What the pointer leads to, and nothing else.
    There,
    /// A member of it that is missing.
    Missing(&'a str),
    /// Forms that are offered for it, of which none fits: APISIX's sentence names no field then.
    Forms(&'a Map<String, Value>, &'a Value),
}

/// The first violation, or `None` where the schema says nothing that is understood here.
pub(super) fn first<'a>(schema: &'a Value, value: &'a Value) -> Option<Broken<'a>> {
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

fn here(sentence: impl Into<String>) -> Broken<'static> {
    (sentence.into(), String::new(), About::There)
}

pub(super) fn kind(rules: &Map<String, Value>, value: &Value) -> Option<Broken<'static>> {
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

fn object<'a>(rules: &'a Map<String, Value>, members: &'a Map<String, Value>) -> Option<Broken<'a>> {
    let required: Vec<&str> = rules
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let below = |name: &str| rules.get(name).and_then(Value::as_object);
    let properties = below("properties");
    let missing = |name: &'a str| {
        Some((format!("property \"{name}\" is required"), String::new(), About::Missing(name)))
    };
    for (name, below) in properties.into_iter().flatten() {
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
    let patterns = below("patternProperties");
    for (name, member) in members {
        let mut known = properties.is_some_and(|properties| properties.contains_key(name));
        for (pattern, below) in patterns.into_iter().flatten() {
            if matches(pattern, name) {
                known = true;
                if let Some((sentence, pointer, about)) = first(below, member) {
                    let sentence = format!("failed to validate {name} (matching \"{pattern}\"): {sentence}");
                    return Some((sentence, format!("/{}{pointer}", escaped(name)), about));
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
                    About::There,
                ));
            }
            Some(below @ Value::Object(_)) => {
                if let Some((sentence, pointer, about)) = first(below, member) {
                    let sentence = format!("failed to validate additional property {name}: {sentence}");
                    return Some((sentence, format!("/{}{pointer}", escaped(name)), about));
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
    for (name, needs) in below("dependencies").into_iter().flatten() {
        if !members.contains_key(name) {
            continue;
        }
        if let Value::Array(names) = needs {
            let missing =
                names.iter().filter_map(Value::as_str).find(|needed| !members.contains_key(*needed));
            if let Some(needed) = missing {
                let sentence = format!("property \"{needed}\" is required when \"{name}\" is set");
                return Some((sentence, String::new(), About::Missing(needed)));
            }
        } else if let Some((sentence, pointer, _)) = first(needs, &Value::Object(members.clone())) {
            return Some((
                format!("failed to validate dependent schema for \"{name}\": {sentence}"),
                pointer,
                About::There,
            ));
        }
    }
    None
}

fn array<'a>(rules: &'a Map<String, Value>, items: &'a [Value]) -> Option<Broken<'a>> {
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
        if let Some((sentence, pointer, about)) = below.and_then(|below| first(below, item)) {
            return Some((
                format!("failed to validate item {}: {sentence}", at + 1),
                format!("/{at}{pointer}"),
                about,
            ));
        }
    }
    None
}

fn string(rules: &Map<String, Value>, text: &str) -> Option<Broken<'static>> {
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

fn number(rules: &Map<String, Value>, value: &Value) -> Option<Broken<'static>> {
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

pub(super) fn fixed(rules: &Map<String, Value>, value: &Value) -> Option<Broken<'static>> {
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

fn combined<'a>(rules: &'a Map<String, Value>, value: &'a Value) -> Option<Broken<'a>> {
    let forms = |sentence: String| Some((sentence, String::new(), About::Forms(rules, value)));
    let branches = |name: &str| rules.get(name).and_then(Value::as_array);
    for (at, branch) in branches("allOf").into_iter().flatten().enumerate() {
        if let Some((sentence, pointer, about)) = first(branch, value) {
            return Some((format!("allOf {} failed: {sentence}", at + 1), pointer, about));
        }
    }
    if let Some(any) = branches("anyOf")
        && any.iter().all(|branch| first(branch, value).is_some())
    {
        let required: Vec<String> =
            any.iter().filter_map(|branch| branch.get("required")).map(listed).collect();
        let which = if required.is_empty() { String::new() } else { format!(": {}", required.join(" or ")) };
        return forms(format!("object matches none of the required{which}"));
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
            [] => return forms("value should match only one schema, but matches none".to_owned()),
            [a, b, ..] => {
                return forms(format!(
                    "value should match only one schema, but matches both schemas {a} and {b}"
                ));
            }
        }
    }
    if rules.get("not").is_some_and(|not| first(not, value).is_none()) {
        return forms("value wasn't supposed to match schema".to_owned());
    }
    let condition = rules.get("if")?;
    let (branch, name) = if first(condition, value).is_none() { ("then", "then") } else { ("else", "else") };
    let broken = rules.get(branch).is_some_and(|branch| first(branch, value).is_some());
    if broken { forms(format!("{name} clause did not match")) } else { None }
}

/// `["a","b"]` as the sentences show lists.
fn listed(names: &Value) -> String {
    serde_json::to_string(names).unwrap_or_default()
}

fn inside<'a>(name: &str, (sentence, pointer, about): Broken<'a>) -> Broken<'a> {
    (
        format!("property \"{name}\" validation failed: {sentence}"),
        format!("/{}{pointer}", escaped(name)),
        about,
    )
}

/// A member's name as a step of a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
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
