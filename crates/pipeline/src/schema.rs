//! The JSON schema of a Rust type, as APISIX would have written it by hand.
//!
//! A derive says more than is meant: that an optional member may be `null`, how many bits a number has, one branch per enum value. Clients of
//! APISIX and its error sentences know none of that, so it is taken out here, once for all plugins.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// The draft-07 schema of `T`, without references.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(root) = schema.as_object_mut() {
        root.remove("title");
    }
    tidy(&mut schema);
    schema
}

/// Members of a schema that are schemas.
const SINGLE: [&str; 6] = ["additionalProperties", "not", "if", "then", "else", "items"];
/// Members of a schema that are lists of schemas.
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "items"];
/// Members of a schema that are schemas by name.
const NAMED: [&str; 4] = ["properties", "patternProperties", "definitions", "dependencies"];

fn tidy(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    for name in SINGLE {
        if let Some(below) = members.get_mut(name) {
            tidy(below);
        }
    }
    for name in LISTS {
        members.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().for_each(tidy);
    }
    for name in NAMED {
        let below = members.get_mut(name).and_then(Value::as_object_mut);
        below.into_iter().flat_map(Map::values_mut).for_each(tidy);
    }
    forget_null(members);
    fold_values(members);
    forget_width(members);
}

/// How many bits a number has is the reader's business, and so are the bounds that come of it.
fn forget_width(members: &mut Map<String, Value>) {
    let Some(format) = members.get("format").and_then(Value::as_str).filter(|format| is_width(format)) else {
        return;
    };
    let bits: u32 = format.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap_or(64);
    let (least, most) = match (format.starts_with("uint"), bits) {
        (_, 33..) => (None, None),
        (true, _) => (None, Some((1_i64 << bits) - 1)),
        (false, _) => (Some(-(1_i64 << (bits - 1))), Some((1_i64 << (bits - 1)) - 1)),
    };
    members.remove("format");
    for (name, bound) in [("minimum", least), ("maximum", most)] {
        if bound.is_some() && members.get(name).and_then(Value::as_i64) == bound {
            members.remove(name);
        }
    }
}

/// An optional member is one that may be left out; `null` is a value like another, and of the wrong type.
fn forget_null(members: &mut Map<String, Value>) {
    if members.get("default") == Some(&Value::Null) {
        members.remove("default");
    }
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(branches)) = members.get_mut("anyOf") else { return };
    let before = branches.len();
    branches.retain(|branch| branch.get("type").and_then(Value::as_str) != Some("null"));
    if branches.len() == before {
        return;
    }
    if let [Value::Object(only)] = branches.as_mut_slice() {
        let only = std::mem::take(only);
        members.remove("anyOf");
        for (name, value) in only {
            members.entry(name).or_insert(value);
        }
    }
}

/// A choice between words is one `enum`, also when each word has a text of its own.
fn fold_values(members: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = members.get("oneOf") else { return };
    let words = branches.iter().map(words_of).collect::<Option<Vec<_>>>();
    let Some(words) = words.filter(|words| !words.is_empty()) else { return };
    members.remove("oneOf");
    members.insert("type".to_owned(), "string".into());
    members.insert("enum".to_owned(), words.into_iter().flatten().collect());
}

fn words_of(branch: &Value) -> Option<Vec<Value>> {
    if let Some(word) = branch.get("const") {
        return word.is_string().then(|| vec![word.clone()]);
    }
    let words = branch.get("enum")?.as_array()?;
    (branch.get("type")? == "string").then(|| words.clone())
}

fn is_width(format: &str) -> bool {
    let number = format.trim_start_matches("uint").trim_start_matches("int");
    matches!(format, "double" | "float")
        || (number.len() < format.len() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Whole numbers may be written as `5.0`, as in Lua; readers of the typed configuration want `5`.
pub(crate) fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            // Beyond 2^53 a double no longer says which whole number was meant.
            let whole = number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9_007_199_254_740_992.0);
            if let Some(whole) = whole {
                *value = (whole as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde_json::{Value, json};

    use super::{of, whole_numbers};

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Sample {
        count: Option<u32>,
        code: u16,
        small: i8,
        window: Option<Window>,
        format: String,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Window {
        /// Starts anew.
        Fixed,
        /// Moves along.
        Sliding,
    }

    #[test]
    fn a_derived_schema_says_no_more_than_is_meant() {
        let schema = of::<Sample>();
        assert_eq!(schema.get("title"), None);
        let member = |name: &str| schema["properties"][name].clone();
        assert_eq!(member("count"), json!({ "type": "integer", "minimum": 0 }));
        assert_eq!(member("code"), json!({ "type": "integer", "minimum": 0 }));
        assert_eq!(member("small"), json!({ "type": "integer" }));
        assert_eq!(member("window"), json!({ "type": "string", "enum": ["fixed", "sliding"] }));
        assert_eq!(member("format"), json!({ "type": "string" }));
        assert_eq!(schema["required"], json!(["code", "small", "format"]));
    }

    #[test]
    fn whole_doubles_become_whole_numbers() {
        let mut value: Value = serde_json::from_str(r#"{"a": [5.0, 1.5, -2.0, 1e300]}"#).unwrap();
        whole_numbers(&mut value);
        assert_eq!(value, serde_json::from_str::<Value>(r#"{"a": [5, 1.5, -2, 1e300]}"#).unwrap());
    }
}
