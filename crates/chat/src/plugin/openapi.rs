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
    let page = |name: &str, words: &str| json!({ "name": name, "in": "query", "required": false, "description": words, "schema": { "type": "integer" } });
    json!({
        "get": {
            "operationId": format!("getAll{several}"),
            "summary": format!("All {}s, or a page of them", kind.word()),
            CONSEQUENTIAL: false,
            "parameters": [
                page("page", "the page, from 1 on; together with page_size"),
                page("page_size", "objects a page, 10 to 500; together with page"),
            ],
            "responses": { "200": answer("the objects and how many there are", json!({
                "type": "object",
                "properties": {
                    "total": { "type": "integer" },
                    "list": { "type": "array", "items": reference(&format!("Stored{name}")) },
                },
            })) },
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
            "requestBody": body(&name, "the members to change"),
            "responses": written(&[("200", "it was changed", whole())]),
        },
        "delete": {
            "operationId": format!("delete{name}"),
            "summary": format!("Delete a {word}"),
            CONSEQUENTIAL: true,
            "parameters": id,
            "responses": written(&[("200", "it was deleted", gone)]),
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

/// How a write can end well, and what can go wrong with it.
fn written(well: &[(&str, &str, Value)]) -> Value {
    let mut answers: Map<String, Value> = well
        .iter()
        .map(|(status, words, schema)| ((*status).to_owned(), answer(words, schema.clone())))
        .collect();
    answers.insert("400".to_owned(), failure("refused, with the reason; nothing was changed"));
    answers.insert("404".to_owned(), failure("there is none with this id"));
    answers.into()
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
