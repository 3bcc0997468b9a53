//! An API behind the gateway as tools of MCP: what guards the route guards each message, and what guards the API guards each call.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use serde_json::{Value, json};
use usher_chat::client::{ClientError, Connection, Person};

use crate::support::{Answer, Origin, Usher, read_request, request};

fn document() -> Value {
    json!({
        "openapi": "3.0.3",
        "info": { "title": "Shop", "version": "1" },
        "paths": {
            "/items": { "post": { "operationId": "addItem", "requestBody": { "required": true, "content": { "application/json": {
                "schema": { "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } } } } } } },
            "/items/{id}": { "get": { "operationId": "getItem", "summary": "One item", "parameters": [
                { "name": "id", "in": "path", "required": true, "schema": { "type": "string" } },
                { "name": "full", "in": "query", "schema": { "type": "boolean" } },
            ] } },
        },
    })
}

/// A server that answers every request with this document.
fn library(document: &Value) -> SocketAddr {
    let text = document.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let whole = whole.clone();
            // Workers keep their connections, so that one after the other would be one worker's alone.
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut writer = stream;
                while read_request(&mut reader).is_some() && writer.write_all(whole.as_bytes()).is_ok() {}
            });
        }
    });
    address
}

fn post(usher: &Usher, fields: &[(&str, &str)], method: &str, params: &Value) -> Answer {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let mut all =
        vec![("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")];
    all.extend_from_slice(fields);
    request(usher.address("proxy"), "POST", "/mcp", &all, message.as_bytes())
}

fn called(usher: &Usher, fields: &[(&str, &str)], name: &str, arguments: &Value) -> Value {
    let answer = post(usher, fields, "tools/call", &json!({ "name": name, "arguments": arguments }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["result"].clone()
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

#[test]
fn an_api_elsewhere_is_called_by_who_shows_a_key_and_with_what_the_document_says() {
    let origin = Origin::start("shop");
    let library = library(&document());
    let usher = Usher::start(&[]);
    let route = |base: String| {
        json!({ "uri": "/mcp", "plugins": { "key-auth": {}, "openapi-to-mcp": {
            "openapi_url": format!("http://{library}/openapi.json"), "base_url": base,
            "headers": { "Authorization": "Bearer ${http_x_api_token}" },
        } } })
    };
    usher.put("/routes/mcp", &route(format!("http://{}/v1", origin.address)));
    usher.put("/consumers/jack", &json!({ "username": "jack", "plugins": { "key-auth": { "key": "k" } } }));
    assert_eq!(post(&usher, &[], "tools/list", &json!({})).status, 401);
    assert_eq!(origin.seen(), 0);

    let key = ("apikey", "k");
    let listed = post(&usher, &[key], "tools/list", &json!({})).json();
    let names: Vec<&Value> =
        listed["result"]["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["addItem", "getItem"]);
    let arguments = json!({ "pathParameters": { "id": "a b" }, "queryParameters": { "full": true } });
    let result = called(&usher, &[key, ("X-Api-Token", "t")], "getItem", &arguments);
    let head = result["structuredContent"]["head"].as_str().unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /v1/items/a%20b?full=true "), "{head}");
    assert!(head.contains("authorization: bearer t\r\n") && !head.contains("apikey"), "{head}");
    let result = called(&usher, &[key], "addItem", &json!({ "requestBody": { "name": "lamp" } }));
    assert_eq!(result["structuredContent"]["body"], r#"{"name":"lamp"}"#);
    assert_eq!(origin.seen(), 2);
    for arguments in
        [json!({ "pathParameters": { "id": "../admin" } }), json!({ "pathParameters": { "id": 7 } })]
    {
        let result = called(&usher, &[key], "getItem", &arguments);
        assert!(result["isError"] == true && text(&result).contains("\"id\""), "{result}");
    }
    assert_eq!(origin.seen(), 2, "nothing is sent for arguments that don't fit");

    let refused = usher.admin("PUT", "/routes/mcp", Some(&route("http://169.254.169.254/latest".to_owned())));
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("base_url"), "{}", refused.text());
    usher.put("/routes/mcp", &route("http://${http_x_backend}".to_owned()));
    let fields = [key, ("X-Backend", "169.254.169.254")];
    let result = called(&usher, &fields, "getItem", &json!({ "pathParameters": { "id": "1" } }));
    assert!(result["isError"] == true && text(&result).contains("does not call"), "{result}");
}

#[test]
fn an_api_behind_the_gateway_is_called_in_the_clients_own_name() {
    let origin = Origin::start("shop");
    let usher = Usher::start(&[]);
    let limit = json!({ "count": 2, "time_window": 600, "rejected_code": 429, "key": "consumer_name" });
    let api = json!({ "uri": "/shop/*", "plugins": { "key-auth": {}, "limit-count": limit }, "upstream": origin.upstream() });
    usher.put("/routes/shop", &api);
    for (name, key) in [("jack", "k"), ("jill", "l")] {
        usher.put(
            &format!("/consumers/{name}"),
            &json!({ "username": name, "plugins": { "key-auth": { "key": key } } }),
        );
    }
    let door = json!({ "openapi": document().to_string(), "prefix": "/shop" });
    usher.put("/routes/mcp", &json!({ "uri": "/mcp", "plugins": { "openapi-to-mcp": door } }));
    let arguments = json!({ "pathParameters": { "id": "7" } });
    let mut statuses = Vec::new();
    for fields in [&[("apikey", "k")][..], &[("apikey", "k")], &[("apikey", "k")], &[("apikey", "l")], &[]] {
        let result = called(&usher, fields, "getItem", &arguments);
        if result["isError"] == true {
            statuses.push(text(&result).chars().filter(char::is_ascii_digit).take(3).collect());
        } else {
            let head = result["structuredContent"]["head"].as_str().unwrap();
            assert!(head.starts_with("GET /shop/items/7 "), "{head}");
            statuses.push(
                head.lines().find_map(|line| line.strip_prefix("X-Consumer-Username: ")).unwrap().to_owned(),
            );
        }
    }
    assert_eq!(statuses, ["jack", "jack", "429", "jill", "401"]);
    assert_eq!(origin.seen(), 3);
    // A tool that is the door itself would ask without end.
    let mut turned = document();
    turned["paths"] = json!({ "/mcp": { "post": { "operationId": "again", "requestBody": { "content": { "application/json": {} } } } } });
    let door = json!({ "openapi": turned.to_string() });
    usher.put("/routes/mcp", &json!({ "uri": "/mcp", "plugins": { "openapi-to-mcp": door } }));
    let result = called(
        &usher,
        &[],
        "again",
        &json!({ "requestBody": { "jsonrpc": "2.0", "id": 1, "method": "ping" } }),
    );
    assert!(text(&result).starts_with("the API answered 400"), "{result}");
}

struct Nobody;

impl Person for Nobody {
    fn confirm(&self, _: &str) -> bool {
        false
    }
}

#[test]
fn a_client_of_the_protocols_own_library_connects_and_calls() {
    let origin = Origin::start("shop");
    let usher = Usher::start(&[]);
    let limit = json!({ "count": 1, "time_window": 600, "rejected_code": 429 });
    usher.put(
        "/routes/shop",
        &json!({ "uri": "/shop/*", "plugins": { "limit-count": limit }, "upstream": origin.upstream() }),
    );
    let door = json!({ "openapi": document().to_string(), "prefix": "/shop" });
    usher.put("/routes/mcp", &json!({ "uri": "/mcp", "plugins": { "openapi-to-mcp": door } }));
    let url = format!("http://{}", usher.address("proxy"));
    // Another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Connection::open(&url, Arc::new(Nobody)).await.unwrap();
        let tools = client.tools().await.unwrap();
        assert_eq!(tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["addItem", "getItem"]);
        assert_eq!(tools[1].description, "One item");
        let arguments = json!({ "pathParameters": { "id": "7" } });
        let reply = client.call("getItem", arguments.clone()).await.unwrap();
        assert_eq!(reply.structured["origin"], "shop");
        match client.call("getItem", arguments).await {
            Err(ClientError::Tool { text, .. }) => assert!(text.contains("429"), "{text}"),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(origin.seen(), 1);
}
