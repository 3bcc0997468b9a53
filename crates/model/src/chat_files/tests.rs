//! Documents as they are found, and the files within the limits of those who read them.
#![cfg(test)]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Auth, ChatFiles, MOST_CHARACTERS, Wish};

const URL: &str = "https://api.example.com";

fn shop() -> Value {
    json!({
        "openapi": "3.0.3",
        "info": { "title": "The Shop of many things!", "version": "7", "description": format!("Sells things.\n{}", "more ".repeat(3000)) },
        "servers": [{ "url": "http://10.0.0.1/v1" }, { "url": "http://10.0.0.2/v1" }],
        "paths": {
            "/items": {
                "servers": [{ "url": "http://10.0.0.3" }],
                "parameters": [{ "$ref": "#/components/parameters/Page" }, { "name": "X-Trace", "in": "header", "schema": { "type": "string" } }],
                "get": { "operationId": "list items", "summary": "s".repeat(400), "description": "d".repeat(400),
                    "responses": { "200": { "description": "ok", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Item" }, "example": "e".repeat(9000) } } } } },
                "post": { "operationId": "list items", "requestBody": { "$ref": "#/components/requestBodies/New" }, "responses": {} },
            },
            "/signed": { "get": { "parameters": [{ "name": "X-Sign", "in": "header", "required": true }] } },
            "/safe": { "post": { "x-openai-isConsequential": false, "parameters": [{ "name": "Accept", "in": "header", "required": true }] } },
        },
        "components": {
            "parameters": { "Page": { "name": "page", "in": "query", "description": "p".repeat(900), "schema": { "type": "integer" } } },
            "requestBodies": { "New": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Item" } } } } },
            "schemas": { "Item": { "properties": { "part": { "$ref": "#/components/schemas/Part" } } }, "Part": { "type": "string" }, "Unused": { "type": "string" } },
        },
    })
}

fn files(document: &Value, wish: Wish) -> ChatFiles {
    ChatFiles::new(document, &Wish { prefix: "/shop".to_owned(), ..wish }).unwrap()
}

fn chars(value: &Value) -> usize {
    value.as_str().unwrap().chars().count()
}

#[test]
fn a_document_becomes_files_within_the_limits() {
    let files = files(&shop(), Wish::default());
    let actions = files.actions(URL);
    assert_eq!(actions["servers"], json!([{ "url": "https://api.example.com/shop" }]));
    assert_eq!(actions["openapi"], "3.0.3");
    let get = &actions["paths"]["/items"]["get"];
    let post = &actions["paths"]["/items"]["post"];
    assert_eq!((&get["operationId"], &post["operationId"]), (&json!("list_items"), &json!("list_items_2")));
    assert_eq!((chars(&get["summary"]), chars(&get["description"])), (300, 300));
    assert_eq!(get["parameters"].as_array().unwrap().len(), 1, "a header can't be sent");
    assert_eq!(chars(&get["parameters"][0]["description"]), 700);
    let asks = |path: &str, method: &str| actions["paths"][path][method]["x-openai-isConsequential"].clone();
    assert_eq!(
        (asks("/items", "get"), asks("/items", "post"), asks("/safe", "post")),
        (json!(false), json!(true), json!(false))
    );
    assert!(actions["paths"].get("/signed").is_none());
    assert!(files.left_out.len() == 1 && files.left_out[0].contains("X-Sign"), "{:?}", files.left_out);
    let schemas: Vec<&String> = actions["components"]["schemas"].as_object().unwrap().keys().collect();
    assert_eq!(schemas, ["Item", "Part"]);
    let text = actions.to_string();
    assert!(!text.contains("eeee") && !text.contains("10.0.0."), "{text}");
    let whole = files.document(URL);
    assert!(whole["paths"]["/signed"].is_object() && !whole.to_string().contains("10.0.0."));

    let manifest = files.manifest(URL).unwrap();
    assert_eq!(manifest["name_for_model"], "the_shop_of_many_things");
    assert_eq!((chars(&manifest["name_for_human"]), chars(&manifest["description_for_model"])), (20, 8_000));
    assert_eq!(manifest["description_for_human"], "Sells things.");
    assert_eq!(manifest["api"]["url"], "https://api.example.com/shop/openapi.yaml");
    assert_eq!(manifest["auth"], json!({ "type": "none" }));
}

#[test]
fn the_first_thirty_operations_are_taken_or_those_that_are_chosen() {
    let mut document = shop();
    for number in 0..40 {
        document["paths"][format!("/n{number}")] = json!({ "get": { "operationId": format!("n{number}") } });
    }
    let count = |files: &ChatFiles| -> usize {
        files.actions(URL)["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|item| item.as_object().unwrap().len())
            .sum()
    };
    let first = files(&document, Wish::default());
    assert_eq!(count(&first), 30);
    assert!(first.left_out.iter().any(|said| said.contains("has 43")), "{:?}", first.left_out);
    let chosen = Wish { operations: Some(vec!["n39".to_owned(), "n1".to_owned()]), ..Wish::default() };
    let two = files(&document, chosen);
    assert_eq!((count(&two), two.left_out.len()), (2, 1));
    let unknown = Wish { operations: Some(vec!["nobody".to_owned()]), ..Wish::default() };
    assert!(ChatFiles::new(&document, &unknown).unwrap_err().contains("\"nobody\""));
}

#[test]
fn how_callers_show_who_they_are_is_said_everywhere() {
    let bearer = Auth::Bearer(BTreeMap::from([("openai".to_owned(), "abc".to_owned())]));
    let mut document = shop();
    document["components"]["securitySchemes"] = json!({ "own": { "type": "http", "scheme": "Bearer" }, "key": { "type": "apiKey", "in": "header", "name": "X-Key" } });
    document["security"] = json!([{ "own": [] }]);
    let declared = files(&document, Wish::default());
    assert_eq!(declared.manifest(URL).unwrap()["auth"]["type"], "service_http");
    assert_eq!(declared.actions(URL)["security"], json!([{ "own": [] }]));
    document["security"] = json!([{ "key": [] }]);
    assert!(files(&document, Wish::default()).manifest(URL).is_none());
    let told = files(&document, Wish { auth: Some(bearer), ..Wish::default() });
    assert_eq!(
        told.manifest(URL).unwrap()["auth"],
        json!({ "type": "service_http", "authorization_type": "bearer", "verification_tokens": { "openai": "abc" } })
    );
    for document in [told.actions(URL), told.document(URL)] {
        assert_eq!(
            document["components"]["securitySchemes"],
            json!({ "gateway": { "type": "http", "scheme": "bearer" } })
        );
        assert_eq!(document["security"], json!([{ "gateway": [] }]));
    }
}

#[test]
fn what_chats_can_not_use_is_refused_with_a_sentence() {
    let said = |document: Value| ChatFiles::new(&document, &Wish::default()).unwrap_err();
    assert!(said(json!({ "swagger": "2.0", "paths": { "/a": { "get": {} } } })).contains("3.0 or 3.1"));
    assert!(said(json!({ "openapi": "3.1.0", "paths": {} })).contains("no operation"));
    let mut document = shop();
    document["components"]["schemas"]["Part"]["description"] = "x".repeat(MOST_CHARACTERS).into();
    assert!(said(document.clone()).contains("choose fewer"), "too long");
    // What only the whole document holds makes it no longer for anybody.
    document["components"]["schemas"] =
        json!({ "Item": {}, "Unused": { "description": "x".repeat(MOST_CHARACTERS) } });
    let files = files(&document, Wish::default());
    assert_eq!(files.document(URL), files.actions(URL));
}
