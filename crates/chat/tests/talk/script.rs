//! A scripted model: an OpenAI-compatible server that records what arrives and answers turn by turn, as a stream or whole.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use usher_chat::assistant::ModelOptions;
use usher_model::secret::Secret;

/// The key that must not turn up anywhere but in the header.
pub(crate) const KEY: &str = "sk-canary-0123456789";

/// One answer of the model, made from the request.
pub(crate) type Turn = Box<dyn Fn(&Value) -> Answer + Send>;

/// What a model answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Say(String),
    Call(Vec<(String, String)>),
    /// A stream, or a body, that ends in the middle.
    Cut,
    /// Status, header, body.
    Http(u16, Option<(&'static str, &'static str)>, String),
}

pub(crate) fn say(text: &str) -> Turn {
    let text = text.to_owned();
    Box::new(move |_| Answer::Say(text.clone()))
}

pub(crate) fn call(name: &str, arguments: Value) -> Turn {
    call_raw(name, &arguments.to_string())
}

pub(crate) fn call_raw(name: &str, arguments: &str) -> Turn {
    let answer = Answer::Call(vec![(name.to_owned(), arguments.to_owned())]);
    Box::new(move |_| answer.clone())
}

/// Applies the plan that the last result is about.
pub(crate) fn apply() -> Turn {
    Box::new(|request| {
        let result: Value = serde_json::from_str(last(request)).unwrap_or_default();
        let id = result["plan_id"].as_str().unwrap_or("none");
        Answer::Call(vec![("gateway_apply".to_owned(), json!({ "plan_id": id }).to_string())])
    })
}

pub(crate) fn cut() -> Turn {
    Box::new(|_| Answer::Cut)
}

pub(crate) fn http(status: u16, header: Option<(&'static str, &'static str)>, body: &str) -> Turn {
    let body = body.to_owned();
    Box::new(move |_| Answer::Http(status, header, body.clone()))
}

/// The content of the last message of a request.
pub(crate) fn last(request: &Value) -> &str {
    request["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap_or_default()
}

/// A running script.
pub(crate) struct Model {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Value>>>,
    left: Arc<Mutex<VecDeque<Turn>>>,
    task: JoinHandle<()>,
}

impl Drop for Model {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Model {
    pub(crate) async fn start(turns: Vec<Turn>) -> Self {
        let requests: Arc<Mutex<Vec<Value>>> = Arc::default();
        let left = Arc::new(Mutex::new(VecDeque::from(turns)));
        let (seen, script) = (Arc::clone(&requests), Arc::clone(&left));
        let handler = move |request: Request| {
            let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
            async move { turn(request, &seen, &script).await }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/v1/chat/completions", post(handler));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, requests, left, task }
    }

    pub(crate) fn options(&self, stream: bool) -> ModelOptions {
        ModelOptions {
            base_url: format!("http://{}", self.address),
            api_key: Some(Secret::new(KEY.to_owned())),
            model: "scripted".to_owned(),
            stream,
            api: None,
        }
    }

    /// The requests that came, and a check that the whole script was used.
    pub(crate) fn requests(&self) -> Vec<Value> {
        assert_eq!(self.left.lock().unwrap().len(), 0, "turns that were not asked for");
        self.requests.lock().unwrap().clone()
    }
}

async fn turn(request: Request, seen: &Mutex<Vec<Value>>, script: &Mutex<VecDeque<Turn>>) -> Response {
    assert_eq!(request.headers()["authorization"], format!("Bearer {KEY}"));
    let body = axum::body::to_bytes(request.into_body(), 10 << 20).await.unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    seen.lock().unwrap().push(request.clone());
    let answer = match script.lock().unwrap().pop_front() {
        Some(turn) => turn(&request),
        None => Answer::Http(400, None, "the script is at its end".to_owned()),
    };
    let stream = request["stream"] == true;
    match answer {
        Answer::Http(status, header, body) => {
            let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
            if let Some((name, value)) = header {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).unwrap()
        }
        Answer::Say(text) => {
            respond(stream, &events_of_text(&text), &json!({ "role": "assistant", "content": text }))
        }
        Answer::Call(calls) => {
            let listed: Vec<Value> = calls
                .iter()
                .enumerate()
                .map(|(at, (name, arguments))| {
                    json!({ "id": format!("c{at}"), "type": "function", "function": { "name": name, "arguments": arguments } })
                })
                .collect();
            respond(
                stream,
                &events_of_calls(&calls),
                &json!({ "role": "assistant", "content": null, "tool_calls": listed }),
            )
        }
        Answer::Cut if stream => {
            events("data: {\"choices\":[{\"delta\":{\"content\":\"I will now del\"}}]}\n\n".to_owned())
        }
        Answer::Cut => Response::new(Body::from("{\"choices\":[{\"message\":{\"content\":\"I will")),
    }
}

fn respond(stream: bool, pieces: &[Value], message: &Value) -> Response {
    if !stream {
        let body = json!({ "id": "x", "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }], "usage": {} });
        return Response::new(Body::from(body.to_string()));
    }
    let mut text = String::new();
    for delta in pieces {
        text.push_str(&format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": delta }] })));
    }
    text.push_str(
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    );
    events(text)
}

fn events(text: String) -> Response {
    Response::builder().header("content-type", "text/event-stream").body(Body::from(text)).unwrap()
}

fn events_of_text(text: &str) -> Vec<Value> {
    let (half, rest) =
        text.split_at(text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at));
    vec![json!({ "role": "assistant", "content": half }), json!({ "content": rest })]
}

/// Names first, then arguments letter group by letter group, calls taking turns.
fn events_of_calls(calls: &[(String, String)]) -> Vec<Value> {
    let mut pieces = Vec::new();
    for (at, (name, _)) in calls.iter().enumerate() {
        pieces.push(json!({ "tool_calls": [{ "index": at, "id": format!("c{at}"), "type": "function", "function": { "name": name, "arguments": "" } }] }));
    }
    let split: Vec<Vec<String>> = calls
        .iter()
        .map(|(_, arguments)| {
            arguments.chars().collect::<Vec<_>>().chunks(9).map(|letters| letters.iter().collect()).collect()
        })
        .collect();
    for round in 0..split.iter().map(Vec::len).max().unwrap_or(0) {
        for (at, parts) in split.iter().enumerate() {
            if let Some(part) = parts.get(round) {
                pieces.push(json!({ "tool_calls": [{ "index": at, "function": { "arguments": part } }] }));
            }
        }
    }
    pieces
}
