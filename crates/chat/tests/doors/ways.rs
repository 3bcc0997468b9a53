//! The plain wire of MCP: what a client of either era may do wrong, and what it is told.

use serde_json::{Value, json};

use crate::support::Side;

async fn post(side: &Side, headers: &[(&str, &str)], message: &Value) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client
        .post(format!("{}/mcp", side.url()))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(message.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn greeting(version: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "raw", "version": "1" } } })
}

#[tokio::test]
async fn older_revisions_are_greeted_in_their_own() {
    let side = Side::start().await;
    for version in ["2025-06-18", "2025-11-25"] {
        let (status, body) = post(&side, &[], &greeting(version)).await;
        assert!(status == 200 && body.contains(&format!("\"protocolVersion\":\"{version}\"")), "{body}");
    }
}

#[tokio::test]
async fn the_newest_revision_is_discovered_without_a_session() {
    let side = Side::start().await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "raw", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let message =
        |method: &str| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "_meta": meta } });
    let headers = |method: &'static str| [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
    let (status, body) = post(&side, &headers("server/discover"), &message("server/discover")).await;
    assert!(status == 200 && body.contains("2026-07-28") && body.contains("2025-06-18"), "{body}");
    let (status, body) = post(&side, &headers("tools/list"), &message("tools/list")).await;
    assert!(status == 200 && body.contains("\"ttlMs\"") && body.contains("gateway_apply"), "{body}");
    // The header says one method, the body another.
    let (status, body) = post(&side, &headers("tools/call"), &message("tools/list")).await;
    assert!(status == 400 && body.contains("-32020"), "{status} {body}");
}

#[tokio::test]
async fn nonsense_is_answered_and_a_lost_session_is_told() {
    let side = Side::start().await;
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    assert_eq!(post(&side, &[("mcp-session-id", "nobody")], &list).await.0, 404);
    assert!((400..500).contains(&post(&side, &[], &json!({ "not": "a message" })).await.0));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client
        .post(format!("{}/mcp", side.url()))
        .header("content-type", "application/json")
        .body("{")
        .send()
        .await
        .unwrap();
    assert!(response.status().is_client_error());
    assert_eq!(side.revision(), 0);
}

async fn post_raw(side: &Side, body: &'static str) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(format!("{}/mcp", side.url()))
        .header("content-type", "application/json; charset=utf-8")
        .header("accept", "application/json, text/event-stream");
    let response = request.body(body).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn what_is_no_message_is_answered_in_the_words_of_json_rpc() {
    let side = Side::start().await;
    for (body, id, code) in [
        ("{", Value::Null, -32_700),
        ("", Value::Null, -32_700),
        ("[]", Value::Null, -32_600),
        ("7", Value::Null, -32_600),
        (r#"{"not":"a message"}"#, Value::Null, -32_600),
        (r#"{"id":7,"method":"tools/list"}"#, json!(7), -32_600),
    ] {
        let (status, answer) = post_raw(&side, body).await;
        assert_eq!(
            (status, &answer["error"]["code"], &answer["id"]),
            (400, &json!(code), &id),
            "{body}: {answer}"
        );
        assert_eq!(answer["jsonrpc"], "2.0");
    }
}

#[tokio::test]
async fn parameters_of_a_wrong_shape_are_told_apart_from_unknown_methods() {
    let side = Side::start().await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "raw", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    for (method, params, code) in [
        ("tools/call", json!({ "name": "gateway_overview", "arguments": [1] }), "-32602"),
        ("tools/call", json!({ "name": "gateway_overview", "arguments": "{}" }), "-32602"),
        ("no/such", json!({}), "-32601"),
    ] {
        let mut params = params;
        params["_meta"] = meta.clone();
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let headers = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
            ("mcp-name", "gateway_overview"),
        ];
        let (_, body) = post(&side, &headers, &message).await;
        assert!(body.contains(code), "{message}: {body}");
    }
}

#[tokio::test]
async fn the_end_of_a_session_is_a_204() {
    let side = Side::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let greeted = client
        .post(format!("{}/mcp", side.url()))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(greeting("2025-06-18").to_string())
        .send()
        .await
        .unwrap();
    let session = greeted.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let end = client.delete(format!("{}/mcp", side.url())).header("mcp-session-id", &session).send();
    assert_eq!(end.await.unwrap().status(), 204);
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    assert_eq!(post(&side, &[("mcp-session-id", &session)], &list).await.0, 404, "it has ended");
}
