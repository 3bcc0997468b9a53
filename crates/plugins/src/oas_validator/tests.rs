//! What clients and the upstream see of `oas-validator`.
#![cfg(test)]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use usher_http1::head::Head;
use usher_pipeline::harness::{Harness, harness, try_harness};
use usher_pipeline::worker::{Answer, FetchError};

use super::PLUGIN;

fn document() -> Value {
    let id = json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "integer", "minimum": 1 } });
    json!({
        "openapi": "3.0.3",
        "info": { "title": "shop", "version": "1" },
        "servers": [{ "url": "https://shop.test/v1/" }],
        "paths": {
            "/orders": {
                "get": { "parameters": [
                    { "name": "limit", "in": "query", "required": true, "schema": { "type": "integer", "maximum": 100 } },
                    { "name": "tag", "in": "query", "schema": { "type": "array", "items": { "type": "string", "minLength": 2 } } },
                    { "name": "ids", "in": "query", "explode": false, "schema": { "type": "array", "items": { "type": "integer" } } },
                    { "name": "page", "in": "query", "style": "deepObject", "schema": { "type": "object", "properties": { "size": { "type": "integer" } } } },
                    { "$ref": "#/components/parameters/Trace" },
                ], "responses": {} },
                "post": { "requestBody": { "$ref": "#/components/requestBodies/Order" }, "responses": {} },
            },
            "/orders/{id}": { "parameters": [id], "get": { "responses": {} }, "delete": { "responses": {} } },
            "/orders/latest": { "get": { "responses": {} } },
            "/files/{name}.{ending}": { "get": { "parameters": [
                { "name": "name", "in": "path", "required": true, "schema": { "type": "string", "maxLength": 3 } },
                { "name": "ending", "in": "path", "required": true, "schema": { "enum": ["txt"] } },
            ], "responses": {} } },
        },
        "components": {
            "parameters": { "Trace": { "name": "X-Trace", "in": "header", "required": true, "schema": { "type": "string", "pattern": "^[a-f0-9]+$" } } },
            "requestBodies": { "Order": { "required": true, "content": {
                "application/json": { "schema": { "$ref": "#/components/schemas/Order" } },
                "application/x-www-form-urlencoded": { "schema": { "$ref": "#/components/schemas/Order" } },
                "image/*": {},
            } } },
            "schemas": {
                "Order": {
                    "type": "object", "required": ["count"], "additionalProperties": false,
                    "properties": {
                        "count": { "type": "integer", "minimum": 0, "exclusiveMinimum": true },
                        "note": { "type": "string", "nullable": true },
                        "parts": { "type": "array", "items": { "$ref": "#/components/schemas/Order" } },
                    },
                },
            },
        },
    })
}

fn bench(more: &Value) -> Harness {
    let mut body = json!({ "spec": document().to_string() });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    harness(&PLUGIN, body)
}

#[test]
fn parameters_are_judged_where_they_stand() {
    let mut bench = bench(&json!({}));
    for (target, wanted) in [
        ("/orders?limit=7", 200),
        ("/v1/orders?limit=7", 200),
        ("/orders", 400),
        ("/orders?limit=x", 400),
        ("/orders?limit=101", 400),
        ("/orders?limit=7&limit=8", 400),
        ("/orders?limit=7&tag=ab&tag=cd", 200),
        ("/orders?limit=7&tag=ab&tag=c", 400),
        ("/orders?limit=7&ids=1,2", 200),
        ("/orders?limit=7&ids=1,x", 400),
        ("/orders?limit=7&page[size]=1", 200),
        ("/orders?limit=7&page%5Bsize%5D=x", 400),
        ("/orders/7", 200),
        ("/orders/0", 400),
        ("/orders/x", 400),
        ("/orders/latest", 200),
        ("/orders/7/more", 400),
        ("/files/abc.txt", 200),
        ("/files/abcd.txt", 400),
        ("/files/abc.exe", 400),
        ("/elsewhere", 400),
    ] {
        assert_eq!(bench.send("GET", target, &[("X-Trace", "abc")], "").status(), wanted, "{target}");
    }
    bench.send("GET", "/orders?limit=7", &[], "").expect_status(400);
    bench.send("GET", "/orders?limit=7", &[("x-trace", "xyz")], "").expect_status(400);
    bench.send("PUT", "/orders/7", &[], "").expect_status(400);
    bench.send("DELETE", "/orders/7", &[], "").expect_status(200);
}

#[test]
fn bodies_are_judged_and_forwarded_as_they_were_understood() {
    let mut bench = bench(&json!({}));
    let form = "application/x-www-form-urlencoded";
    for (media, body, wanted) in [
        ("application/json", r#"{"count": 1, "note": null, "parts": [{"count": 2}]}"#, 200),
        ("application/json; charset=utf-8", r#"{"count": 1}"#, 200),
        ("application/json", r#"{"count": 0}"#, 400),
        ("application/json", r#"{"count": 1, "parts": [{"count": "2"}]}"#, 400),
        ("application/json", r#"{"count": 1, "other": 1}"#, 400),
        ("application/json", r#"{"count": 1} {}"#, 400),
        ("application/json", "", 400),
        (form, "count=1&note=a", 200),
        (form, "count=x", 400),
        ("image/png", "anything", 200),
        ("text/plain", "anything", 400),
    ] {
        assert_eq!(
            bench.send("POST", "/orders", &[("Content-Type", media)], body).status(),
            wanted,
            "{media} {body}"
        );
    }
    let twice = bench.send(
        "POST",
        "/orders",
        &[("Content-Type", "application/json")],
        r#"{"count": -1, "count": 5}"#,
    );
    assert_eq!(&twice.seen().body[..], br#"{"count":5}"#);
}

#[test]
fn a_refusal_says_what_is_wrong_only_where_told() {
    let outcome = bench(&json!({})).get("/orders/x");
    assert_eq!((outcome.status(), outcome.text()), (400, "{\"message\":\"failed to validate request. \"}\n"));
    let outcome = bench(&json!({ "verbose_errors": true, "rejection_status_code": 422 })).get("/orders/x");
    assert_eq!(outcome.status(), 422);
    assert!(
        outcome.text().starts_with("{\"message\":\"failed to validate request. path parameter \\\"id\\\": "),
        "{}",
        outcome.text()
    );
    bench(&json!({ "reject_if_not_match": false })).get("/orders/x").expect_status(200);
    let all = json!({
        "skip_request_body_validation": true, "skip_request_header_validation": true,
        "skip_query_param_validation": true, "skip_path_params_validation": true
    });
    let mut bench = bench(&all);
    bench.get("/orders").expect_status(200);
    bench.get("/orders/x").expect_status(200);
    bench.send("POST", "/orders", &[], "nonsense").expect_status(200);
    bench.get("/elsewhere").expect_status(400);
}

#[test]
fn a_document_is_fetched_kept_and_never_done_without() {
    let (calls, is_away) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(true)));
    let (counted, away) = (Rc::clone(&calls), Rc::clone(&is_away));
    let body =
        json!({ "spec_url": "https://docs.test/shop.json", "spec_url_request_headers": { "X-Key": "k" } });
    let mut bench = harness(&PLUGIN, body).fetches(move |call| {
        counted.set(counted.get() + 1);
        assert_eq!((call.fields.get_str("x-key"), call.verify), (Some("k"), true));
        if away.get() {
            return Err(FetchError::TimedOut("docs.test".into()));
        }
        Ok(Answer { head: Head::response(200), body: document().to_string().into() })
    });
    let outcome = bench.get("/orders/7");
    assert_eq!((outcome.status(), outcome.text()), (500, "{\"message\":\"failed to parse openapi spec\"}\n"));
    bench.get("/orders/7").expect_status(500);
    assert_eq!(calls.get(), 1, "a server that failed rests for a moment");
    is_away.set(false);
    bench.pass(Duration::from_secs(1));
    bench.get("/orders/7").expect_status(200);
    bench.get("/orders/x").expect_status(400);
    assert_eq!(calls.get(), 2);
    is_away.set(true);
    bench.pass(Duration::from_secs(3600));
    bench.get("/orders/7").expect_status(200);
    assert_eq!(calls.get(), 3, "what was fetched stays while its server is away");
    let mut nonsense = harness(&PLUGIN, json!({ "spec_url": "https://docs.test/x" }))
        .fetches(|_| Ok(Answer { head: Head::response(200), body: "openapi: 3.0.0".into() }));
    nonsense.get("/").expect_status(500);
}

#[test]
fn newer_documents_are_json_schema_of_their_own_day() {
    let spec = json!({
        "openapi": "3.1.0", "info": { "title": "t", "version": "1" },
        "paths": { "/a": { "get": { "parameters": [
            { "name": "n", "in": "query", "schema": { "type": ["integer", "null"], "exclusiveMinimum": 3 } },
            { "name": "c", "in": "cookie", "required": true, "schema": { "const": "yes" } },
        ] } } }
    });
    let mut bench = harness(&PLUGIN, json!({ "spec": spec.to_string() }));
    for (target, cookie, wanted) in
        [("/a?n=4", "c=yes", 200), ("/a?n=3", "c=yes", 400), ("/a", "c=no", 400), ("/a", "b=1", 400)]
    {
        assert_eq!(
            bench.send("GET", target, &[("Cookie", cookie)], "").status(),
            wanted,
            "{target} {cookie}"
        );
    }
}

#[test]
fn documents_that_can_not_be_used_are_refused_by_name() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = document();
        change(&mut document);
        json!({ "spec": document.to_string() })
    };
    for (body, wanted) in [
        (json!({}), "value should match only one schema"),
        (json!({ "spec": "{}", "spec_url": "https://a.test" }), "value should match only one schema"),
        (json!({ "spec": "openapi: 3.0.0" }), "invalid JSON string provided, err: "),
        (json!({ "spec": "{}" }), "OpenAPI 3.0 and 3.1 are known"),
        (json!({ "spec_url": "ftp://a.test" }), "property \"spec_url\""),
        (json!({ "spec_url": "https://a.test", "timeout": 1 }), "property \"timeout\""),
        (
            with(&|document| document["paths"]["/orders"]["get"]["parameters"][0]["in"] = json!("body")),
            "GET /orders: parameter \"limit\"",
        ),
        (
            with(&|document| {
                document["components"]["schemas"]["Order"] = json!({ "$ref": "http://a.test/x" })
            }),
            "leaves the document",
        ),
        (
            with(&|document| {
                document["components"]["schemas"]["Order"] = json!({ "$ref": "#/components/schemas/Order" })
            }),
            "leads back to itself",
        ),
        (
            with(&|document| document["components"]["requestBodies"]["Order"] = json!({ "$ref": "#/none" })),
            "leads nowhere",
        ),
        (
            with(&|document| document["components"]["schemas"]["Order"]["type"] = json!("thing")),
            "POST /orders: body",
        ),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().map(|error| error.message).unwrap_or_default();
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
}
