//! OpenAI's responses: a conversation is a list of items, and so is an answer.

use std::io;

use bytes::Bytes;
use futures_util::Stream;
use serde_json::{Value, json};

use super::Functions;
use super::answer::{Answer, Call, Problem, arguments, failure, text, usage};
use super::stream::events;
use crate::assistant::ModelOptions;

/// What is asked. Nothing is kept at the server: every request holds the whole conversation.
pub(super) fn body(options: &ModelOptions, said: &[Value], functions: &Functions, strict: bool) -> Value {
    let mut instructions = Vec::new();
    let mut input = Vec::new();
    for message in said {
        let content = text(message.get("content"));
        match message.get("role").and_then(Value::as_str).unwrap_or_default() {
            "system" => instructions.push(content),
            "tool" => input.push(json!({
                "type": "function_call_output", "call_id": message.get("tool_call_id"), "output": content,
            })),
            role => {
                if !content.trim().is_empty() {
                    input.push(json!({ "role": role, "content": content }));
                }
                for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
                    input.push(json!({
                        "type": "function_call", "call_id": call.get("id"), "name": call.pointer("/function/name"),
                        "arguments": call.pointer("/function/arguments"),
                    }));
                }
            }
        }
    }
    let tools: Vec<Value> = functions
        .all()
        .map(|tool| {
            json!({
                "type": "function", "name": tool.name, "description": tool.description, "parameters": tool.input, "strict": strict,
            })
        })
        .collect();
    json!({
        "model": options.model, "instructions": instructions.join("\n\n"), "input": input, "tools": tools, "store": false,
        "stream": options.stream,
    })
}

/// Reads a whole answer.
pub(super) fn read(value: &Value) -> Result<Answer, Problem> {
    let status = value.get("status").and_then(Value::as_str).unwrap_or("completed");
    if status == "failed" {
        return Err(failure(value));
    }
    let items = value.get("output").and_then(Value::as_array);
    let items = items.ok_or_else(|| Problem::Nonsense("it has no output".to_owned()))?;
    let mut answer = Answer { is_cut: status == "incomplete", tokens: usage(value), ..Answer::default() };
    for item in items {
        let word = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match item.get("type").and_then(Value::as_str) {
            Some("message") => {
                for part in item.get("content").and_then(Value::as_array).into_iter().flatten() {
                    answer.text.push_str(&text(part.get("text").or_else(|| part.get("refusal"))));
                }
            }
            Some("function_call") => answer.calls.push(Call {
                id: word("call_id"),
                name: word("name"),
                arguments: arguments(item.get("arguments")),
            }),
            _ => {}
        }
    }
    Ok(answer.with_ids())
}

/// Reads an answer that comes in pieces: the last event holds the whole of it.
pub(super) async fn read_stream(
    chunks: impl Stream<Item = Result<Bytes, io::Error>> + Unpin,
) -> Result<Answer, Problem> {
    let mut whole = None;
    events(chunks, |event| {
        match event.get("type").and_then(Value::as_str) {
            Some("error") => return Err(failure(event)),
            Some("response.completed" | "response.incomplete" | "response.failed") => {
                whole = event.get("response").cloned();
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    })
    .await?;
    match whole {
        Some(whole) => read(&whole),
        None => Err(Problem::Cut("the stream ends without an end".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;
    use serde_json::json;

    use super::super::answer::{Answer, Call, Problem};
    use super::super::functions::tests::functions;
    use super::{body, read, read_stream};
    use crate::assistant::ModelOptions;

    #[test]
    fn a_conversation_is_a_list_of_items() {
        let options = ModelOptions {
            base_url: String::new(),
            api_key: None,
            model: "m".into(),
            stream: false,
            api: None,
        };
        let said = [
            json!({ "role": "system", "content": "be brief" }),
            json!({ "role": "user", "content": "show it" }),
            json!({ "role": "assistant", "content": "", "tool_calls": [
                { "id": "a", "type": "function", "function": { "name": "gateway_get", "arguments": "{}" } }] }),
            json!({ "role": "tool", "tool_call_id": "a", "content": "one" }),
        ];
        let body = body(&options, &said, &functions(), true);
        assert_eq!((&body["instructions"], &body["store"]), (&json!("be brief"), &json!(false)));
        let wanted = json!([
            { "role": "user", "content": "show it" },
            { "type": "function_call", "call_id": "a", "name": "gateway_get", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "a", "output": "one" },
        ]);
        assert_eq!(body["input"], wanted);
        assert_eq!(
            (&body["tools"][0]["name"], &body["tools"][0]["strict"]),
            (&json!("gateway_get"), &json!(true))
        );
    }

    fn answer() -> serde_json::Value {
        json!({ "status": "completed", "usage": { "input_tokens": 20, "output_tokens": 5, "total_tokens": 25 }, "output": [
            { "type": "reasoning", "summary": [] },
            { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "Looking" }] },
            { "type": "function_call", "call_id": "a", "name": "f", "arguments": "{\"x\":1}" },
        ] })
    }

    fn wanted() -> Answer {
        let call = Call { id: "a".into(), name: "f".into(), arguments: "{\"x\":1}".into() };
        Answer { text: "Looking".into(), calls: vec![call], tokens: Some(25), ..Answer::default() }
    }

    #[test]
    fn items_become_one_answer() {
        assert_eq!(read(&answer()), Ok(wanted()));
        let cut = json!({ "status": "incomplete", "incomplete_details": { "reason": "max_output_tokens" }, "output": [] });
        assert!(read(&cut).unwrap().is_cut);
        let failed = json!({ "status": "failed", "error": { "message": "no quota" } });
        assert_eq!(read(&failed), Err(Problem::Nonsense("no quota".into())));
        assert!(matches!(read(&json!({})), Err(Problem::Nonsense(_))));
    }

    #[tokio::test]
    async fn the_last_event_holds_all_of_it() {
        let streamed = async |events: &[serde_json::Value]| {
            let text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
            let chunks: Vec<_> =
                text.as_bytes().chunks(7).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            read_stream(stream::iter(chunks)).await
        };
        let piece = json!({ "type": "response.output_text.delta", "delta": "Look" });
        let end = json!({ "type": "response.completed", "response": answer() });
        assert_eq!(streamed(&[piece.clone(), end]).await, Ok(wanted()));
        assert!(matches!(streamed(&[piece]).await, Err(Problem::Cut(_))));
        let error = json!({ "type": "error", "message": "slow down" });
        assert_eq!(streamed(&[error]).await, Err(Problem::Nonsense("slow down".into())));
    }
}
