//! A model that follows a script, over OpenAI's chat completions: each step sees what the tools answered, and says or calls something.

use std::io::{BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::read_request;

/// What a step does.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Say(String),
    Call(Vec<(String, Value)>),
    /// Calls whose arguments are written as they are, all with the same identifier.
    Raw(Vec<(String, String)>),
    /// A status, and a body that is no answer.
    Fail(u16),
    /// A body that ends in the middle.
    Cut,
}

/// One turn, from what the tools answered until now.
pub(super) type Step = Box<dyn Fn(&[String]) -> Reply + Send>;

/// A step that calls one tool.
pub(super) fn call(tool: &str, arguments: Value) -> Step {
    let tool = tool.to_owned();
    Box::new(move |_| Reply::Call(vec![(tool.clone(), arguments.clone())]))
}

/// A step that applies the plan of the newest answer that has one.
pub(super) fn apply() -> Step {
    Box::new(|results| {
        Reply::Call(vec![("gateway_apply".to_owned(), json!({ "plan_id": plan_id(results) }))])
    })
}

/// The newest plan's identifier among what was answered.
pub(super) fn plan_id(results: &[String]) -> String {
    let ids = results.iter().rev().filter_map(|result| {
        serde_json::from_str::<Value>(result).ok()?["plan_id"].as_str().map(str::to_owned)
    });
    ids.clone().next().unwrap_or_else(|| "none".to_owned())
}

/// Two mistakes before a step: a tool's name that there isn't, and a member that there isn't.
pub(super) fn mistakes(step: &Step) -> (Step, Step) {
    let Reply::Call(calls) = step(&[]) else { panic!("a task begins with a call") };
    let (tool, arguments) = calls[0].clone();
    let misspelt = format!("{}x", tool.trim_end_matches('n'));
    let mut wrong = arguments.clone();
    wrong["not_a_member"] = json!(1);
    (call(&misspelt, arguments), call(&tool, wrong))
}

/// A few of the ways to be broken, another set for each number.
pub(super) fn broken(number: usize) -> Vec<Step> {
    let raw = |calls: &[(&str, &str)]| -> Step {
        let calls: Vec<(String, String)> =
            calls.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Box::new(move |_| Reply::Raw(calls.clone()))
    };
    let fail = |status: u16| -> Step { Box::new(move |_| Reply::Fail(status)) };
    let cut = || -> Step { Box::new(|_| Reply::Cut) };
    let nonsense = raw(&[
        ("gateway_plan", "{\"changes\": ["),
        ("gateway_nothing", "{}"),
        ("gateway_apply", "[1]"),
        ("", ""),
    ]);
    let parallel = raw(&[
        ("gateway_apply", "{\"plan_id\":\"0123456789\"}"),
        ("gateway_apply", "{\"plan_id\":\"0123456789\"}"),
    ]);
    match number % 5 {
        0 => vec![nonsense, parallel, cut(), cut()],
        1 => vec![parallel, fail(400)],
        2 => vec![nonsense, fail(500), fail(500), fail(500)],
        3 => (0..12).map(|_| raw(&[("gateway_undo", "{\"revision\": \"x\"}")])).collect(),
        _ => vec![
            nonsense,
            Box::new(|_| Reply::Say(String::new())),
            Box::new(|_| Reply::Say("Well.".to_owned())),
        ],
    }
}

/// A running script.
pub(super) struct Model {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Model {
    pub(super) fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Value>>> = Arc::default();
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut steps = steps.into_iter();
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let Some((_, body)) = read_request(&mut reader) else { continue };
                let request: Value = serde_json::from_slice(&body).unwrap_or_default();
                let results = results(&request);
                seen.lock().unwrap().push(request);
                let reply = steps.next().map_or(Reply::Fail(400), |step| step(&results));
                let mut stream = stream;
                // Whoever asked may be gone by now.
                let _ = stream.write_all(answer(&reply).as_bytes());
            }
        });
        Self { url, requests }
    }

    /// All that the model wrote in calls: their tools and arguments.
    pub(super) fn written(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let messages = requests
            .last()
            .and_then(|request| request["messages"].as_array())
            .map_or(&[] as &[Value], Vec::as_slice);
        let calls = messages.iter().filter_map(|message| message["tool_calls"].as_array()).flatten();
        calls
            .map(|call| {
                format!(
                    "{}{}",
                    super::shown(&call["function"]["name"]),
                    super::shown(&call["function"]["arguments"])
                )
            })
            .collect()
    }

    /// How many tools were called, what they answered, and all that was sent.
    pub(super) fn heard(&self) -> (usize, Vec<String>, String) {
        let requests = self.requests.lock().unwrap();
        let results = requests.last().map(results).unwrap_or_default();
        let sent = requests.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        (results.len(), results, sent)
    }
}

/// What the tools answered, oldest first.
fn results(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    let of_tools = messages.iter().filter(|message| message["role"] == "tool");
    of_tools.map(|message| super::shown(&message["content"])).collect()
}

fn answer(reply: &Reply) -> String {
    let (status, body) = match reply {
        Reply::Say(text) => (200, whole(&json!({ "role": "assistant", "content": text }))),
        Reply::Call(calls) => {
            let calls = calls.iter().map(|(name, arguments)| (name.clone(), arguments.to_string()));
            (200, whole(&called(calls.enumerate().map(|(at, call)| (format!("c{at}"), call)))))
        }
        Reply::Raw(calls) => {
            (200, whole(&called(calls.iter().map(|call| ("same".to_owned(), call.clone())))))
        }
        Reply::Fail(status) => (*status, "{\"error\":{\"message\":\"it does not work\"}}".to_owned()),
        Reply::Cut => (200, "{\"choices\":[{\"message\":{\"content\":\"I will".to_owned()),
    };
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nRetry-After: 0\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn whole(message: &Value) -> String {
    json!({ "id": "x", "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }], "usage": {} }).to_string()
}

fn called(calls: impl Iterator<Item = (String, (String, String))>) -> Value {
    let calls: Vec<Value> = calls
        .map(|(id, (name, arguments))| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }))
        .collect();
    json!({ "role": "assistant", "content": null, "tool_calls": calls })
}
