//! The same conversation with a model that is asked by OpenAI's responses, and by Anthropic's messages, streamed and whole.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use usher_chat::assistant::{ModelApi, ModelOptions};
use usher_model::secret::Secret;

use crate::script::KEY;
use crate::support::Side;

/// What the model does next: a call, or its last words.
enum Next {
    Call(&'static str, Value),
    Say(&'static str),
}

fn next(round: usize, result: &str) -> Next {
    let body = json!({ "uri": "/speaker/*", "upstream_id": "conference-api" });
    let change = json!({ "op": "create", "kind": "route", "id": "speaker", "body_json": body.to_string() });
    match round {
        0 => Next::Call("gateway_overview", json!({})),
        1 => Next::Call("gateway_plan", json!({ "changes": [change], "intent": "a route for speakers" })),
        2 => {
            let result: Value = serde_json::from_str(result).unwrap();
            Next::Call("gateway_apply", json!({ "plan_id": result["plan_id"] }))
        }
        _ => Next::Say("It is there now."),
    }
}

/// One dialect, as its server speaks it.
trait Speaks {
    const API: ModelApi;
    const PATH: &'static str;
    /// The text of the last result in a request.
    fn result(request: &Value) -> String;
    fn whole(round: usize, next: &Next) -> Value;
    fn pieces(round: usize, next: &Next) -> Vec<Value>;
}

struct Messages;

impl Speaks for Messages {
    const API: ModelApi = ModelApi::Messages;
    const PATH: &'static str = "/v1/messages";

    fn result(request: &Value) -> String {
        assert!(request["system"].as_str().unwrap().contains("Usher") && request["max_tokens"].is_u64());
        let last = request["messages"].as_array().unwrap().last().unwrap();
        assert_eq!(last["role"], "user");
        last["content"][0]["content"].as_str().unwrap_or_default().to_owned()
    }

    fn whole(round: usize, next: &Next) -> Value {
        match next {
            Next::Call(name, input) => {
                let call =
                    json!({ "type": "tool_use", "id": format!("t{round}"), "name": name, "input": input });
                json!({ "role": "assistant", "content": [call], "stop_reason": "tool_use" })
            }
            Next::Say(text) => {
                json!({ "content": [{ "type": "text", "text": text }], "stop_reason": "end_turn" })
            }
        }
    }

    fn pieces(round: usize, next: &Next) -> Vec<Value> {
        let start =
            |block: Value| json!({ "type": "content_block_start", "index": 0, "content_block": block });
        let delta = |delta: Value| json!({ "type": "content_block_delta", "index": 0, "delta": delta });
        let mut pieces = vec![json!({ "type": "message_start", "message": { "content": [] } })];
        match next {
            Next::Call(name, input) => {
                let text = input.to_string();
                let (begin, end) = text.split_at(text.len() / 2);
                pieces.push(start(
                    json!({ "type": "tool_use", "id": format!("t{round}"), "name": name, "input": {} }),
                ));
                for part in [begin, end] {
                    pieces.push(delta(json!({ "type": "input_json_delta", "partial_json": part })));
                }
            }
            Next::Say(text) => {
                pieces.push(start(json!({ "type": "text", "text": "" })));
                pieces.push(delta(json!({ "type": "text_delta", "text": text })));
            }
        }
        pieces
            .extend([json!({ "type": "content_block_stop", "index": 0 }), json!({ "type": "message_stop" })]);
        pieces
    }
}

struct Responses;

impl Speaks for Responses {
    const API: ModelApi = ModelApi::Responses;
    const PATH: &'static str = "/v1/responses";

    fn result(request: &Value) -> String {
        assert!(request["instructions"].as_str().unwrap().contains("Usher"));
        assert_eq!(request["store"], false);
        let last = request["input"].as_array().unwrap().last().unwrap();
        last["output"].as_str().unwrap_or_default().to_owned()
    }

    fn whole(round: usize, next: &Next) -> Value {
        let item = match next {
            Next::Call(name, input) => json!({
                "type": "function_call", "call_id": format!("t{round}"), "name": name, "arguments": input.to_string(),
            }),
            Next::Say(text) => {
                json!({ "type": "message", "content": [{ "type": "output_text", "text": text }] })
            }
        };
        json!({ "status": "completed", "output": [item] })
    }

    fn pieces(round: usize, next: &Next) -> Vec<Value> {
        let created =
            json!({ "type": "response.created", "response": { "status": "in_progress", "output": [] } });
        vec![created, json!({ "type": "response.completed", "response": Self::whole(round, next) })]
    }
}

async fn answered<S: Speaks>(request: Request, seen: &Mutex<Vec<Value>>) -> Response {
    let headers = request.headers();
    match S::API {
        ModelApi::Messages => {
            assert_eq!((&headers["x-api-key"], headers.get("authorization")), (&KEY.parse().unwrap(), None));
            assert_eq!(headers["anthropic-version"], "2023-06-01");
        }
        _ => assert_eq!(headers["authorization"], format!("Bearer {KEY}")),
    }
    let body = axum::body::to_bytes(request.into_body(), 10 << 20).await.unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let round = seen.lock().unwrap().len();
    let next = next(round, &S::result(&request));
    let streams = request["stream"] == true;
    seen.lock().unwrap().push(request);
    if !streams {
        return Response::new(Body::from(S::whole(round, &next).to_string()));
    }
    let events: String = S::pieces(round, &next)
        .iter()
        .map(|piece| format!("event: {}\ndata: {piece}\n\n", piece["type"].as_str().unwrap()))
        .collect();
    Response::builder().header("content-type", "text/event-stream").body(Body::from(events)).unwrap()
}

async fn converses<S: Speaks + 'static>() {
    for stream in [true, false] {
        let side = Side::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{}", listener.local_addr().unwrap(), S::PATH);
        let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&seen);
        let handler = move |request: Request| {
            let kept = Arc::clone(&kept);
            async move { answered::<S>(request, &kept).await }
        };
        let app = Router::new().route(S::PATH, post(handler));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let options = ModelOptions {
            base_url: url,
            api_key: Some(Secret::new(KEY.to_owned())),
            model: "scripted".to_owned(),
            stream,
            api: None,
        };
        assert_eq!(options.speaks(), S::API);
        let heard = side.talk_with(options).await.ask("put the conference API behind /speaker/*").await;
        assert_eq!(heard.tools, ["gateway_overview", "gateway_plan", "gateway_apply"]);
        assert_eq!((heard.plans.len(), heard.applied.len()), (1, 1), "{heard:?}");
        assert!(heard.said.contains("model> It is there now."), "{heard:?}");
        assert_eq!(side.route("speaker").await["upstream_id"], "conference-api");
        let seen = seen.lock().unwrap().clone();
        assert_eq!(seen.len(), 4);
        assert!(seen.iter().all(|request| request["tools"].as_array().unwrap().len() >= 10));
        assert!(!json!(seen).to_string().contains(KEY), "the key is in the header alone");
        serving.abort();
    }
}

#[tokio::test]
async fn a_model_is_asked_by_messages() {
    converses::<Messages>().await;
}

#[tokio::test]
async fn a_model_is_asked_by_responses() {
    converses::<Responses>().await;
}
