//! What helps to repair a body that was refused: the member to blame, what its schema allows there, and the word that was probably meant.
//!
//! The sentences of the contract stay as they are, because clients read them; a model needs the bound, the choice and the place beside them.

use serde_json::Value;
use usher_model::kind::{Key, Kind};
use usher_model::nearest::nearest;
use usher_model::schema::{Checker, schema};
use usher_pipeline::registry::Registry;

use super::text::clean;

/// Characters of what is allowed.
const MOST: usize = 450;
/// How deep descriptions of schemas go.
const DEEPEST: usize = 3;

/// What an id looks like.
pub(super) const ID: &str = "an id: 1 to 64 letters, digits, - _ or .";
/// What a consumer's name looks like.
pub(super) const USERNAME: &str = "a username: 1 to 256 letters, digits, - or _";

/// What can be said about a refusal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hint {
    /// The place inside the resource, where it is known better than before.
    pub(super) at: Option<String>,
    pub(super) meant: Option<String>,
    pub(super) allowed: Option<String>,
}

/// What can be said about the refusal of `value` with this sentence at this pointer.
pub(super) fn hint(registry: &Registry, key: &Key, value: &Value, sentence: &str, pointer: &str) -> Hint {
    if let Some(name) = pointer.strip_prefix("/plugins/").map(unescaped) {
        let body = value.get("plugins").and_then(|plugins| plugins.get(&name));
        return body.and_then(|body| in_plugin(registry, key.kind, &name, body, pointer)).unwrap_or_default();
    }
    if !sentence.starts_with("invalid configuration: ") {
        return Hint::default();
    }
    let whole = schema(key.kind);
    if pointer.is_empty() && is_about_choices(sentence) {
        return Hint { allowed: needs(key.kind).map(str::to_owned), ..Hint::default() };
    }
    broken(whole, sentence, pointer)
}

/// The member of a plugin's body that is to blame, found by the plugin's own schema.
fn in_plugin(registry: &Registry, kind: Kind, name: &str, body: &Value, pointer: &str) -> Option<Hint> {
    let spec = registry.find(name)?;
    let is_credential = matches!(kind, Kind::Consumer | Kind::Credential) && spec.is_auth();
    let schema = if is_credential { registry.credential_schema(name)? } else { registry.schema(name)? };
    let mut bare = body.clone();
    if let Some(members) = bare.as_object_mut() {
        members.shift_remove("_meta");
    }
    let violation = Checker::new(schema).ok()?.check(&bare).err()?;
    let hint = broken(schema, &violation.sentence, &violation.pointer);
    // A sentence about several forms names no field, and nothing of it can be repaired by.
    let near = violation.near;
    if hint == Hint::default() && !violation.sentence.ends_with(&near.sentence) {
        let at = Some(format!("{pointer}{}", near.pointer));
        return Some(Hint { at, allowed: Some(capped(&near.sentence)), meant: None });
    }
    Some(Hint { at: Some(format!("{pointer}{}", violation.pointer)), ..hint })
}

fn broken(schema: &Value, sentence: &str, pointer: &str) -> Hint {
    if sentence.contains("additional properties forbidden")
        && let Some((parent, unknown)) = pointer.rsplit_once('/')
    {
        let place = at(schema, parent);
        let names = || members(place).map(String::as_str);
        let allowed = capped(&names().collect::<Vec<_>>().join(", "));
        return Hint { at: None, meant: nearest(&unescaped(unknown), names()), allowed: Some(allowed) };
    }
    let missing = sentence
        .strip_suffix("\" is required")
        .and_then(|said| said.rsplit_once("property \""))
        .map(|(_, name)| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")));
    let pointer = missing.as_deref().unwrap_or(pointer);
    let words = at(schema, pointer).and_then(|place| described(place, DEEPEST));
    let name = pointer.rsplit_once('/').map(|(_, name)| unescaped(name)).unwrap_or_default();
    let allowed = words
        .map(|words| capped(&if name.is_empty() { words } else { format!("{}: {words}", clean(&name, 64)) }));
    Hint { at: None, meant: None, allowed }
}

fn is_about_choices(sentence: &str) -> bool {
    ["allOf ", "matches none of the required", "should match only one schema", "wasn't supposed to match"]
        .into_iter()
        .any(|words| sentence.contains(words))
}

/// What a kind can't be without, in plain words.
const fn needs(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Route => Some(
            "a route needs `uri` or `uris` (only one of them), and one of `upstream`, `upstream_id`, `service_id` or `plugins`",
        ),
        Kind::Upstream => {
            Some("an upstream needs `nodes`, such as {\"127.0.0.1:8080\": 1}: weights by host:port")
        }
        _ => None,
    }
}

/// The schema of the member that a pointer leads to.
fn at<'a>(schema: &'a Value, pointer: &str) -> Option<&'a Value> {
    let mut place = schema;
    for part in pointer.split('/').skip(1) {
        place = below(place, &unescaped(part))?;
    }
    Some(place)
}

fn below<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let own = schema.get("properties").and_then(|all| all.get(name));
    let item = || schema.get("items").filter(|items| items.is_object() && name.parse::<usize>().is_ok());
    let by_pattern = || schema.get("patternProperties")?.as_object()?.values().next();
    let other = || schema.get("additionalProperties").filter(|other| other.is_object());
    let branch = || {
        ["allOf", "anyOf", "oneOf"]
            .into_iter()
            .filter_map(|list| schema.get(list)?.as_array())
            .flatten()
            .find_map(|branch| below(branch, name))
    };
    own.or_else(item).or_else(by_pattern).or_else(other).or_else(branch)
}

fn members(place: Option<&Value>) -> impl Iterator<Item = &String> {
    place
        .and_then(|place| place.get("properties"))
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|all| all.keys())
}

/// A schema in words, as far as it says something.
fn described(schema: &Value, deep: usize) -> Option<String> {
    let deep = deep.checked_sub(1)?;
    if is_id(schema) {
        return Some(ID.to_owned());
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = choices.iter().map(shown).collect();
        return Some(format!("one of {}", words.join(", ")));
    }
    if let Some(only) = schema.get("const") {
        return Some(shown(only));
    }
    let kind = schema.get("type").and_then(Value::as_str);
    if kind.is_none() {
        let branches = ["anyOf", "oneOf"].into_iter().find_map(|list| schema.get(list)?.as_array())?;
        let words: Vec<String> = branches.iter().filter_map(|branch| described(branch, deep)).collect();
        return (!words.is_empty()).then(|| words.join(" or "));
    }
    Some(match kind? {
        "integer" => format!("a whole number{}", range(schema)),
        "number" => format!("a number{}", range(schema)),
        "boolean" => "true or false".to_owned(),
        "string" => format!("text{}", letters(schema)),
        "array" => {
            let items = schema.get("items").and_then(|items| described(items, deep));
            let what = items.map_or_else(|| "a list".to_owned(), |items| format!("a list, each {items}"));
            format!("{what}{}", count(schema, "minItems", "maxItems", "items"))
        }
        "object" => object(schema),
        _ => return None,
    })
}

fn object(schema: &Value) -> String {
    let choices: Vec<String> = ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|list| schema.get(list)?.as_array())
        .flatten()
        .filter_map(|branch| branch.get("required")?.as_array())
        .map(|names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" and "))
        .collect();
    if !choices.is_empty() {
        return format!("an object with {}", choices.join(", or "));
    }
    let names: Vec<&str> = members(Some(schema)).map(String::as_str).collect();
    if names.is_empty() { "an object".to_owned() } else { format!("an object of {}", names.join(", ")) }
}

fn is_id(schema: &Value) -> bool {
    // Every id in the schemas of resources is the same schema.
    usher_model::schema::schema(Kind::Route).pointer("/properties/id") == Some(schema)
}

fn range(schema: &Value) -> String {
    let bound = |name: &str| schema.get(name).filter(|bound| bound.is_number());
    let least = bound("minimum")
        .map(|least| format!("from {least}"))
        .or_else(|| bound("exclusiveMinimum").map(|least| format!("greater than {least}")));
    let most = bound("maximum")
        .map(|most| format!("to {most}"))
        .or_else(|| bound("exclusiveMaximum").map(|most| format!("less than {most}")));
    match (least, most) {
        (None, None) => String::new(),
        (Some(least), None) if least.starts_with("from") => format!(" {least} on"),
        (Some(one), None) | (None, Some(one)) => format!(" {}", one.replacen("to ", "up to ", 1)),
        (Some(least), Some(most)) => format!(" {least} {most}"),
    }
}

fn letters(schema: &Value) -> String {
    let length = count(schema, "minLength", "maxLength", "characters");
    match schema.get("pattern").and_then(Value::as_str) {
        Some(pattern) => format!("{length} that matches {pattern}"),
        None => length,
    }
}

fn count(schema: &Value, least: &str, most: &str, of: &str) -> String {
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    match (bound(least), bound(most)) {
        (None, None) => String::new(),
        (Some(least), None) => format!(", at least {least} {of}"),
        (None, Some(most)) => format!(", at most {most} {of}"),
        (Some(least), Some(most)) => format!(", {least} to {most} {of}"),
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn capped(words: &str) -> String {
    clean(words, MOST)
}

fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_model::kind::{Key, Kind};
    use usher_model::schema::check;
    use usher_pipeline::registry::Registry;

    use super::{Hint, hint};

    /// What is said about a body that the schema of its kind refuses.
    fn about(kind: Kind, value: &Value) -> Hint {
        let violation = check(kind, value).unwrap_err();
        let registry = Registry::new(&[]);
        hint(&registry, &Key::new(kind, "x"), value, &violation.admin_sentence(), &violation.pointer)
    }

    #[test]
    fn each_refusal_by_a_schema_says_what_is_allowed() {
        let nodes = json!({ "127.0.0.1:80": 1 });
        let cases = [
            (Kind::Route, json!({ "upstream_id": "x" }), "a route needs `uri` or `uris`"),
            (Kind::Route, json!({ "uri": "/a", "uris": ["/b"], "upstream_id": "x" }), "only one of them"),
            (
                Kind::Route,
                json!({ "uri": "/a" }),
                "one of `upstream`, `upstream_id`, `service_id` or `plugins`",
            ),
            (
                Kind::Route,
                json!({ "uri": "/a", "upstream_id": "a b" }),
                "upstream_id: an id: 1 to 64 letters",
            ),
            (Kind::Route, json!({ "uri": "/a", "upstream_id": "x", "status": 2 }), "status: one of 1, 0"),
            (
                Kind::Route,
                json!({ "uri": "/a", "upstream_id": "x", "methods": ["FETCH"] }),
                "0: one of GET, POST",
            ),
            (
                Kind::Route,
                json!({ "uri": "/a", "upstream_id": "x", "timeout": { "connect": 1, "send": 0, "read": 1 } }),
                "send: a number greater than 0",
            ),
            (
                Kind::Route,
                json!({ "uri": "/a", "upstream_id": "x", "timeout": { "connect": 1, "send": 1 } }),
                "read: a number greater than 0",
            ),
            (Kind::Route, json!({ "uri": "/a", "upstream": {} }), "upstream: an object with nodes, or"),
            (Kind::Upstream, json!({ "type": "roundrobin" }), "an upstream needs `nodes`"),
            (Kind::Upstream, json!({ "nodes": nodes, "retries": -1 }), "retries: a whole number from 0 on"),
            (Kind::Upstream, json!({ "nodes": { "a:1": -1 } }), "nodes: an object"),
            (Kind::Consumer, json!({}), "username: text, 1 to 256 characters"),
        ];
        for (kind, value, wanted) in cases {
            let hint = about(kind, &value);
            let allowed = hint.allowed.unwrap_or_default();
            assert!(allowed.contains(wanted), "{kind} {value}: {allowed:?} lacks {wanted:?}");
        }
    }

    #[test]
    fn an_unknown_member_is_told_what_was_meant() {
        let nodes = json!({ "127.0.0.1:80": 1 });
        for (value, meant) in [
            (json!({ "uri": "/a", "upstreamid": "x", "plugins": {} }), "upstream_id"),
            (json!({ "uri": "/a", "upstream": { "nodes": nodes, "retires": 1 } }), "retries"),
        ] {
            let hint = about(Kind::Route, &value);
            assert_eq!(hint.meant.as_deref(), Some(meant), "{value}");
            assert!(hint.allowed.unwrap().contains(meant));
        }
    }
}
