//! Messages of MCP through the plugin, with the API played by the bench.

use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_pipeline::harness::{Harness, Outcome, harness, try_harness};
use usher_pipeline::worker::{Answer, FetchError};

use super::PLUGIN;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Method, fields and body of a request, and the status and code that it gets.
type Sent<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u16, i64);

fn document() -> Value {
    let text = json!({ "type": "string" });
    let list = json!({ "type": "array", "items": { "type": "string" } });
    let object = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    json!({
        "openapi": "3.0.3",
        "info": { "title": "Shop", "version": "7", "description": "sells things" },
        "paths": {
            "/items/{id}": {
                "parameters": [{ "$ref": "#/components/parameters/id" }],
                "get": { "operationId": "get.item", "summary": "One item" },
                "delete": { "operationId": "dropItem" },
            },
            "/find": { "get": { "operationId": "find", "parameters": [
                { "name": "limit", "in": "query", "schema": { "type": "integer", "default": 10, "maximum": 50 } },
                { "name": "form", "in": "query", "schema": list },
                { "name": "comma", "in": "query", "explode": false, "schema": list },
                { "name": "space", "in": "query", "style": "spaceDelimited", "explode": false, "schema": list },
                { "name": "pipe", "in": "query", "style": "pipeDelimited", "explode": false, "schema": list },
                { "name": "deep", "in": "query", "style": "deepObject", "schema": object },
                { "name": "spread", "in": "query", "schema": object },
                { "name": "json", "in": "query", "content": { "application/json": { "schema": object } } },
                { "name": "X-Trace", "in": "header", "schema": text },
                { "name": "X-Key", "in": "header", "schema": text },
                { "name": "Authorization", "in": "header", "schema": text },
                { "name": "Host", "in": "header", "schema": text },
                { "name": "session", "in": "cookie", "schema": text },
            ] } },
            "/orders": { "post": { "operationId": "order", "requestBody": { "required": true, "content": {
                "application/json": { "schema": { "$ref": "#/components/schemas/Order" } } } } } },
            "/forms": { "put": { "requestBody": { "content": {
                "application/x-www-form-urlencoded": { "schema": { "type": "object", "properties": { "a": list, "b": text } } } } } } },
        },
        "components": {
            "parameters": { "id": { "name": "id", "in": "path", "required": true, "schema": text } },
            "schemas": { "Order": { "type": "object", "required": ["item", "number"], "properties": {
                "number": { "type": "integer", "readOnly": true },
                "item": { "type": "string", "nullable": true, "example": "a lamp" },
                "state": { "type": "string", "default": "new" },
                "with": { "type": "array", "items": { "$ref": "#/components/schemas/Order" } },
            } } },
        },
    })
}

fn body(more: Value) -> Value {
    let mut body = json!({ "openapi": document().to_string(), "base_url": "http://10.0.0.9/v1/" });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Answers every call with what was asked.
fn bench(body: Value) -> Harness {
    harness(&PLUGIN, body).from("192.0.2.7").fetches(|call| {
        let seen =
            json!({ "method": call.method, "url": call.url, "body": String::from_utf8_lossy(&call.body) });
        Ok(Answer { head: Head::response(200), body: seen.to_string().into() })
    })
}

fn post(bench: &mut Harness, message: &Value) -> Outcome {
    bench.send("POST", "/mcp", &[JSON], message.to_string())
}

fn asked(bench: &mut Harness, method: &str, params: Value) -> Value {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let outcome = post(bench, &message);
    assert_eq!(outcome.field("content-type"), Some("application/json"));
    let answer: Value = serde_json::from_str(outcome.expect_status(200).text()).unwrap();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(1)));
    assert!(outcome.upstream.is_none(), "the plugin answers by itself");
    answer
}

fn called(bench: &mut Harness, name: &str, arguments: Value) -> Value {
    asked(bench, "tools/call", json!({ "name": name, "arguments": arguments }))["result"].clone()
}

fn sentence(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

#[test]
fn what_is_no_message_gets_its_status_and_code() {
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let cases: &[Sent<'_>] = &[
        ("POST", &[JSON], ping, 200, 0),
        ("POST", &[JSON, ("Accept", "application/json, text/event-stream")], ping, 200, 0),
        ("POST", &[JSON, ("Accept", "text/html, */*;q=0.1")], ping, 200, 0),
        ("POST", &[JSON, ("Accept", "text/html")], ping, 406, -32600),
        ("POST", &[JSON, ("Accept", "application/json;q=0")], ping, 406, -32600),
        ("POST", &[("Content-Type", "text/plain")], ping, 415, -32600),
        ("POST", &[JSON, ("Content-Encoding", "gzip")], ping, 415, -32600),
        ("GET", &[("Accept", "text/event-stream")], "", 405, -32600),
        ("DELETE", &[], "", 405, -32600),
        ("POST", &[JSON, ("MCP-Protocol-Version", "2025-06-18")], ping, 200, 0),
        ("POST", &[JSON, ("MCP-Protocol-Version", "1999-01-01")], ping, 400, -32600),
        ("POST", &[JSON, ("Origin", "http://a.test")], ping, 200, 0),
        ("POST", &[JSON, ("Origin", "https://chat.test")], ping, 200, 0),
        ("POST", &[JSON, ("Origin", "http://evil.test")], ping, 403, -32600),
        ("POST", &[JSON, ("Origin", "http://a.test:81")], ping, 403, -32600),
        ("POST", &[JSON, ("Origin", "null")], ping, 403, -32600),
        ("POST", &[JSON], "{", 400, -32700),
        ("POST", &[JSON], "[]", 400, -32600),
        ("POST", &[JSON], "3", 400, -32600),
        ("POST", &[JSON], r#"{"id":1,"method":"ping"}"#, 400, -32600),
        ("POST", &[JSON], r#"{"jsonrpc":"2.0","id":1}"#, 400, -32600),
        ("POST", &[JSON], r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, 400, -32600),
        ("POST", &[JSON], r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, 400, -32600),
        ("POST", &[JSON], r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, 200, -32602),
        ("POST", &[JSON], r#"{"jsonrpc":"2.0","id":1,"method":"resources/list"}"#, 200, -32601),
        ("POST", &[JSON], r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, 200, -32602),
        ("POST", &[JSON], r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#, 200, -32602),
        (
            "POST",
            &[JSON],
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"2"}}"#,
            200,
            -32602,
        ),
        (
            "POST",
            &[JSON],
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"find","arguments":[]}}"#,
            200,
            -32602,
        ),
    ];
    let mut bench = bench(body(json!({ "allowed_origins": ["https://chat.test"] })));
    for (method, fields, body, status, code) in cases {
        let outcome = bench.send(method, "/mcp", fields, (*body).to_owned());
        assert_eq!(outcome.status(), *status, "{method} {fields:?} {body}: {}", outcome.text());
        let answer: Value = serde_json::from_str(outcome.text()).unwrap();
        assert_eq!(answer["error"]["code"].as_i64().unwrap_or_default(), *code, "{fields:?} {body}");
        if *status == 405 {
            assert_eq!(outcome.field("allow"), Some("POST"));
        }
    }
    for notice in [
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 4, "result": {} }),
    ] {
        assert_eq!(post(&mut bench, &notice).expect_status(202).text(), "");
    }
}

#[test]
fn a_version_is_agreed_upon() {
    let mut bench = bench(body(json!({})));
    for (wanted, spoken) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2999-01-01", "2025-11-25"),
    ] {
        let params = json!({ "protocolVersion": wanted, "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
        let result = asked(&mut bench, "initialize", params)["result"].clone();
        assert_eq!(result["protocolVersion"], spoken);
        assert_eq!(result["serverInfo"], json!({ "name": "Shop", "version": "7" }));
        assert_eq!(
            (&result["capabilities"], &result["instructions"]),
            (&json!({ "tools": {} }), &json!("sells things"))
        );
    }
}

#[test]
fn operations_are_shown_as_tools() {
    let list = asked(&mut bench(body(json!({}))), "tools/list", json!({}))["result"]["tools"].clone();
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["get_item", "dropItem", "find", "order", "put_forms"]);
    assert_eq!(list[0]["description"], "One item");
    assert_eq!(list[0]["annotations"]["readOnlyHint"], true);
    assert_eq!(list[1]["annotations"]["destructiveHint"], true);
    assert_eq!(list[1]["annotations"]["idempotentHint"], true);
    assert_eq!(list[3]["annotations"]["readOnlyHint"], false);
    assert_eq!(
        list[0]["inputSchema"],
        json!({ "type": "object", "additionalProperties": false, "required": ["pathParameters"], "properties": {
            "pathParameters": { "type": "object", "additionalProperties": false, "required": ["id"],
                "properties": { "id": { "type": "string" } } } } })
    );
    let headers = &list[2]["inputSchema"]["properties"]["headerParameters"]["properties"];
    let headers: Vec<&String> = headers.as_object().unwrap().keys().collect();
    assert_eq!(headers, ["X-Trace", "X-Key"], "no argument sets what is the gateway's or the client's");
    let order = &list[3]["inputSchema"]["properties"]["requestBody"];
    assert_eq!(order["required"], json!(["item"]), "what only answers have isn't asked for");
    assert_eq!(order["properties"]["item"], json!({ "anyOf": [{ "type": "null" }, { "type": "string" }] }));
    assert_eq!(
        order["properties"]["with"]["items"],
        json!({ "type": "object" }),
        "what leads back stays open"
    );
    assert!(!list.to_string().contains("$ref"));

    let flat = bench(body(json!({ "flatten_parameters": true, "operations": ["find", "dropItem"] })));
    let list = asked(&mut { flat }, "tools/list", json!({}))["result"]["tools"].clone();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["inputSchema"]["required"], json!(["id"]));
    assert_eq!(list[1]["inputSchema"]["properties"]["limit"]["maximum"], 50);
}

#[test]
fn arguments_are_written_as_the_document_says() {
    let find = |query: &str| format!("GET http://10.0.0.9/v1/find?limit=10{query} ");
    let query = |name: &str, value: Value| json!({ "queryParameters": { name: value } });
    let both = json!(["a b", "c,d"]);
    for (tool, arguments, wanted) in [
        ("find", json!({}), find("")),
        ("find", query("limit", json!(3)), "GET http://10.0.0.9/v1/find?limit=3 ".to_owned()),
        ("find", query("form", both.clone()), find("&form=a%20b&form=c%2Cd")),
        ("find", query("comma", both.clone()), find("&comma=a%20b,c%2Cd")),
        ("find", query("space", both.clone()), find("&space=a%20b%20c%2Cd")),
        ("find", query("pipe", both), find("&pipe=a%20b%7Cc%2Cd")),
        ("find", query("deep", json!({ "k": "v&w" })), find("&deep%5Bk%5D=v%26w")),
        ("find", query("spread", json!({ "k": "v", "l": "w" })), find("&k=v&l=w")),
        ("find", query("json", json!({ "k": "v" })), find("&json=%7B%22k%22%3A%22v%22%7D")),
        (
            "get_item",
            json!({ "pathParameters": { "id": "a b?c#d&e" } }),
            "GET http://10.0.0.9/v1/items/a%20b%3Fc%23d%26e ".to_owned(),
        ),
        (
            "dropItem",
            json!({ "pathParameters": { "id": "..a" } }),
            "DELETE http://10.0.0.9/v1/items/..a ".to_owned(),
        ),
        (
            "order",
            json!({ "requestBody": { "item": "x" } }),
            r#"POST http://10.0.0.9/v1/orders {"item":"x","state":"new"}"#.to_owned(),
        ),
        (
            "put_forms",
            json!({ "requestBody": { "a": ["1", "2"], "b": "x y&" } }),
            "PUT http://10.0.0.9/v1/forms a=1&a=2&b=x%20y%26".to_owned(),
        ),
    ] {
        let result = called(&mut bench(body(json!({}))), tool, arguments.clone());
        assert_eq!(result["isError"], false, "{arguments}: {result}");
        let seen = &result["structuredContent"];
        // Query parameters come in the document's order, the default of one among them.
        let text = |name: &str| seen[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            format!("{} {} {}", text("method"), text("url"), text("body")),
            wanted,
            "{tool} {arguments}"
        );
        assert_eq!(serde_json::from_str::<Value>(sentence(&result)).unwrap(), *seen);
    }
}

#[test]
fn bad_arguments_are_named_and_nothing_is_sent() {
    let mut bench = bench(body(json!({})));
    let id = |id: &str| json!({ "pathParameters": { "id": id } });
    for (tool, arguments, wanted) in [
        ("nothing", json!({}), "\"nothing\""),
        ("get_item", json!({}), "pathParameters"),
        ("get_item", json!({ "pathParameters": {} }), "\"id\""),
        ("get_item", json!({ "id": "1" }), "pathParameters"),
        ("get_item", id(""), "\"id\""),
        ("get_item", id("."), "\"id\""),
        ("get_item", id(".."), "\"id\""),
        ("get_item", id("..;x"), "\"id\""),
        ("get_item", id("%2e%2E"), "\"id\""),
        ("get_item", id("%252e%252e"), "\"id\""),
        ("get_item", id("a/b"), "\"id\""),
        ("get_item", id("a\\b"), "\"id\""),
        ("get_item", id("a%2Fb"), "\"id\""),
        ("get_item", id("a%252fb"), "\"id\""),
        ("get_item", id("a\r\nX: y"), "\"id\""),
        ("get_item", id("a%00"), "\"id\""),
        ("find", json!({ "queryParameters": { "limit": "many" } }), "\"limit\""),
        ("find", json!({ "queryParameters": { "limit": 51 } }), "\"limit\""),
        ("find", json!({ "queryParameters": { "other": 1 } }), "other"),
        ("find", json!({ "headerParameters": { "Authorization": "x" } }), "Authorization"),
        ("find", json!({ "headerParameters": { "Host": "evil.test" } }), "Host"),
        ("find", json!({ "headerParameters": { "X-Trace": "a\r\nX-Key: b" } }), "\"X-Trace\""),
        ("find", json!({ "queryParameters": { "form": ["x".repeat(9000)] } }), "8192"),
        ("order", json!({}), "requestBody"),
        ("order", json!({ "requestBody": { "item": 4 } }), "\"item\""),
    ] {
        let result = called(&mut bench, tool, arguments.clone());
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        assert!(sentence(&result).contains(wanted), "{tool} {arguments}: {result}");
    }
    assert!(bench.worker().calls().is_empty());
}

#[test]
fn configured_headers_stand_above_arguments() {
    let more = json!({ "headers": { "X-Key": "k-${http_x_own}", "Authorization": "Bearer b" } });
    let mut bench = bench(body(more));
    let list = asked(&mut bench, "tools/list", json!({}))["result"]["tools"].clone();
    assert!(list[2]["inputSchema"]["properties"]["headerParameters"]["properties"].get("X-Key").is_none());
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "find", "arguments": { "headerParameters": { "X-Trace": "t" } } } });
    let fields = [JSON, ("X-Own", "mine"), ("apikey", "secret")];
    bench.send("POST", "/mcp", &fields, call.to_string()).expect_status(200);
    let [sent] = bench.worker().calls().try_into().unwrap();
    for (name, wanted) in [
        ("x-key", Some("k-mine")),
        ("authorization", Some("Bearer b")),
        ("x-trace", Some("t")),
        ("apikey", None),
        ("x-own", None),
    ] {
        assert_eq!(sent.fields.get_str(name), wanted, "{name}");
    }
}

#[test]
fn without_a_base_url_calls_go_through_the_gateway_in_the_clients_name() {
    let mut bench = bench(json!({ "openapi": document().to_string(), "prefix": "/shop" }));
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "find", "arguments": { "headerParameters": { "X-Key": "forged", "X-Trace": "t" } } } });
    let fields = [
        JSON,
        ("Host", "api.test"),
        ("X-Key", "own"),
        ("Accept", "application/json"),
        ("MCP-Protocol-Version", "2025-06-18"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("If-None-Match", "\"x\""),
    ];
    bench.send("POST", "/mcp", &fields, call.to_string()).expect_status(200);
    let [sent] = bench.worker().calls().try_into().unwrap();
    assert_eq!(sent.url, "inside:/shop/find?limit=10");
    assert_eq!(sent.fields.get_all("x-key").collect::<Vec<_>>(), [b"own"]);
    for (name, wanted) in [
        ("host", Some("api.test")),
        ("x-trace", Some("t")),
        ("content-type", None),
        ("mcp-protocol-version", None),
        ("x-forwarded-for", None),
        ("if-none-match", None),
    ] {
        assert_eq!(sent.fields.get_str(name), wanted, "{name}");
    }
}

#[test]
fn answers_are_told_with_what_they_are() {
    let answer = |status: u16, field: (&'static str, &'static str), body: Vec<u8>| {
        move |_: &usher_pipeline::worker::Call| {
            let mut head = Head::response(status);
            head.append(field.0, field.1).unwrap();
            Ok(Answer { head, body: body.clone().into() })
        }
    };
    let json = ("Content-Type", "application/json");
    let long = vec![b'a'; (1 << 20) + 9];
    for (status, field, body_of_answer, is_error, wanted) in [
        (200, json, b"[1]".to_vec(), false, "[1]"),
        (204, json, vec![], false, "204"),
        (404, json, b"{\"why\":\"gone\"}".to_vec(), true, "404: {\"why\""),
        (302, ("Location", "http://10.0.0.1/"), vec![], true, "http://10.0.0.1/"),
        (200, ("Content-Type", "image/png"), vec![0xff, 0], false, "2 bytes of image/png"),
        (200, ("Content-Type", "text/plain"), long, false, "cut here: the answer has 1048585 bytes"),
    ] {
        let mut bench = bench(body(json!({}))).fetches(answer(status, field, body_of_answer));
        let result = called(&mut bench, "find", json!({}));
        assert_eq!(result["isError"], is_error, "{status}");
        assert!(sentence(&result).contains(wanted), "{status} {wanted}");
        assert_eq!(result.get("structuredContent").is_some(), status == 404, "{status}");
        assert_eq!(bench.worker().calls().len(), 1, "{status}");
    }
    let mut bench = bench(body(json!({}))).fetches(|_| Err(FetchError::TimedOut("x".to_owned())));
    let result = called(&mut bench, "find", json!({}));
    assert!(result["isError"] == true && sentence(&result).contains("in time"), "{result}");
}

#[test]
fn a_fetched_document_is_kept_for_an_hour() {
    let config = json!({ "openapi_url": "http://10.0.0.9/spec", "base_url": "http://${http_x_backend}/v2" });
    let mut bench = harness(&PLUGIN, config.clone()).fetches(|call| {
        let yaml =
            "openapi: 3.1.0\ninfo: {title: Y, version: '1'}\npaths:\n  /a:\n    get: {operationId: a}\n";
        let body = if call.url.ends_with("/spec") { yaml } else { "called" };
        Ok(Answer { head: Head::response(200), body: body.into() })
    });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "a" } });
    let urls = |bench: &Harness| bench.worker().calls().into_iter().map(|call| call.url).collect::<Vec<_>>();
    bench.send("POST", "/mcp", &[JSON, ("X-Backend", "b.test")], call.to_string()).expect_status(200);
    assert_eq!(urls(&bench), ["http://10.0.0.9/spec", "http://b.test/v2/a"]);
    for backend in ["", "b.test/../x", "b.test?y", "u@b.test", "b.test#"] {
        let outcome = bench.send("POST", "/mcp", &[JSON, ("X-Backend", backend)], call.to_string());
        assert!(outcome.text().contains("base_url can't be used"), "{backend}: {}", outcome.text());
    }
    assert_eq!(urls(&bench).len(), 2);
    bench.pass(std::time::Duration::from_secs(3601));
    bench.send("POST", "/mcp", &[JSON, ("X-Backend", "b.test")], call.to_string()).expect_status(200);
    assert_eq!(urls(&bench).len(), 4);

    for (late, status) in [(false, 502), (true, 504)] {
        let mut bench = harness(&PLUGIN, config.clone()).fetches(move |_| {
            if late {
                return Err(FetchError::TimedOut("x".to_owned()));
            }
            Ok(Answer { head: Head::response(404), body: "".into() })
        });
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let answer: Value =
            serde_json::from_str(post(&mut bench, &list).expect_status(status).text()).unwrap();
        assert_eq!(answer["error"]["code"], -32603);
        post(&mut bench, &list).expect_status(status);
        assert_eq!(bench.worker().calls().len(), 1, "it isn't asked for again at once");
    }
}

#[test]
fn a_schema_that_doubles_with_each_reference_stays_small_and_its_tool_can_be_called() {
    let mut schemas = Map::new();
    for number in 0..40 {
        let next = json!({ "$ref": format!("#/components/schemas/s{}", (number + 1).min(39)) });
        let words = "w".repeat(5_000);
        let schema =
            json!({ "type": "object", "description": words, "properties": { "a": next, "b": next } });
        schemas.insert(format!("s{number}"), schema);
    }
    let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/s0" } } });
    let paths = json!({ "/a": { "post": { "operationId": "a", "requestBody": { "content": content } } } });
    let document = json!({ "openapi": "3.1.0", "paths": paths, "components": { "schemas": schemas } });
    let mut bench = bench(json!({ "openapi": document.to_string() }));
    let list = asked(&mut bench, "tools/list", json!({})).to_string();
    assert!(list.len() < 5_000_000, "{}", list.len());
    let result = called(&mut bench, "a", json!({ "requestBody": { "a": { "b": {} } } }));
    assert_eq!(result["isError"], false, "{result}");
    let result = called(&mut bench, "a", json!({ "requestBody": { "a": { "b": 3 } } }));
    assert!(result["isError"] == true && sentence(&result).contains("\"b\""), "{result}");
}

#[test]
fn documents_and_settings_that_can_not_work_are_refused() {
    let with = |paths: Value| json!({ "openapi": json!({ "openapi": "3.1.0", "paths": paths }).to_string() });
    let mut many = Map::new();
    for number in 0..501 {
        many.insert(format!("/{number}"), json!({ "get": {} }));
    }
    let upload = json!({ "required": true, "content": { "multipart/form-data": {} } });
    for (config, wanted) in [
        (json!({ "openapi": "swagger: '2.0'" }), "OpenAPI 3.0 and 3.1"),
        (with(json!({})), "no operation"),
        (with(Value::Object(many)), "more than 500"),
        (with(json!({ "/a/../b": { "get": {} } })), "/a/../b"),
        (with(json!({ "/a/{b": { "get": {} } })), "GET /a/{b"),
        (with(json!({ "/a": { "post": { "requestBody": upload } } })), "multipart/form-data"),
        (with(json!({ "/a": { "get": { "parameters": [{ "$ref": "http://x/y" }] } } })), "http://x/y"),
        (body(json!({ "operations": ["none"] })), "\"none\""),
        (body(json!({ "prefix": "/x" })), "\"prefix\""),
        (body(json!({ "base_url": "ftp://a.test" })), "ftp://a.test"),
        (body(json!({ "base_url": "http://a.test/?x" })), "query"),
        (body(json!({ "headers": { "Host": "x" } })), "\"Host\""),
        (body(json!({ "headers": { "X": "a\nb" } })), "\"X\""),
    ] {
        let error = try_harness(&PLUGIN, config.clone()).err().unwrap_or_else(|| panic!("took {config}"));
        assert!(error.message.contains(wanted), "{wanted}: {}", error.message);
    }
}
