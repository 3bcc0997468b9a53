//! The field that is nearest to a fault, where the sentence speaks of a whole object: of the forms that a schema offers, the one that fits best is
//! taken for what was meant.
//!
//! Made for values that are refused, and only for schemas of ours: it is never in the way of a value that is in order.

use std::cmp::Reverse;

use serde_json::{Map, Value};

use super::Near;
use super::sentence::{About, Broken, escaped, first, fixed, kind};

/// Faults after which no further one of a form is looked for.
const MOST: usize = 32;

/// What is wrong at one place of a value.
struct Fault {
    pointer: String,
    sentence: String,
    /// Whether another form is meant: a member says so by its type or by one of the values that a form asks for.
    decides: bool,
}

/// The field that what was found is about.
pub(super) fn of(broken: &Broken<'_>) -> Near {
    let (sentence, pointer, about) = broken;
    match about {
        About::There => Near { pointer: pointer.clone(), sentence: sentence.clone() },
        About::Missing(name) => {
            Near { pointer: format!("{pointer}/{}", escaped(name)), sentence: sentence.clone() }
        }
        About::Forms(rules, value) => match offered(rules, value).into_iter().next() {
            Some(fault) => Near { pointer: format!("{pointer}{}", fault.pointer), sentence: fault.sentence },
            None => Near { pointer: pointer.clone(), sentence: sentence.clone() },
        },
    }
}

/// All that is wrong with a value by one form; nothing where it fits.
fn faults(schema: &Value, value: &Value) -> Vec<Fault> {
    let Some(broken) = first(schema, value) else { return Vec::new() };
    let whole = |decides| {
        let (sentence, pointer, _) = &broken;
        vec![Fault { pointer: pointer.clone(), sentence: sentence.clone(), decides }]
    };
    let Value::Object(rules) = schema else { return whole(false) };
    if kind(rules, value).is_some() || fixed(rules, value).is_some() {
        return whole(true);
    }
    let mut found = Vec::new();
    if let Some(members) = value.as_object() {
        found.extend(required(rules).filter(|name| !members.contains_key(*name)).map(missing));
        for (name, below) in rules.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let own = members.get(name).map(|member| faults(below, member)).unwrap_or_default();
            found.extend(own.into_iter().map(|fault| fault.below(&escaped(name))));
        }
    }
    if let (Some(items), Some(below @ Value::Object(_))) = (value.as_array(), rules.get("items")) {
        for (at, item) in items.iter().enumerate() {
            if found.len() >= MOST {
                break;
            }
            found.extend(faults(below, item).into_iter().map(|fault| fault.below(&at.to_string())));
        }
    }
    found.extend(offered(rules, value));
    found.truncate(MOST);
    if found.is_empty() { whole(false) } else { found }
}

/// What is wrong with a value by the forms that are offered beside a schema's own members.
fn offered(rules: &Map<String, Value>, value: &Value) -> Vec<Fault> {
    let branches = |name: &str| rules.get(name).and_then(Value::as_array).map(Vec::as_slice);
    let mut found: Vec<Fault> =
        branches("allOf").into_iter().flatten().flat_map(|branch| faults(branch, value)).collect();
    let fits = |branch: &&Value| first(branch, value).is_none();
    if let Some(any) = branches("anyOf")
        && !any.iter().any(|branch| fits(&branch))
    {
        found.extend(nearest(any, value));
    }
    if let Some(one) = branches("oneOf") {
        let mut fitting = one.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (None, _) => found.extend(nearest(one, value)),
            (Some(a), Some(b)) => found.extend(together(a, b, value)),
            (Some(_), None) => {}
        }
    }
    if let Some(not) = rules.get("not").filter(fits) {
        found.extend(forbidden(not, value));
    }
    if let Some(condition) = rules.get("if") {
        let branch = if fits(&condition) { "then" } else { "else" };
        found.extend(rules.get(branch).map(|branch| faults(branch, value)).unwrap_or_default());
    }
    found
}

/// The faults of the form that fits best, the worst first; where nothing tells which is meant, all are named.
fn nearest(branches: &[Value], value: &Value) -> Vec<Fault> {
    let present = |branch: &Value| {
        let properties = branch.get("properties").and_then(Value::as_object).into_iter().flatten();
        let named = branch.as_object().into_iter().flat_map(required);
        named
            .chain(properties.map(|(name, _)| name.as_str()))
            .filter(|name| value.get(*name).is_some())
            .count()
    };
    let judged = branches.iter().map(|branch| (faults(branch, value), present(branch)));
    let best = judged.min_by_key(|(faults, present)| {
        (faults.iter().filter(|fault| fault.decides).count(), faults.len(), Reverse(*present))
    });
    let Some((mut faults, present)) = best else { return Vec::new() };
    // What decides is of another form all the same; where there is no better one, it is what has to change.
    faults.sort_by_key(|fault| Reverse(fault.decides));
    let named: Vec<String> = branches.iter().filter_map(only_required).collect();
    if let Some(fault) = faults.first_mut()
        && present == 0
        && named.len() == branches.len()
    {
        fault.sentence = format!("one of these is required: {}", named.join("; "));
    }
    faults
}

/// Two forms that exclude each other, and both fit.
fn together(a: &Value, b: &Value, value: &Value) -> Vec<Fault> {
    let own = |form: &Value, other: &Value| {
        let others: Vec<&str> = other.as_object().into_iter().flat_map(required).collect();
        let mut names = form.as_object().into_iter().flat_map(required);
        names.find(|name| !others.contains(name) && value.get(*name).is_some()).map(str::to_owned)
    };
    match (own(a, b), own(b, a)) {
        (Some(one), Some(other)) => vec![excluded(&[&one, &other])],
        _ => Vec::new(),
    }
}

/// A form that is forbidden, and fits.
fn forbidden(not: &Value, value: &Value) -> Vec<Fault> {
    if let Some(any) = not.get("anyOf").or_else(|| not.get("oneOf")).and_then(Value::as_array) {
        let fits = any.iter().find(|branch| first(branch, value).is_none());
        return fits.map(|branch| forbidden(branch, value)).unwrap_or_default();
    }
    let named: Vec<&str> = not.as_object().into_iter().flat_map(required).collect();
    if !named.is_empty() {
        return vec![excluded(&named)];
    }
    let mut properties = not.get("properties").and_then(Value::as_object).into_iter().flatten();
    let named = properties.find(|(name, _)| value.get(name.as_str()).is_some());
    named.map(|(name, _)| excluded(&[name])).into_iter().collect()
}

fn excluded(names: &[&str]) -> Fault {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let sentence = match quoted.as_slice() {
        [one] => format!("{one} can't be this here"),
        several => format!("{} can't be given together", several.join(" and ")),
    };
    let pointer = names.last().map(|name| format!("/{}", escaped(name))).unwrap_or_default();
    Fault { pointer, sentence, decides: false }
}

fn missing(name: &str) -> Fault {
    let sentence = format!("property \"{name}\" is required");
    Fault { pointer: format!("/{}", escaped(name)), sentence, decides: false }
}

/// The names that a form asks for, where it asks for nothing else.
fn only_required(branch: &Value) -> Option<String> {
    let rules =
        branch.as_object().filter(|rules| rules.keys().all(|name| name == "required" || name == "title"))?;
    let quoted: Vec<String> = required(rules).map(|name| format!("\"{name}\"")).collect();
    (!quoted.is_empty()).then(|| quoted.join(" and "))
}

fn required(rules: &Map<String, Value>) -> impl Iterator<Item = &str> {
    rules.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

impl Fault {
    fn below(self, step: &str) -> Self {
        Self { pointer: format!("/{step}{}", self.pointer), ..self }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Checker;

    fn near(schema: Value, value: Value) -> (String, String) {
        let near = Checker::new(&schema).unwrap().check(&value).unwrap_err().near;
        (near.pointer, near.sentence)
    }

    #[test]
    fn the_field_of_the_form_that_fits_best_is_named() {
        let stores = json!({ "oneOf": [
            { "properties": { "policy": { "const": "redis" } }, "required": ["policy", "host"] },
            { "properties": { "policy": { "const": "cluster" }, "nodes": { "type": "array", "minItems": 2 } },
              "required": ["policy", "nodes", "name"] },
        ] });
        let either = json!({ "anyOf": [{ "required": ["nodes"] }, { "required": ["service", "kind"] }] });
        let one = json!({ "oneOf": [{ "required": ["uri"] }, { "required": ["uris"] }] });
        let then = json!({
            "if": { "properties": { "policy": { "const": "redis" } }, "required": ["policy"] },
            "then": { "properties": { "port": { "type": "integer", "minimum": 1 } }, "required": ["host"] },
        });
        let not = json!({ "not": { "anyOf": [{ "required": ["script", "plugins"] }] } });
        let inside = json!({ "properties": { "auth": one }, "allOf": [{ "required": ["a"] }] });
        for (schema, value, pointer, said) in [
            (&stores, json!({ "policy": "redis" }), "/host", "property \"host\" is required"),
            (&stores, json!({ "policy": "cluster", "name": "c" }), "/nodes", "is required"),
            (
                &stores,
                json!({ "policy": "cluster", "name": "c", "nodes": [1] }),
                "/nodes",
                "at least 2 items",
            ),
            (&stores, json!({ "policy": "memory", "host": "h" }), "/policy", "constant"),
            (&either, json!({ "service": "s" }), "/kind", "property \"kind\" is required"),
            (&either, json!({}), "/nodes", "one of these is required: \"nodes\"; \"service\" and \"kind\""),
            (&one, json!({ "uri": 1, "uris": 2 }), "/uris", "\"uri\" and \"uris\" can't be given together"),
            (&then, json!({ "policy": "redis", "host": "h", "port": 0 }), "/port", "at least 1"),
            (&then, json!({ "policy": "redis", "port": 1 }), "/host", "is required"),
            (&not, json!({ "script": 1, "plugins": 2 }), "/plugins", "can't be given together"),
            (&inside, json!({ "auth": {} }), "/auth/uri", "one of these"),
            (&inside, json!({ "auth": { "uri": 1 } }), "/a", "property \"a\" is required"),
        ] {
            let (at, sentence) = near(schema.clone(), value.clone());
            assert!(at == pointer && sentence.contains(said), "{value}: {at}: {sentence}");
        }
    }
}
