//! The chat over HTTP, with the rights of whoever speaks, and the switch that leaves agents nothing but looking.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{KEY, Origin, Usher, binary, read_request, request};

/// A sentence on its way: what comes is read as it comes.
struct Stream {
    socket: TcpStream,
    text: String,
}

impl Stream {
    /// A conversation from its beginning.
    fn come_back(usher: &Usher, key: &str, conversation: &str) -> Self {
        let mut socket = TcpStream::connect(usher.address("admin")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!(
            "GET /usher/v1/chat/conversations/{conversation} HTTP/1.1\r\nHost: {}\r\nX-API-KEY: {key}\r\nConnection: close\r\n\r\n",
            usher.address("admin")
        );
        socket.write_all(head.as_bytes()).unwrap();
        Self { socket, text: String::new() }
    }

    fn say(usher: &Usher, key: &str, body: &Value) -> Self {
        let mut socket = TcpStream::connect(usher.address("admin")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let body = body.to_string();
        let head = format!(
            "POST /usher/v1/chat HTTP/1.1\r\nHost: {}\r\nX-API-KEY: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            usher.address("admin"),
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        Self { socket, text: String::new() }
    }

    /// The next event of this name; `None` at the end of the stream.
    fn until(&mut self, name: &str) -> Option<Value> {
        loop {
            let found = self.text.split("\n\n").find_map(|event| {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "))?;
                let data: Value = serde_json::from_str(data).ok()?;
                (data["event"] == name).then_some(data)
            });
            if found.is_some() {
                return found;
            }
            let mut some = [0; 4096];
            match self.socket.read(&mut some).unwrap() {
                0 => return None,
                count => self.text.push_str(&String::from_utf8_lossy(&some[..count])),
            }
        }
    }
}

fn answer(usher: &Usher, key: &str, question: &Value, agree: bool) -> u16 {
    let body = json!({ "question": question["id"], "agree": agree }).to_string();
    let fields = [("X-API-KEY", key), ("Content-Type", "application/json")];
    request(usher.address("admin"), "POST", "/usher/v1/chat/answers", &fields, body.as_bytes()).status
}

fn token(usher: &Usher, role: &str) -> String {
    let body = json!({ "name": role, "role": role, "expires_in_secs": 600 }).to_string();
    let fields = [("X-API-KEY", KEY), ("Content-Type", "application/json")];
    let made = request(usher.address("admin"), "POST", "/usher/v1/tokens", &fields, body.as_bytes());
    made.json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_conversation_streams_asks_and_does_what_its_caller_may() {
    let origin = Origin::start("a");
    let usher = Usher::start(&[]);
    let sentence = format!("put http://{} behind /api/*", origin.address);
    let mut stream = Stream::say(&usher, KEY, &json!({ "sentence": sentence }));
    let conversation = stream.until("conversation").unwrap()["id"].clone();
    assert!(stream.until("plan").unwrap()["text"].as_str().unwrap().contains("+ route api"));
    let question = stream.until("question").unwrap();
    // Another principal's answer is none.
    let viewer = token(&usher, "viewer");
    assert_eq!(answer(&usher, &viewer, &question, true), 404);
    assert_eq!(answer(&usher, KEY, &question, true), 200);
    assert!(stream.until("applied").is_some());
    assert_eq!(stream.until("ended").unwrap()["done"], true);
    assert_eq!(usher.get("/api/1", &[]).status, 200);
    assert_eq!(answer(&usher, KEY, &question, true), 404, "an answer holds once");

    let mut stream =
        Stream::say(&usher, KEY, &json!({ "sentence": "undo that", "conversation": conversation }));
    let question = stream.until("question").unwrap();
    assert_eq!(answer(&usher, KEY, &question, false), 200);
    assert_eq!(stream.until("ended").unwrap()["done"], false);
    assert_eq!(usher.get("/api/1", &[]).status, 200);

    // Somebody else's conversation isn't gone on with, and a viewer only looks.
    let body = json!({ "sentence": "show all routes", "conversation": conversation });
    let mut stream = Stream::say(&usher, &viewer, &body);
    assert!(stream.until("ended").is_none() && stream.text.contains(" 404 "), "{}", stream.text);
    let mut stream = Stream::say(&usher, &viewer, &json!({ "sentence": "show all routes" }));
    assert!(stream.until("said").unwrap()["text"].as_str().unwrap().contains("1 route"));
    let mut stream = Stream::say(&usher, &viewer, &json!({ "sentence": "disable route api" }));
    assert!(
        stream.until("said").unwrap()["text"].as_str().unwrap().contains("may read and not change"),
        "{}",
        stream.text
    );
    assert_eq!(stream.until("ended").unwrap()["done"], false);
}

#[test]
fn who_comes_back_to_a_conversation_finds_its_question_as_it_stands() {
    let origin = Origin::start("a");
    let usher = Usher::start(&[]);
    let sentence = format!("put http://{} behind /api/*", origin.address);
    let mut stream = Stream::say(&usher, KEY, &json!({ "sentence": sentence }));
    let id = stream.until("conversation").unwrap()["id"].as_str().unwrap().to_owned();
    let question = stream.until("question").unwrap();
    // The page is loaded anew: nobody listens for a moment, and that is no answer.
    drop(stream);
    let mut again = Stream::come_back(&usher, KEY, &id);
    assert_eq!(again.until("asked").unwrap()["text"], sentence);
    assert!(again.until("plan").unwrap()["text"].as_str().unwrap().contains("+ route api"));
    assert_eq!(again.until("question").unwrap(), question);
    assert_eq!(answer(&usher, KEY, &question, true), 200);
    assert_eq!(again.until("answered").unwrap()["agree"], true);
    assert!(again.until("applied").is_some() && again.until("ended").unwrap()["done"] == true);
    assert_eq!(usher.get("/api/1", &[]).status, 200);
    // It is all there once more, and ends by itself, because nothing is worked on.
    let mut whole = Stream::come_back(&usher, KEY, &id);
    assert!(whole.until("ended").is_some() && whole.until("nothing").is_none(), "{}", whole.text);

    // Who stops it says no, and nobody else hears of it or stops it.
    let mut stream = Stream::say(&usher, KEY, &json!({ "sentence": "delete route api", "conversation": id }));
    let question = stream.until("question").unwrap();
    let viewer = token(&usher, "viewer");
    assert!(Stream::come_back(&usher, &viewer, &id).until("conversation").is_none());
    let path = format!("/usher/v1/chat/conversations/{id}");
    let stop = |key: &str| request(usher.address("admin"), "DELETE", &path, &[("X-API-KEY", key)], b"");
    assert_eq!(stop(&viewer).status, 404);
    assert_eq!(stop(KEY).json(), json!({ "stopped": true }));
    assert_eq!(stream.until("ended").unwrap()["done"], false);
    assert_eq!(answer(&usher, KEY, &question, true), 404);
    assert_eq!(stop(KEY).json(), json!({ "stopped": false }));
    assert_eq!(usher.get("/api/1", &[]).status, 200);
}

#[test]
fn a_model_of_the_settings_leads_the_chat_and_its_key_stays_with_the_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (config, key) = (folder.path().join("config.yaml"), folder.path().join("key"));
    std::fs::write(&key, "canary-of-the-model\n").unwrap();
    let address = listener.local_addr().unwrap();
    let text = format!(
        "chat: {{model: {{url: 'http://{address}/v1', name: qwen3, key_file: '{}'}}}}\n",
        key.display()
    );
    std::fs::write(&config, text).unwrap();
    let asked = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (head, body) = read_request(&mut BufReader::new(socket.try_clone().unwrap())).unwrap();
        let told = json!({ "choices": [{ "message": { "role": "assistant", "content": "I am the model of the settings." }, "finish_reason": "stop" }] });
        let told = told.to_string();
        let head_back =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
        write!(socket, "{head_back}: {}\r\n\r\n{told}", told.len()).unwrap();
        (head, String::from_utf8(body).unwrap())
    });
    let usher = Usher::start_in(folder, &["--config", config.to_str().unwrap()]);
    let mut stream = Stream::say(&usher, KEY, &json!({ "sentence": "who are you" }));
    assert!(stream.until("ended").is_some(), "{}", stream.text);
    assert!(stream.text.contains("I am the model of the settings."), "{}", stream.text);
    assert!(!stream.text.contains("canary-of-the-model"), "{}", stream.text);
    let (head, body) = asked.join().unwrap();
    assert!(head.starts_with("POST /v1/chat/completions "), "{head}");
    assert!(head.to_ascii_lowercase().contains("authorization: bearer canary-of-the-model"), "{head}");
    assert!(body.contains("\"qwen3\""), "{body}");
}

#[test]
fn switched_off_agents_only_look_until_they_are_switched_on_again() {
    let origin = Origin::start("a");
    let usher = Usher::start(&[]);
    let switch = |usher: &Usher, words: &[&str]| {
        let url = format!("http://{}", usher.address("admin"));
        let run = binary()
            .arg("agents")
            .args(words)
            .args(["--url", &url])
            .env("USHER_ADMIN_KEY", KEY)
            .output()
            .unwrap();
        assert!(run.status.success(), "{run:?}");
        String::from_utf8(run.stdout).unwrap()
    };
    let put = |usher: &Usher, id: &str| {
        let body = json!({ "uri": format!("/{id}"), "upstream": origin.upstream() }).to_string();
        let path = format!("/apisix/admin/routes/{id}");
        request(usher.address("chat"), "PUT", &path, &[("Content-Type", "application/json")], body.as_bytes())
    };
    assert_eq!(put(&usher, "one").status, 201);
    assert!(switch(&usher, &["off", "one of them went wild"]).contains("may only look"));
    let refused = put(&usher, "two");
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("went wild"), "{}", refused.text());
    assert_eq!(request(usher.address("chat"), "GET", "/apisix/admin/routes/one", &[], b"").status, 200);
    usher.put("/routes/three", &json!({ "uri": "/three", "upstream": origin.upstream() }));
    let mut stream = Stream::say(&usher, &token(&usher, "chat"), &json!({ "sentence": "disable route one" }));
    assert!(
        stream.until("said").unwrap()["text"].as_str().unwrap().contains("agents may only look"),
        "{}",
        stream.text
    );

    let folder = Arc::clone(&usher.folder);
    assert!(usher.terminate().success());
    let usher = Usher::start_in(folder, &[]);
    assert_eq!(put(&usher, "two").status, 403, "it outlives a restart");
    assert!(switch(&usher, &["on"]).contains("may plan and apply"));
    assert_eq!(put(&usher, "two").status, 201);
    let audit = request(usher.address("admin"), "GET", "/usher/v1/audit", &[("X-API-KEY", KEY)], b"").text();
    assert!(audit.contains("agents-off") && audit.contains("agents-on"), "{audit}");
}

/// What `tools/list` answers over standard input and output, with this token or none.
fn tools(usher: &Usher, token: Option<&str>) -> String {
    let url = format!("http://{}", usher.address("chat"));
    let mut command = binary();
    command.args(["mcp", "--url", &url]).stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some(token) = token {
        command.env("USHER_TOKEN", token);
    }
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } });
    writeln!(input, "{hello}").unwrap();
    writeln!(input, "{}", json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).unwrap();
    writeln!(input, "{}", json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" })).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn where_tokens_are_required_nobody_comes_in_without_one_and_each_sees_what_it_may_use() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    let yaml = "chat:\n  token_required: true\n  verification_tokens: { openai: from-the-store }\n";
    std::fs::write(&config, yaml).unwrap();
    let usher = Usher::start_in(folder, &["--config", config.to_str().unwrap()]);
    let chat = usher.address("chat");
    let manifest = request(chat, "GET", "/.well-known/ai-plugin.json", &[], b"").json();
    assert_eq!(manifest["auth"]["type"], "service_http");
    assert_eq!(manifest["auth"]["verification_tokens"]["openai"], "from-the-store");
    for path in ["/mcp", "/apisix/admin/routes"] {
        let refused = request(chat, "GET", path, &[], b"");
        assert_eq!((refused.status, refused.field("www-authenticate").is_some()), (401, true), "{path}");
        assert_eq!(
            request(chat, "GET", path, &[("Authorization", "Bearer ut_wrong")], b"").status,
            401,
            "{path}"
        );
    }
    let (viewer, editor) = (token(&usher, "viewer"), token(&usher, "editor"));
    let read = |token: &str| {
        let bearer = format!("Bearer {token}");
        request(chat, "GET", "/apisix/admin/routes", &[("Authorization", &bearer)], b"").status
    };
    assert_eq!((read(&viewer), read(&editor)), (200, 200));
    let bearer = format!("Bearer {viewer}");
    let put = request(
        chat,
        "PUT",
        "/apisix/admin/routes/1",
        &[("Authorization", &bearer), ("Content-Type", "application/json")],
        b"{}",
    );
    assert_eq!(put.status, 401, "{}", put.text());
    assert!(!tools(&usher, None).contains("\"name\":\"gateway_find\""));
    let seen = tools(&usher, Some(&viewer));
    assert!(
        seen.contains("\"name\":\"gateway_find\"") && !seen.contains("\"name\":\"gateway_apply\""),
        "{seen}"
    );
    assert!(tools(&usher, Some(&editor)).contains("\"name\":\"gateway_apply\""));
}
