//! The OpenAPI document: the Admin API's operations on routes, services and upstreams, as the article had them, within the limits of GPT Actions.
//!
//! At most 30 operations, 300 characters for a summary, 700 for a parameter; every write is marked consequential, so that ChatGPT asks each time.

use serde_json::{Map, Value, json};
use usher_model::kind::Kind;

use super::members::{KINDS, simplified};

/// The mark that makes ChatGPT ask before each call, or lets the person allow it for good.
const CONSEQUENTIAL: &str = "x-openai-isConsequential";

/// The document, with its server at `public_url`.
pub(super) fn document(public_url: &str) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for kind in KINDS {
        let name = capital(kind);
        schemas.insert(name.clone(), simplified(kind));
        schemas.insert(format!("{name}Patch"), nullable(simplified(kind)));
        schemas.insert(format!("Stored{name}"), stored(&name));
        let collection = format!("/apisix/admin/{}", kind.collection());
        paths.insert(collection.clone(), on_collection(kind));
        paths.insert(format!("{collection}/{{id}}"), on_one(kind));
    }
    schemas.insert(
        "Error".to_owned(),
        json!({
            "type": "object",
            "properties": { "error_msg": { "type": "string", "description": "what is wrong, and where" } },
        }),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Usher API gateway",
            "description": "Manage the routes, services and upstreams of an API gateway that is compatible with Apache APISIX.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": public_url }],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn on_collection(kind: Kind) -> Value {
    let name = capital(kind);
    let several = format!("{name}s");
    let page = |name: &str, words: &str, schema: Value| json!({ "name": name, "in": "query", "required": false, "description": words, "schema": schema });
    json!({
        "get": {
            "operationId": format!("getAll{several}"),
            "summary": format!("All {}s, or a page of them", kind.word()),
            CONSEQUENTIAL: false,
            "parameters": [
                page("page", "the page, from 1 on; together with page_size", json!({ "type": "integer", "minimum": 1 })),
                page(
                    "page_size",
                    "objects a page, 10 to 500; together with page",
                    json!({ "type": "integer", "minimum": 10, "maximum": 500 }),
                ),
            ],
            "responses": { "200": answer("the objects and how many there are", json!({
                "type": "object",
                "properties": {
                    "total": { "type": "integer" },
                    "list": { "type": "array", "items": reference(&format!("Stored{name}")) },
                },
            })), "400": failure("page_size is out of its range") },
        },
        "post": {
            "operationId": format!("create{name}WithNewId"),
            "summary": format!("Make a {} under an id that the gateway chooses", kind.word()),
            CONSEQUENTIAL: true,
            "requestBody": body(&name, &format!("the new {}", kind.word())),
            "responses": written(&[("201", "it was made", reference(&format!("Stored{name}")))]),
        },
    })
}

fn on_one(kind: Kind) -> Value {
    let name = capital(kind);
    let word = kind.word();
    let id = json!([{
        "name": "id", "in": "path", "required": true, "schema": { "type": "string" },
        "description": format!("the id of the {word}: 1 to 64 letters, digits, - _ or ."),
    }]);
    let whole = || reference(&format!("Stored{name}"));
    let gone = json!({ "type": "object", "properties": { "key": { "type": "string" }, "deleted": { "type": "string" } } });
    json!({
        "get": {
            "operationId": format!("get{name}"),
            "summary": format!("One {word}"),
            CONSEQUENTIAL: false,
            "parameters": id.clone(),
            "responses": {
                "200": answer("the object", whole()),
                "404": failure("there is none with this id"),
            },
        },
        "put": {
            "operationId": format!("create{name}"),
            "summary": format!("Make a {word} under this id, or replace the whole {word} that has it"),
            CONSEQUENTIAL: true,
            "parameters": id.clone(),
            "requestBody": body(&name, &format!("the whole {word}")),
            "responses": written(&[("200", "it replaced what was there", whole()), ("201", "it was made", whole())]),
        },
        "patch": {
            "operationId": format!("update{name}"),
            "summary": format!("Change members of a {word}: objects are merged, null takes a member away"),
            CONSEQUENTIAL: true,
            "parameters": id.clone(),
            "requestBody": body(&format!("{name}Patch"), "the members to change; null takes a member away"),
            "responses": written(&[("200", "it was changed", whole())]),
        },
        "delete": {
            "operationId": format!("delete{name}"),
            "summary": format!("Delete a {word}"),
            CONSEQUENTIAL: true,
            "parameters": id,
            "responses": changed(&[("200", "it was deleted", gone)]),
        },
    })
}

fn stored(name: &str) -> Value {
    json!({
        "type": "object",
        "properties": {
            "key": { "type": "string", "description": "where it is stored" },
            "value": reference(name),
            "createdIndex": { "type": "integer", "description": "the revision that made it" },
            "modifiedIndex": { "type": "integer", "description": "the revision that last changed it" },
        },
    })
}

fn body(name: &str, words: &str) -> Value {
    json!({ "required": true, "description": words, "content": { "application/json": { "schema": reference(name) } } })
}

/// How a write with a body can end well, and what can go wrong with it.
fn written(well: &[(&str, &str, Value)]) -> Value {
    let mut answers = changed(well);
    if let Some(answers) = answers.as_object_mut() {
        answers.insert("413".to_owned(), failure("the body is too long"));
        answers.insert("415".to_owned(), failure("the body's Content-Type is not application/json"));
    }
    answers
}

/// How any change can end well, and what can go wrong with it.
fn changed(well: &[(&str, &str, Value)]) -> Value {
    let mut answers: Map<String, Value> = well
        .iter()
        .map(|(status, words, schema)| ((*status).to_owned(), answer(words, schema.clone())))
        .collect();
    answers.insert("400".to_owned(), failure("refused, with the reason; nothing was changed"));
    answers.insert("404".to_owned(), failure("there is none with this id"));
    answers.into()
}

/// The schema of a patch: every member may be null, which takes it away.
fn nullable(mut schema: Value) -> Value {
    let members = schema.get_mut("properties").and_then(Value::as_object_mut);
    for member in
        members.into_iter().flat_map(|members| members.values_mut()).filter_map(Value::as_object_mut)
    {
        if let Some(kind) = member.get("type").cloned() {
            member.insert("type".to_owned(), json!([kind, "null"]));
        }
        if let Some(choices) = member.get_mut("enum").and_then(Value::as_array_mut) {
            choices.push(Value::Null);
        }
    }
    schema
}

fn answer(words: &str, schema: Value) -> Value {
    json!({ "description": words, "content": { "application/json": { "schema": schema } } })
}

fn failure(words: &str) -> Value {
    answer(words, reference("Error"))
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The kind as names of operations have it, such as `Route`.
fn capital(kind: Kind) -> String {
    let word = kind.word();
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| format!("{}{}", first.to_ascii_uppercase(), letters.as_str()))
}
