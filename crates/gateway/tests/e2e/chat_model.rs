//! The model that an admin chooses at runtime: who may, where its key goes, and who is led by it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::support::{Answer, KEY, Usher, binary, eventually, read_request, request};

/// The key of the model: it turns up at the model and nowhere else.
const CANARY: &str = "sk-canary-of-the-model";

/// A model that says who it is, and remembers the heads that came.
struct Model {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Model {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let Some((head, body)) = read_request(&mut BufReader::new(socket.try_clone().unwrap()))
                else {
                    continue;
                };
                let name = serde_json::from_slice::<Value>(&body).unwrap()["model"].clone();
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                let text = format!("I am {}.", name.as_str().unwrap());
                let told = json!({ "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }] }).to_string();
                let start = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                // Who asked may be gone.
                let _ = write!(socket, "{start}\r\nContent-Length: {}\r\n\r\n{told}", told.len());
            }
        });
        Self { address, heads }
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn own(usher: &Usher, key: &str, method: &str, path: &str, body: &Value) -> Answer {
    let fields = [("X-API-KEY", key), ("Content-Type", "application/json")];
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    request(usher.address("admin"), method, &format!("/usher/v1{path}"), &fields, &body)
}

/// Chooses a model as the admin.
fn choose(usher: &Usher, body: &Value) -> Answer {
    own(usher, KEY, "PUT", "/chat/model", body)
}

/// What the chat says to a sentence.
fn said(usher: &Usher, sentence: &str, conversation: &Value) -> (String, Value) {
    let mut body = json!({ "sentence": sentence });
    if conversation.is_string() {
        body["conversation"] = conversation.clone();
    }
    let text = own(usher, KEY, "POST", "/chat", &body).text();
    let id = text.split("\n\n").find_map(|event| {
        let data: Value =
            serde_json::from_str(event.lines().find_map(|line| line.strip_prefix("data: "))?).ok()?;
        data.get("id").cloned()
    });
    (text, id.unwrap_or_default())
}

fn usher_chat(usher: &Usher, words: &[&str]) -> Output {
    binary()
        .args(["chat", "--url", &format!("http://{}", usher.address("chat"))])
        .args(words)
        .env("USHER_ADMIN_URL", format!("http://{}", usher.address("admin")))
        .env("USHER_ADMIN_KEY", KEY)
        .output()
        .unwrap()
}

#[test]
fn a_chosen_model_leads_every_chat_until_it_is_forgotten_and_its_key_stays_sealed() {
    let model = Model::start();
    let usher = Usher::start(&[]);
    assert_eq!(
        own(&usher, KEY, "GET", "/chat/model", &Value::Null).json(),
        json!({ "fixed_by": null, "model": null })
    );
    // A conversation that began in plain sentences goes on with the model.
    let (text, conversation) = said(&usher, "show all routes", &Value::Null);
    assert!(text.contains("no route"), "{text}");
    let wanted = json!({ "url": model.url(), "name": "qwen3", "key": CANARY });
    let chosen = choose(&usher, &wanted);
    assert_eq!(chosen.status, 200, "{}", chosen.text());
    let shown = own(&usher, KEY, "GET", "/chat/model", &Value::Null).json();
    let mask = shown["model"]["key"].as_str().unwrap();
    assert!(mask.starts_with("***") && mask.len() == 9, "{shown}");
    let (text, _) = said(&usher, "who are you", &conversation);
    assert!(text.contains("I am qwen3."), "{text}");
    let bearer = format!("authorization: bearer {CANARY}");
    assert!(
        model.heads().iter().all(|head| head.to_ascii_lowercase().contains(&bearer)),
        "{:?}",
        model.heads()
    );

    // It stands over a restart, its key sealed in the store.
    let folder = usher.kill();
    for entry in std::fs::read_dir(folder.path()).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "{:?}", entry.path());
    }
    let usher = Usher::start_in(folder, &[]);
    let (text, conversation) = said(&usher, "who are you", &Value::Null);
    assert!(text.contains("I am qwen3."), "{text}");
    // Another name at the same place keeps the key, and the conversation goes on with it.
    assert_eq!(choose(&usher, &json!({ "url": model.url(), "name": "other" })).status, 200);
    let (text, _) = said(&usher, "who are you", &conversation);
    assert!(text.contains("I am other."), "{text}");

    // The terminal is led by it too, unless it says otherwise.
    let told = usher_chat(&usher, &["who", "are", "you"]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && text.contains("other leads") && text.contains("I am other."), "{text}");
    assert!(!text.contains(CANARY), "{text}");
    let text = String::from_utf8_lossy(&usher_chat(&usher, &["--plain", "show", "all", "routes"]).stdout)
        .into_owned();
    assert!(text.contains("no route") && !text.contains("other"), "{text}");

    let gone = own(&usher, KEY, "DELETE", "/chat/model", &Value::Null);
    assert_eq!(gone.json(), json!({ "fixed_by": null, "model": null }));
    assert_eq!(own(&usher, KEY, "DELETE", "/chat/model", &Value::Null).status, 404);
    let before = model.heads().len();
    let (text, _) = said(&usher, "show all routes", &conversation);
    assert!(text.contains("no route"), "{text}");
    let text = String::from_utf8_lossy(&usher_chat(&usher, &["show", "all", "routes"]).stdout).into_owned();
    assert!(text.contains("no route"), "{text}");
    assert_eq!(model.heads().len(), before);
    let audit = own(&usher, KEY, "GET", "/audit/export", &Value::Null).text();
    for event in ["model-chosen", "model-forgotten"] {
        assert!(audit.contains(event), "{event}: {audit}");
    }
    assert!(!audit.contains(CANARY), "{audit}");
}

#[test]
fn only_an_admin_chooses_and_nobody_is_sent_where_only_usher_may_go() {
    let model = Model::start();
    let usher = Usher::start(&[]);
    let wanted = json!({ "url": model.url(), "name": "m" });
    for role in ["viewer", "chat", "editor"] {
        let body = json!({ "name": role, "role": role, "expires_in_secs": 600 });
        let token = own(&usher, KEY, "POST", "/tokens", &body).json()["token"].as_str().unwrap().to_owned();
        for (method, path, body) in [
            ("GET", "/chat/model", Value::Null),
            ("PUT", "/chat/model", wanted.clone()),
            ("DELETE", "/chat/model", Value::Null),
            ("POST", "/chat/model/try", json!({ "model": wanted })),
        ] {
            assert_eq!(own(&usher, &token, method, path, &body).status, 403, "{role} {method} {path}");
        }
    }
    let (admin, chat) = (usher.address("admin"), usher.address("chat"));
    for (url, wanted) in [
        ("http://169.254.169.254/v1".to_owned(), "a link-local or cloud metadata address"),
        ("http://[::ffff:169.254.169.254]/v1".to_owned(), "a link-local or cloud metadata address"),
        ("http://2852039166/v1".to_owned(), "a link-local or cloud metadata address"),
        ("http://metadata.google.internal/v1".to_owned(), "a cloud metadata service"),
        (format!("http://{admin}/v1"), "a listener of Usher itself"),
        (format!("http://localhost:{}/v1", chat.port()), "a listener of Usher itself"),
        ("ftp://a.test/v1".to_owned(), "begins with http:// or https://"),
        ("a.test/v1".to_owned(), "can't be used"),
        ("http://user:pass@a.test/v1".to_owned(), "holds a user or a password"),
    ] {
        let body = json!({ "url": url, "name": "m" });
        let refused = choose(&usher, &body);
        let error = refused.json()["error"].clone();
        assert!(
            refused.status == 422 && error["message"].as_str().unwrap().contains(wanted),
            "{url}: {error}"
        );
        assert_eq!(error["field"], "/url", "{url}");
        assert_eq!(
            own(&usher, KEY, "POST", "/chat/model/try", &json!({ "model": body })).status,
            422,
            "{url}"
        );
    }
    for (body, field) in [
        (json!({ "url": model.url(), "name": " " }), "/name"),
        (json!({ "url": model.url(), "name": "m", "key": "a\nb" }), "/key"),
    ] {
        let refused = choose(&usher, &body);
        assert_eq!((refused.status, &refused.json()["error"]["field"]), (422, &json!(field)), "{body}");
    }
    assert_eq!(model.heads().len(), 0);
    assert_eq!(own(&usher, KEY, "GET", "/chat/model", &Value::Null).json()["model"], Value::Null);
}

#[test]
fn a_stored_key_goes_to_the_place_it_was_given_for() {
    let (model, thief) = (Model::start(), Model::start());
    let usher = Usher::start(&[]);
    assert_eq!(choose(&usher, &json!({ "url": model.url(), "name": "m", "key": CANARY })).status, 200);
    let elsewhere = json!({ "url": thief.url(), "name": "m" });
    for (method, path, body) in [
        ("PUT", "/chat/model", elsewhere.clone()),
        ("POST", "/chat/model/try", json!({ "model": elsewhere })),
    ] {
        let refused = own(&usher, KEY, method, path, &body);
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains("goes nowhere else"), "{}", refused.text());
    }
    assert_eq!(thief.heads().len(), 0);
    // Without the key, or with another one, that place may be asked.
    let keyless = json!({ "model": { "url": thief.url(), "name": "n", "key": "" } });
    let heard = own(&usher, KEY, "POST", "/chat/model/try", &keyless);
    assert_eq!(heard.json()["answer"], "I am n.", "{}", heard.text());
    assert!(thief.heads().iter().all(|head| !head.contains(CANARY)), "{:?}", thief.heads());
    // The one that leads is tried with its key.
    assert_eq!(own(&usher, KEY, "POST", "/chat/model/try", &json!({})).json()["answer"], "I am m.");
    assert!(model.heads().iter().all(|head| head.contains(CANARY)), "{:?}", model.heads());
    // Nobody answers there: the sentence says so, and nothing of the key.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = json!({ "model": { "url": format!("http://{nobody}/v1"), "name": "n", "key": CANARY } });
    let failed = own(&usher, KEY, "POST", "/chat/model/try", &away);
    assert_eq!((failed.status, &failed.json()["error"]["code"]), (502, &json!("model_failed")));
    assert!(
        failed.text().contains("could not reach the model") && !failed.text().contains(CANARY),
        "{}",
        failed.text()
    );
}

#[test]
fn what_the_settings_name_stands_over_a_choice() {
    let model = Model::start();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(
        &config,
        format!("chat: {{model: {{url: '{}', name: set, key: {CANARY}}}}}\n", model.url()),
    )
    .unwrap();
    let usher = Usher::start_in(folder, &["--config", config.to_str().unwrap()]);
    let shown = own(&usher, KEY, "GET", "/chat/model", &Value::Null).json();
    assert_eq!(
        shown,
        json!({ "fixed_by": "chat.model of the settings", "model": { "url": model.url(), "name": "set", "api": "completions", "key": "***", "by": null, "since_unix_ms": null } })
    );
    let refused = choose(&usher, &json!({ "url": model.url(), "name": "other" }));
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (409, &json!("fixed")),
        "{}",
        refused.text()
    );
    assert_eq!(own(&usher, KEY, "DELETE", "/chat/model", &Value::Null).status, 409);
    assert_eq!(own(&usher, KEY, "POST", "/chat/model/try", &json!({})).json()["answer"], "I am set.");
    assert!(said(&usher, "who are you", &Value::Null).0.contains("I am set."));
}

/// Begins a sentence of a conversation: the status, and the stream of what happens.
fn begin(usher: &Usher, body: &Value) -> (u16, BufReader<TcpStream>) {
    let (to, body) = (usher.address("admin"), body.to_string());
    let mut stream = TcpStream::connect(to).unwrap();
    let head = format!(
        "POST /usher/v1/chat HTTP/1.1\r\nHost: {to}\r\nX-API-KEY: {KEY}\r\nContent-Type: application/json"
    );
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    (line.split(' ').nth(1).unwrap().parse().unwrap(), reader)
}

#[test]
fn a_sentence_that_is_stopped_frees_its_conversation_although_the_model_hangs() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let usher = Usher::start(&[]);
    let url = format!("http://{}/v1", silent.local_addr().unwrap());
    assert_eq!(choose(&usher, &json!({ "url": url, "name": "hangs" })).status, 200);
    let (status, mut events) = begin(&usher, &json!({ "sentence": "who are you" }));
    assert_eq!(status, 200);
    let conversation = loop {
        let mut line = String::new();
        assert_ne!(events.read_line(&mut line).unwrap(), 0, "the stream ended");
        if let Some(data) = line.strip_prefix("data: ") {
            break serde_json::from_str::<Value>(data).unwrap()["id"].clone();
        }
    };
    // The model was asked, and says nothing; then the person stops.
    let (asked, _) = silent.accept().unwrap();
    assert!(read_request(&mut BufReader::new(asked.try_clone().unwrap())).is_some());
    let next = json!({ "sentence": "show all routes", "conversation": conversation });
    assert_eq!(begin(&usher, &next).0, 409);
    drop(events);
    let place = format!("/chat/conversations/{}", conversation.as_str().unwrap());
    assert_eq!(own(&usher, KEY, "DELETE", &place, &Value::Null).json(), json!({ "stopped": true }));
    eventually("the conversation is free again", || begin(&usher, &next).0 == 200);
    drop(asked);
}
