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
