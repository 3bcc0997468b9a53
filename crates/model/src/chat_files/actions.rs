//! An OpenAPI document within the limits of GPT Actions: at most 30 operations, each with a name, texts of 300 characters, parameters of 700, and no header
//! fields of the API's own, because nobody there could send them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{MOST_OPERATIONS, short};
use crate::openapi::operation_name;

/// Characters of a summary or description.
const MOST_WORDS: usize = 300;
/// Characters of a parameter's description.
const MOST_PARAMETER_WORDS: usize = 700;
/// What says whether a person is asked before each call.
const CONSEQUENTIAL: &str = "x-openai-isConsequential";
/// The methods of operations, in the order in which they are taken.
const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];
/// Header fields that aren't parameters, by OpenAPI's own word.
const NO_PARAMETERS: [&str; 3] = ["accept", "content-type", "authorization"];

/// The document, and what isn't in it.
pub(super) struct Reduced {
    pub(super) document: Value,
    pub(super) left_out: Vec<String>,
}

/// The document within the limits, with the operations of these names, or the first ones.
///
/// # Errors
/// No operation stays, or one of the names is nobody's; as a sentence.
pub(super) fn reduced(document: &Value, chosen: Option<&[String]>) -> Result<Reduced, String> {
    let mut reducer = Reducer { document, chosen, names: BTreeSet::new(), seen: 0, left_out: Vec::new() };
    let mut paths = Map::new();
    let items = document.get("paths").and_then(Value::as_object);
    for (path, item) in items.into_iter().flatten().filter(|(path, _)| path.starts_with('/')) {
        let operations = reducer.item(path, item);
        if !operations.is_empty() {
            paths.insert(path.clone(), operations.into());
        }
    }
    let missing = chosen.into_iter().flatten().find(|name| !reducer.names.contains(*name));
    if let Some(name) = missing {
        return Err(format!(
            "there is no operation {name:?} that GPT Actions can take; write operationIds of the document"
        ));
    }
    if paths.is_empty() {
        return Err("no operation of the document is one that GPT Actions can take".to_owned());
    }
    if reducer.seen > MOST_OPERATIONS {
        reducer.left_out.push(format!(
            "GPT Actions take {MOST_OPERATIONS} operations, and the API has {}: the first ones are in their document; others are chosen by \"operations\" of the plugin {}",
            reducer.seen,
            super::PLUGIN
        ));
    }
    let mut made = Map::new();
    made.insert("openapi".to_owned(), document.get("openapi").cloned().unwrap_or_default());
    made.insert("info".to_owned(), info(document));
    // The server's place, before the long part.
    made.insert("servers".to_owned(), json!([]));
    if let Some(security) = document.get("security") {
        made.insert("security".to_owned(), security.clone());
    }
    let components = components(document, &paths);
    made.insert("paths".to_owned(), paths.into());
    if !components.is_empty() {
        made.insert("components".to_owned(), components.into());
    }
    Ok(Reduced { document: made.into(), left_out: reducer.left_out })
}

struct Reducer<'d> {
    document: &'d Value,
    chosen: Option<&'d [String]>,
    names: BTreeSet<String>,
    seen: usize,
    left_out: Vec<String>,
}

impl Reducer<'_> {
    fn item(&mut self, path: &str, item: &Value) -> Map<String, Value> {
        let mut kept = Map::new();
        for method in METHODS {
            let Some(operation) = item.get(method).and_then(Value::as_object) else { continue };
            let parameters = self.parameters(item.get("parameters"), operation.get("parameters"));
            let parameters = match parameters {
                Ok(parameters) => parameters,
                Err(header) => {
                    self.left_out.push(format!(
                        "{} {path} needs the header {header}, which GPT Actions can't send, so it isn't in their document",
                        method.to_ascii_uppercase()
                    ));
                    continue;
                }
            };
            let own = operation.get("operationId").and_then(Value::as_str);
            let name = operation_name(own, method, path, &mut self.names);
            if self.chosen.is_some_and(|chosen| !chosen.contains(&name)) {
                continue;
            }
            self.seen += 1;
            if self.seen > MOST_OPERATIONS {
                continue;
            }
            kept.insert(method.to_owned(), self.operation(operation, method, name, parameters));
        }
        kept
    }

    /// The parameters that can be sent, each with a short description; or the header that can't be and has to.
    fn parameters(&self, of_path: Option<&Value>, own: Option<&Value>) -> Result<Vec<Value>, String> {
        let mut kept: Vec<Value> = Vec::new();
        for parameter in [of_path, own].into_iter().flatten().filter_map(Value::as_array).flatten() {
            let mut parameter = self.followed(parameter).clone();
            let word = |name| parameter.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (name, place) = (word("name"), word("in"));
            if place == "header" || place == "cookie" {
                let is_needed = parameter.get("required").and_then(Value::as_bool) == Some(true);
                if is_needed && !NO_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
                    return Err(name);
                }
                continue;
            }
            shorten(&mut parameter, MOST_PARAMETER_WORDS);
            if let Some(members) = parameter.as_object_mut() {
                for long in ["example", "examples"] {
                    members.shift_remove(long);
                }
            }
            // An operation's own parameter stands for its path's.
            kept.retain(|known| {
                let is = |member, value: &str| known.get(member).and_then(Value::as_str) == Some(value);
                !(is("name", &name) && is("in", &place))
            });
            kept.push(parameter);
        }
        Ok(kept)
    }

    fn operation(
        &self,
        operation: &Map<String, Value>,
        method: &str,
        name: String,
        parameters: Vec<Value>,
    ) -> Value {
        let mut kept = Map::new();
        kept.insert("operationId".to_owned(), name.into());
        for text in ["summary", "description"] {
            if let Some(words) = operation.get(text).and_then(Value::as_str) {
                kept.insert(text.to_owned(), short(words, MOST_WORDS).into());
            }
        }
        // What changes something is asked about each time, unless the document says otherwise.
        let asks = operation.get(CONSEQUENTIAL).and_then(Value::as_bool);
        let asks = asks.unwrap_or(!matches!(method, "get" | "head" | "options"));
        kept.insert(CONSEQUENTIAL.to_owned(), asks.into());
        if !parameters.is_empty() {
            kept.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(body) = operation.get("requestBody") {
            let mut body = self.followed(body).clone();
            shorten(&mut body, MOST_WORDS);
            without_examples(&mut body);
            kept.insert("requestBody".to_owned(), body);
        }
        if let Some(security) = operation.get("security") {
            kept.insert("security".to_owned(), security.clone());
        }
        let mut answers = Map::new();
        for (status, answer) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
            let answer = self.followed(answer);
            let words = answer.get("description").and_then(Value::as_str).unwrap_or_default();
            let mut short_answer = json!({ "description": short(words, MOST_WORDS) });
            if let (Some(content), Some(members)) = (answer.get("content"), short_answer.as_object_mut()) {
                members.insert("content".to_owned(), content.clone());
            }
            without_examples(&mut short_answer);
            answers.insert(status.clone(), short_answer);
        }
        if answers.is_empty() {
            answers.insert("default".to_owned(), json!({ "description": "the answer" }));
        }
        kept.insert("responses".to_owned(), answers.into());
        kept.into()
    }

    /// What a reference stands for, one step; anything else as it is.
    fn followed<'v>(&'v self, value: &'v Value) -> &'v Value {
        let place = value.get("$ref").and_then(Value::as_str).and_then(|place| place.strip_prefix('#'));
        place.and_then(|place| self.document.pointer(place)).unwrap_or(value)
    }
}

/// Cuts the description that stands in a value itself.
fn shorten(value: &mut Value, most: usize) {
    let words = value.get("description").and_then(Value::as_str).map(|words| short(words, most));
    if let (Some(words), Some(members)) = (words, value.as_object_mut()) {
        members.insert("description".to_owned(), words.into());
    }
}

/// Takes the examples out of the media types of a body or an answer.
fn without_examples(value: &mut Value) {
    let content = value.get_mut("content").and_then(Value::as_object_mut);
    for media in content.into_iter().flat_map(|content| content.values_mut()).filter_map(Value::as_object_mut)
    {
        for long in ["example", "examples", "encoding"] {
            media.shift_remove(long);
        }
    }
}

fn info(document: &Value) -> Value {
    let word = |name: &str| document.get("info").and_then(|info| info.get(name)).and_then(Value::as_str);
    let mut info =
        json!({ "title": word("title").unwrap_or("API"), "version": word("version").unwrap_or("1") });
    if let (Some(words), Some(members)) = (word("description"), info.as_object_mut()) {
        members.insert("description".to_owned(), short(words, MOST_WORDS).into());
    }
    info
}

/// The components that the paths lean on, and those that say how callers show who they are.
fn components(document: &Value, paths: &Map<String, Value>) -> Map<String, Value> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut open = Vec::new();
    paths.values().for_each(|item| references(item, &mut open));
    while let Some(reference) = open.pop() {
        let Some(place) = reference.strip_prefix('#').filter(|_| !found.contains(&reference)) else {
            continue;
        };
        if let Some(value) = document.pointer(place) {
            references(value, &mut open);
        }
        found.insert(reference);
    }
    let mut kept = Map::new();
    for (kind, group) in document.get("components").and_then(Value::as_object).into_iter().flatten() {
        let is_used = |name: &str| {
            let step = name.replace('~', "~0").replace('/', "~1");
            let place = format!("#/components/{kind}/{step}");
            // A reference may go on into what it names.
            kind == "securitySchemes"
                || found.contains(&place)
                || found
                    .iter()
                    .any(|known| known.strip_prefix(&place).is_some_and(|rest| rest.starts_with('/')))
        };
        let members = group.as_object().into_iter().flatten().filter(|(name, _)| is_used(name));
        let members: Map<String, Value> =
            members.map(|(name, value)| (name.clone(), value.clone())).collect();
        if !members.is_empty() {
            kept.insert(kind.clone(), members.into());
        }
    }
    kept
}

/// The references in a value. How deep it goes is bounded by who read the document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member) {
                    ("$ref", Value::String(place)) => found.push(place.clone()),
                    _ => references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}
