//! A model behind `ai-proxy`: a provider that answers word by word, and what it and the client see.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{KEY, Usher, eventually, request};

/// One word of a stream.
fn event(value: &Value) -> String {
    let text = format!("data: {value}\n\n");
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// A provider that says its first word, and the rest only when it is told that the first has arrived. What it was asked is sent back.
fn provider(go_on: mpsc::Receiver<()>) -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        tell.send((head, serde_json::from_slice(&body).unwrap())).unwrap();
        let start =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let first = event(&json!({ "choices": [{ "delta": { "content": "one" } }] }));
        stream.write_all(format!("{start}{first}").as_bytes()).unwrap();
        go_on.recv().unwrap();
        let usage =
            event(&json!({ "choices": [], "usage": { "prompt_tokens": 20, "completion_tokens": 30 } }));
        stream.write_all(format!("{usage}0\r\n\r\n").as_bytes()).unwrap();
    });
    (address, told)
}

#[test]
fn a_model_answers_word_by_word_and_its_tokens_are_counted() {
    let (arrived, go_on) = mpsc::channel();
    let (address, told) = provider(go_on);
    let usher = Usher::start(&["--store", "memory"]);
    usher.put(
        "/routes/1",
        &json!({ "uri": "/chat", "plugins": {
            "ai-proxy": {
                "provider": "openai-compatible",
                "auth": { "header": { "Authorization": "Bearer sk-of-the-gateway" } },
                "options": { "model": "small" },
                "override": { "endpoint": address },
            },
            "ai-rate-limiting": { "limit": 50, "time_window": 600, "rejected_code": 429 },
        } }),
    );
    // An admin reads it in clear on APISIX's own paths, and nobody does elsewhere.
    let shown = request(usher.address("admin"), "GET", "/usher/v1/export", &[("X-API-KEY", KEY)], b"").text();
    assert!(shown.contains("ai-proxy"), "{shown}");
    assert!(!shown.contains("sk-of-the-gateway"), "the key is shown: {shown}");

    let ask = |stream: &mut TcpStream| {
        let body = json!({ "messages": [{ "role": "user", "content": "hi" }], "stream": true }).to_string();
        let head = format!(
            "POST /chat HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer clients\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    };
    let mut client = TcpStream::connect(usher.address("proxy")).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    ask(&mut client);
    let (head, body) = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{head}");
    assert!(head.contains("Bearer sk-of-the-gateway") && !head.contains("clients"), "{head}");
    assert_eq!((&body["model"], &body["stream_options"]["include_usage"]), (&json!("small"), &json!(true)));

    // The first word is here while the provider still waits for it to arrive.
    let mut reader = BufReader::new(client);
    let mut read = String::new();
    while !read.contains("\"one\"") {
        assert!(reader.read_line(&mut read).unwrap() > 0, "{read}");
    }
    assert!(!read.contains("usage"));
    arrived.send(()).unwrap();
    while !read.ends_with("\r\n0\r\n\r\n") {
        assert!(reader.read_line(&mut read).unwrap() > 0, "{read}");
    }
    assert!(read.contains("usage"));

    // Both numbers together are what the window had. They are counted behind the last byte, and the provider answers nobody else.
    eventually("the limit", || {
        let mut client = TcpStream::connect(usher.address("proxy")).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        ask(&mut client);
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        line.starts_with("HTTP/1.1 429 ")
    });
}
