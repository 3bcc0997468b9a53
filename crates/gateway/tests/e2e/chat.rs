//! The chat side of the binary: the plugin's files, the Admin paths, the built-in chat and MCP as processes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{KEY, Origin, Usher, binary, request, run};

#[test]
fn the_plugin_of_the_article_is_served_and_works() {
    let origin = Origin::start("a");
    let usher = Usher::start(&["--store", "memory"]);
    let chat = usher.address("chat");
    let manifest =
        request(chat, "GET", "/.well-known/ai-plugin.json", &[("Origin", "https://chatgpt.com")], b"");
    assert_eq!(manifest.json()["schema_version"], "v1");
    assert_eq!(manifest.field("access-control-allow-origin"), Some("https://chatgpt.com"));
    assert_eq!(&request(chat, "GET", "/logo.png", &[], b"").body[..4], b"\x89PNG");
    let route = json!({ "uri": "/p/*", "upstream": origin.upstream() }).to_string();
    let fields = [("Content-Type", "application/json")];
    assert_eq!(request(chat, "PUT", "/apisix/admin/routes/p", &fields, route.as_bytes()).status, 201);
    assert_eq!(usher.get("/p/1", &[]).status, 200);
    assert_eq!(
        request(chat, "GET", "/apisix/admin/routes", &[("Origin", "https://evil.test")], b"").status,
        403
    );
    assert_eq!(request(chat, "GET", "/apisix/admin/routes", &[("Host", "evil.test")], b"").status, 421);
    assert_eq!(request(chat, "DELETE", "/apisix/admin/routes/p", &[], b"").status, 200);
}

#[test]
fn a_sentence_plans_asks_applies_and_can_be_undone() {
    let origin = Origin::start("a");
    let usher = Usher::start(&["--store", "memory"]);
    let url = format!("http://{}", usher.address("chat"));
    let say = |words: &[&str]| {
        let mut all = vec!["chat", "--url", &url];
        all.extend(words);
        let output = run(&all);
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let create = format!("put http://{} behind /c/*, ten requests a minute per client", origin.address);
    let (done, text) = say(&[&create]);
    assert!(!done && text.contains("--yes"), "nobody agreed, so nothing may be done: {text}");
    assert_eq!(usher.get("/c/1", &[]).status, 404);
    let (done, text) = say(&["--yes", &create]);
    assert!(done && text.contains("applied"), "{text}");
    assert_eq!(usher.get("/c/1", &[]).status, 200);
    let (done, text) = say(&["--yes", "undo that"]);
    assert!(done, "{text}");
    assert_eq!(usher.get("/c/1", &[]).status, 404);
    let (_, text) = say(&["make it faster"]);
    assert!(text.to_lowercase().contains("understand"), "{text}");
}

#[test]
fn a_conversation_is_written_down_and_its_calls_are_told_to_an_admin() {
    let usher = Usher::start(&["--store", "memory"]);
    let url = format!("http://{}", usher.address("chat"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.md");
    for _ in 0..2 {
        run(&["chat", "--url", &url, "--transcript", file.to_str().unwrap(), "show all routes"]);
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("**you**\n\n    show all routes\n").count(), 2, "{text}");
    assert!(text.contains("**usher**\n\n    There are no routes"), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let admin = format!("http://{}", usher.address("admin"));
    let agents = |words: &[&str]| {
        let output = binary()
            .args(["agents", "calls", "--url", &admin])
            .args(words)
            .env("USHER_ADMIN_KEY", KEY)
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let told = agents(&[]);
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("NUMBER") && lines.len() >= 3, "{told}");
    assert!(
        lines[1].contains("usher-chat") && lines[1].contains("gateway_find") && lines[1].contains("done"),
        "{told}"
    );
    assert!(agents(&["--verify"]).contains("records are as they were written"));
    let calls: Value = serde_json::from_str(&agents(&["-o", "json", "-n", "1"])).unwrap();
    assert_eq!((&calls[0]["number"], &calls[0]["door"]), (&json!(1), &json!("chat")));
}

#[test]
fn a_key_that_is_told_in_a_chat_is_in_no_log() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let log = folder.path().join("log");
    let usher = Usher::start_logging(folder, &["--store", "memory"], &log);
    let url = format!("http://{}", usher.address("chat"));
    let output = binary()
        .args(["chat", "--url", &url, "--yes", "create a consumer carol with key canary-51c7a9d2"])
        .env("USHER_LOG", "trace")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, heard) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{heard}");
    assert_eq!(usher.admin("GET", "/consumers/carol", None).status, 200);
    let log = std::fs::read_to_string(&log).unwrap();
    for (place, text) in
        [("the server's log", log.as_str()), ("the answer", &said), ("the chat's log", &heard)]
    {
        assert!(!text.contains("canary-51c7a9d2"), "{place} tells the key: {text}");
    }
    assert!(!log.is_empty(), "nothing was logged at all");
}

#[test]
fn without_a_server_the_error_names_url_and_next_step() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let output = run(&["chat", "--url", &url, "show all routes"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains(&url) && text.contains("usher serve"), "{text}");
}

#[test]
fn mcp_on_standard_input_and_output_speaks_for_the_running_server() {
    let usher = Usher::start(&["--store", "memory"]);
    let url = format!("http://{}", usher.address("chat"));
    let mut child =
        binary().args(["mcp", "--url", &url]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut send = |message: Value| writeln!(input, "{message}").unwrap();
    let mut read = |id: u64| loop {
        let message: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if message["id"] == id {
            return message;
        }
    };
    send(
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } }),
    );
    assert_eq!(read(1)["result"]["protocolVersion"], "2025-06-18");
    send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    send(json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }));
    let listed = read(2);
    let names: Vec<&str> = listed["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"gateway_plan") && names.contains(&"gateway_apply"), "{names:?}");
    send(
        json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": { "name": "gateway_overview", "arguments": {} } }),
    );
    assert_ne!(read(3)["result"]["isError"], true);
    // Whoever looks after agents sees who is there, by the name that the client itself gave.
    let path = "/usher/v1/agents/clients";
    let key = [("X-API-KEY", KEY)];
    let told = request(usher.address("admin"), "GET", path, &key, b"").json();
    let client = &told["clients"][0];
    assert_eq!(
        (client["name"].as_str(), client["principal"].as_str()),
        (Some("test"), Some("local-agent")),
        "{told}"
    );
    assert!(client["calls"].as_u64() >= Some(2) && client["door"] == "mcp", "{told}");
    drop(input);
    child.wait().unwrap();
}
