//! MCP on standard input and output, over the same server.

use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use tokio::task::JoinHandle;
use usher_chat::stdio::{BridgeError, between};
use usher_model::kind::Kind;

use crate::support::{Side, install_crypto};

/// The client's end of a bridge.
struct End {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    task: JoinHandle<Result<(), BridgeError>>,
}

impl End {
    fn open(url: &str) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (read, write) = tokio::io::split(theirs);
        let url = url.to_owned();
        let task = tokio::spawn(async move { between(&url, read, write).await });
        let (output, input) = tokio::io::split(ours);
        Self { input, output: BufReader::new(output).lines(), task }
    }

    async fn send(&mut self, message: Value) {
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    async fn read(&mut self) -> Value {
        let line = self.output.next_line().await.unwrap().unwrap();
        let message: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(message["jsonrpc"], "2.0", "nothing but the protocol: {line}");
        message
    }

    /// The next message that is the answer to this id.
    async fn answer(&mut self, id: u64) -> Value {
        let message = self.read().await;
        assert_eq!(message["id"], id, "{message}");
        message
    }

    async fn greet(&mut self, capabilities: Value) -> Value {
        self.send(json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": { "name": "test", "version": "1" } } }))
            .await;
        let greeted = self.answer(1).await;
        self.send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        greeted
    }

    async fn call(&mut self, id: u64, tool: &str, arguments: Value) {
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool, "arguments": arguments } })).await;
    }

    async fn end(mut self) {
        self.input.shutdown().await.unwrap();
        self.task.await.unwrap().unwrap();
    }
}

fn delete() -> Value {
    json!({ "intent": "", "changes": [{ "op": "delete", "kind": "route", "id": "a" }] })
}

async fn with_a_route() -> Side {
    let side = Side::start().await;
    side.put(
        Kind::Route,
        "a",
        json!({ "uri": "/a", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1 } } }),
    )
    .await;
    side
}

#[tokio::test]
async fn requests_questions_and_answers_cross_both_ways() {
    let side = with_a_route().await;
    let mut end = End::open(&side.url());
    let greeted = end.greet(json!({ "elicitation": {} })).await;
    assert_eq!(greeted["result"]["protocolVersion"], "2025-06-18");
    end.send(json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" })).await;
    assert_eq!(end.answer(2).await["result"]["tools"][0]["name"], "gateway_overview");
    end.call(3, "gateway_plan", delete()).await;
    let plan = end.answer(3).await["result"]["structuredContent"]["plan_id"].clone();
    end.call(4, "gateway_apply", json!({ "plan_id": plan })).await;
    let question = end.read().await;
    assert_eq!(question["method"], "elicitation/create", "{question}");
    end.send(json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "accept", "content": { "agree": true } } })).await;
    let applied = end.answer(4).await;
    assert_eq!(applied["result"]["structuredContent"]["applied"], json!(["- route a"]), "{applied}");
    end.end().await;
}

#[tokio::test]
async fn the_newest_revision_crosses_too() {
    let side = with_a_route().await;
    let mut end = End::open(&side.url());
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "form": {} } },
    });
    let request = |id: u64, method: &str, mut params: Value| {
        params["_meta"] = meta.clone();
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    };
    end.send(request(1, "server/discover", json!({}))).await;
    assert!(end.answer(1).await["result"]["supportedVersions"].to_string().contains("2026-07-28"));
    end.send(request(2, "tools/call", json!({ "name": "gateway_plan", "arguments": delete() }))).await;
    let plan = end.answer(2).await["result"]["structuredContent"]["plan_id"].clone();
    let apply = json!({ "name": "gateway_apply", "arguments": { "plan_id": plan } });
    end.send(request(3, "tools/call", apply.clone())).await;
    let asked = end.answer(3).await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let mut again = apply;
    again["requestState"] = asked["result"]["requestState"].clone();
    again["inputResponses"] = json!({ "agree": { "action": "accept", "content": { "agree": true } } });
    end.send(request(4, "tools/call", again)).await;
    assert_eq!(end.answer(4).await["result"]["isError"], false);
    end.end().await;
}

#[tokio::test]
async fn a_session_that_has_ended_is_opened_again_unseen() {
    let side = with_a_route().await;
    let mut end = End::open(&side.url());
    end.greet(json!({})).await;
    // More sessions than there is room for push the first one out.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..100 {
        let greeting = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "crowd", "version": "1" } } });
        let request = client.post(format!("{}/mcp", side.url())).header("content-type", "application/json");
        let response = request
            .header("accept", "application/json, text/event-stream")
            .body(greeting.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    }
    for id in 5..8 {
        end.call(id, "gateway_overview", json!({})).await;
        assert_eq!(end.answer(id).await["result"]["isError"], false);
    }
    end.end().await;
}

#[tokio::test]
async fn bad_lines_are_answered_and_the_rest_goes_on() {
    let side = with_a_route().await;
    let mut end = End::open(&side.url());
    end.greet(json!({})).await;
    for (line, code) in [("{", -32700), ("[]", -32600), ("{\"jsonrpc\":\"2.0\"}", -32600)] {
        end.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let answer = end.read().await;
        assert_eq!(
            (answer["id"].clone(), answer["error"]["code"].clone()),
            (Value::Null, json!(code)),
            "{line}"
        );
    }
    end.send(json!({ "jsonrpc": "2.0", "id": 9, "method": "no/such" })).await;
    assert_eq!(end.answer(9).await["error"]["code"], -32601);
    end.call(10, "gateway_overview", json!({})).await;
    end.answer(10).await;
    end.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_the_error_says_where_and_what_to_do() {
    install_crypto();
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let error = between(&url, tokio::io::empty(), tokio::io::sink()).await.unwrap_err().to_string();
    assert!(error.contains(&url) && error.contains("usher serve"), "{error}");

    // A server with all its connections, to be taken away at once.
    let elsewhere = tokio::runtime::Runtime::new().unwrap();
    let side = elsewhere.spawn(with_a_route()).await.unwrap();
    let url = side.url();
    let mut end = End::open(&url);
    end.greet(json!({})).await;
    elsewhere.shutdown_background();
    end.call(2, "gateway_overview", json!({})).await;
    let said = end.answer(2).await["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains(&url) && said.contains("usher serve"), "{said}");
    end.end().await;
}
