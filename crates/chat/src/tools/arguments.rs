//! Arguments, judged by the catalogue's own schema before a tool looks at them.
//!
//! A general validator would say `{"x":1} is not valid under any of the given schemas`; a model needs the place, the choice and the nearest word.

use serde_json::{Map, Value};
use usher_model::kind::Kind;
use usher_model::nearest::nearest;

use super::MOST_ITEMS;
use super::refusal::{Refusal, unknown_kind};
use super::text::clean;
use crate::catalogue;

/// The arguments of one call: every member that the schema names is there, null where it was left out.
#[derive(Debug)]
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    /// Reads the arguments of a tool.
    pub(super) fn read(tool: &str, given: Map<String, Value>) -> Result<Self, Refusal> {
        let Some(tool) = catalogue::find(tool) else { return Err(super::unknown_tool(tool)) };
        let mut value = Value::Object(given);
        check(&tool.input, &mut value, "")?;
        match value {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(Refusal::new("the arguments have to be an object")),
        }
    }

    /// A text that is never null.
    pub(super) fn text(&self, name: &str) -> &str {
        self.text_or_null(name).unwrap_or_default()
    }

    /// A text, or nothing.
    pub(super) fn text_or_null(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A whole number that isn't negative, or nothing.
    pub(super) fn whole_or_null(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| {
                Refusal::new(format!("{name} is {value}")).at(format!("/{name}")).allowed(range(name))
            }),
        }
    }

    /// How many items are wanted: `usual` where nothing is said, and at most [`MOST_ITEMS`], because answers say how to go on.
    pub(super) fn limit(&self, usual: usize) -> Result<usize, Refusal> {
        match self.whole_or_null("limit")? {
            None => Ok(usual),
            Some(0) => Err(Refusal::new("limit is 0").at("/limit").allowed(range("limit"))),
            Some(limit) => Ok(usize::try_from(limit).unwrap_or(MOST_ITEMS).min(MOST_ITEMS)),
        }
    }

    /// A kind, or nothing.
    pub(super) fn kind_or_null(&self, name: &str) -> Result<Option<Kind>, Refusal> {
        self.text_or_null(name)
            .map(|word| Kind::named(word).ok_or_else(|| unknown_kind(word, &format!("/{name}"))))
            .transpose()
    }

    /// A kind.
    pub(super) fn kind(&self, name: &str) -> Result<Kind, Refusal> {
        self.kind_or_null(name)?.ok_or_else(|| unknown_kind("", &format!("/{name}")))
    }

    /// A list; empty where it is null.
    pub(super) fn list(&self, name: &str) -> &[Value] {
        self.0.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Headers as the schemas have them: objects with name and value.
    pub(super) fn headers(&self) -> Vec<(&str, &str)> {
        self.list("headers")
            .iter()
            .filter_map(|header| Some((header.get("name")?.as_str()?, header.get("value")?.as_str()?)))
            .collect()
    }
}

/// Judges a value by the subset of JSON schema that the catalogue uses, and puts null where a nullable member was left out.
fn check(schema: &Value, value: &mut Value, at: &str) -> Result<(), Refusal> {
    if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
        // Each is one schema or null.
        return match branches.iter().find(|branch| branch.get("type") != Some(&Value::from("null"))) {
            Some(wanted) if !value.is_null() => check(wanted, value, at),
            _ => Ok(()),
        };
    }
    // The JSON text of an object may be given as the object itself: it says the same, and models do it.
    let as_object = at.ends_with("/body_json") && value.is_object();
    let wanted = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let fits = match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string() || as_object,
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        _ => true,
    };
    if !fits {
        let shown = clean(&value.to_string(), 80);
        let refusal = Refusal::new(format!("expected {}, got {shown}", with_article(wanted))).at(at);
        let name = at.rsplit('/').next().unwrap_or_default();
        return Err(if wanted == "integer" { refusal.allowed(range(name)) } else { refusal });
    }
    if let (Some(choices), Some(word)) = (schema.get("enum").and_then(Value::as_array), value.as_str())
        && !choices.iter().any(|choice| choice == word)
    {
        let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        if choices == catalogue::KINDS {
            return Err(unknown_kind(word, at));
        }
        return Err(Refusal::new(format!("{:?} is not one of the choices", clean(word, 64)))
            .at(at)
            .meant(nearest(word, choices.iter().copied()))
            .allowed(choices.join(", ")));
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array_mut()) {
        for (index, item) in values.iter_mut().enumerate() {
            check(items, item, &format!("{at}/{index}"))?;
        }
    }
    if let (Some(properties), Some(members)) =
        (schema.get("properties").and_then(Value::as_object), value.as_object_mut())
    {
        check_members(properties, members, at)?;
    }
    Ok(())
}

fn check_members(
    properties: &Map<String, Value>,
    members: &mut Map<String, Value>,
    at: &str,
) -> Result<(), Refusal> {
    let names = || properties.keys().map(String::as_str);
    if let Some(unknown) = members.keys().find(|name| !properties.contains_key(*name)) {
        let allowed: Vec<&str> = names().collect();
        return Err(Refusal::new(format!("there is no argument {:?}", clean(unknown, 64)))
            .at(format!("{at}/{}", clean(unknown, 64)))
            .meant(nearest(unknown, names()))
            .allowed(if allowed.is_empty() { "no arguments".to_owned() } else { allowed.join(", ") }));
    }
    for (name, schema) in properties {
        let nullable = schema.get("anyOf").is_some();
        let value = members.entry(name.as_str()).or_insert(Value::Null);
        if value.is_null() && !nullable {
            let refusal =
                Refusal::new(format!("the argument {name:?} is missing")).at(format!("{at}/{name}"));
            let choices = schema.get("enum").and_then(Value::as_array);
            let mut choices: Vec<&str> = choices.into_iter().flatten().filter_map(Value::as_str).collect();
            if name == "kind" {
                choices = catalogue::KINDS.to_vec();
            }
            return Err(if choices.is_empty() { refusal } else { refusal.allowed(choices.join(", ")) });
        }
        check(schema, value, &format!("{at}/{name}"))?;
    }
    Ok(())
}

/// What a whole number may be.
fn range(name: &str) -> String {
    if name == "limit" {
        format!("a whole number from 1 to {MOST_ITEMS}, or null")
    } else {
        "a whole number from 0 on, or null".to_owned()
    }
}

fn with_article(kind: &str) -> String {
    match kind {
        "object" | "array" | "integer" => format!("an {kind}"),
        other => format!("a {other}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Arguments;

    fn read(tool: &str, arguments: &Value) -> Result<Arguments, String> {
        Arguments::read(tool, arguments.as_object().unwrap().clone()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_is_left_out_is_null() {
        let arguments = read("gateway_find", &json!({ "kind": "route", "limit": 3 })).unwrap();
        assert_eq!(arguments.text_or_null("text"), None);
        assert_eq!(arguments.whole_or_null("limit").unwrap(), Some(3));
        let plan = json!({ "intent": "x", "changes": [{ "op": "create", "kind": "route", "body_json": { "uri": "/a" } }] });
        let arguments = read("gateway_plan", &plan).unwrap();
        assert_eq!(arguments.list("changes")[0]["id"], Value::Null);
    }

    #[test]
    fn a_limit_is_from_one_to_what_an_answer_holds() {
        let limit = |limit: Value| {
            let arguments = read("gateway_find", &json!({ "kind": "route", "limit": limit })).unwrap();
            arguments.limit(20).map_err(|refusal| refusal.to_string())
        };
        assert_eq!((limit(Value::Null), limit(json!(3)), limit(json!(1_000))), (Ok(20), Ok(3), Ok(25)));
        for refused in [json!(0), json!(-1)] {
            let said = limit(refused).unwrap_err();
            assert!(said.contains("allowed: a whole number from 1 to 25"), "{said}");
        }
    }

    #[test]
    fn each_error_says_where_what_is_allowed_and_what_was_meant() {
        let cases = [
            ("gateway_find", json!({}), vec!["\"kind\" is missing", "where: /kind"]),
            (
                "gateway_plan",
                json!({ "changes": [{ "op": "create" }], "intent": "" }),
                vec!["where: /changes/0/kind", "allowed: route, service, upstream"],
            ),
            (
                "gateway_find",
                json!({ "kind": "route", "limit": 1.5 }),
                vec!["where: /limit", "allowed: a whole number from 1 to 25"],
            ),
            (
                "gateway_plan",
                json!({ "changes": [{ "op": "create", "kind": "routes" }], "intent": "" }),
                vec!["did you mean: route", "allowed: route, service", "where: /changes/0/kind"],
            ),
            (
                "gateway_plan",
                json!({ "changes": [{ "op": "create", "kind": "upsteram" }], "intent": "" }),
                vec!["did you mean: upstream"],
            ),
            (
                "gateway_find",
                json!({ "kind": "route", "txt": "a" }),
                vec!["where: /txt", "did you mean: text", "allowed: kind, text"],
            ),
            (
                "gateway_find",
                json!({ "kind": "route", "limit": "3" }),
                vec!["expected an integer", "where: /limit"],
            ),
            ("gateway_overview", json!({ "x": 1 }), vec!["allowed: no arguments"]),
            (
                "gateway_plan",
                json!({ "changes": {}, "intent": "" }),
                vec!["expected an array", "where: /changes"],
            ),
            (
                "gateway_plan",
                json!({ "changes": [{ "op": "update", "kind": "route" }], "intent": "" }),
                vec!["where: /changes/0/op", "allowed: create, replace"],
            ),
            (
                "gateway_plan",
                json!({ "changes": [{ "op": "create", "kind": "route", "body_json": 7 }], "intent": "" }),
                vec!["where: /changes/0/body_json"],
            ),
            (
                "gateway_probe",
                json!({ "method": "GET", "path": "/", "headers": [{ "name": "a" }] }),
                vec!["where: /headers/0/value"],
            ),
            ("gateway_aply", json!({}), vec!["did you mean: gateway_apply"]),
        ];
        for (tool, arguments, wanted) in cases {
            let refused = read(tool, &arguments).unwrap_err();
            for part in wanted {
                assert!(refused.contains(part), "{tool} {arguments}: {refused:?} lacks {part:?}");
            }
        }
    }
}
