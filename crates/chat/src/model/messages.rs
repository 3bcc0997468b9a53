//! Anthropic's messages: what the system says stands apart, results of tools are the user's, and an answer is a list of blocks.

use std::io;

use bytes::Bytes;
use futures_util::Stream;
use serde_json::{Map, Value, json};

use super::Functions;
use super::answer::{Answer, Call, Problem, failure, text, usage};
use super::stream::events;
use crate::assistant::ModelOptions;

/// The longest answer that is asked for, in tokens; the API wants to be told.
const MOST_TOKENS: u32 = 8192;

/// What is asked. Roles take turns there, so that what follows upon the same role is one message.
pub(super) fn body(options: &ModelOptions, said: &[Value], functions: &Functions) -> Value {
    let mut system = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in said {
        let (role, blocks) = match message.get("role").and_then(Value::as_str).unwrap_or_default() {
            "system" => {
                system.push(text(message.get("content")));
                continue;
            }
            "assistant" => ("assistant", spoken(message)),
            "tool" => ("user", vec![result(message)]),
            _ => ("user", vec![json!({ "type": "text", "text": text(message.get("content")) })]),
        };
        match turns.last_mut() {
            Some((last, all)) if *last == role => all.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    let turns = turns.into_iter().filter(|(_, blocks)| !blocks.is_empty());
    let messages: Vec<Value> =
        turns.map(|(role, content)| json!({ "role": role, "content": content })).collect();
    let tools: Vec<Value> = functions
        .all()
        .map(|tool| json!({ "name": tool.name, "description": tool.description, "input_schema": tool.input }))
        .collect();
    json!({
        "model": options.model, "max_tokens": MOST_TOKENS, "system": system.join("\n\n"), "messages": messages, "tools": tools,
        "stream": options.stream,
    })
}

/// What the model said and called.
fn spoken(message: &Value) -> Vec<Value> {
    let mut blocks = Vec::new();
    let said = text(message.get("content"));
    if !said.trim().is_empty() {
        blocks.push(json!({ "type": "text", "text": said }));
    }
    for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let function = |name: &str| {
            call.pointer(&format!("/function/{name}")).and_then(Value::as_str).unwrap_or_default()
        };
        let input: Map<String, Value> = serde_json::from_str(function("arguments")).unwrap_or_default();
        blocks.push(
            json!({ "type": "tool_use", "id": call.get("id"), "name": function("name"), "input": input }),
        );
    }
    blocks
}

fn result(message: &Value) -> Value {
    json!({
        "type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": text(message.get("content")),
    })
}

/// Reads a whole answer.
pub(super) fn read(value: &Value) -> Result<Answer, Problem> {
    let blocks = value.get("content").and_then(Value::as_array);
    let blocks = blocks.ok_or_else(|| Problem::Nonsense("it has no content".to_owned()))?;
    let mut answer = Answer::default();
    for block in blocks {
        match block.get("type").and_then(Value::as_str) {
            Some("text") => answer.text.push_str(&text(block.get("text"))),
            Some("tool_use") => answer.calls.push(called(block)),
            _ => {}
        }
    }
    answer.tokens = usage(value);
    answer.is_cut = value.get("stop_reason").and_then(Value::as_str) == Some("max_tokens");
    Ok(answer.with_ids())
}

fn called(block: &Value) -> Call {
    let word = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let input = block.get("input").filter(|input| input.as_object().is_some_and(|input| !input.is_empty()));
    Call { id: word("id"), name: word("name"), arguments: input.map(Value::to_string).unwrap_or_default() }
}

/// Reads an answer that comes block by block, each in pieces.
pub(super) async fn read_stream(
    chunks: impl Stream<Item = Result<Bytes, io::Error>> + Unpin,
) -> Result<Answer, Problem> {
    let mut answer = Answer::default();
    // Where the call of each block stands in the answer.
    let mut places: Vec<(u64, usize)> = Vec::new();
    // The question is counted when the message begins, and the answer so far with each change of it.
    let (mut asked, mut answered) = (None, None);
    let ended = events(chunks, |event| {
        let index = event.get("index").and_then(Value::as_u64).unwrap_or_default();
        match event.get("type").and_then(Value::as_str) {
            Some("error") => return Err(failure(event)),
            Some("content_block_start") => {
                let block = event.get("content_block").unwrap_or(&Value::Null);
                answer.text.push_str(&text(block.get("text")));
                if block.get("type").and_then(Value::as_str) == Some("tool_use") {
                    places.push((index, answer.calls.len()));
                    answer.calls.push(called(block));
                }
            }
            Some("content_block_delta") => {
                let delta = event.get("delta").unwrap_or(&Value::Null);
                answer.text.push_str(&text(delta.get("text")));
                let place = places.iter().rev().find(|(block, _)| *block == index).map(|(_, at)| *at);
                if let Some(call) = place.and_then(|at| answer.calls.get_mut(at)) {
                    call.arguments.push_str(&text(delta.get("partial_json")));
                }
            }
            Some("message_start") => {
                let question = event.pointer("/message").and_then(usage);
                let begun = event.pointer("/message/usage/output_tokens").and_then(Value::as_u64);
                asked = question.map(|all| all.saturating_sub(begun.unwrap_or_default()));
            }
            Some("message_delta") => {
                answered = event.pointer("/usage/output_tokens").and_then(Value::as_u64).or(answered);
                let reason = event.pointer("/delta/stop_reason").and_then(Value::as_str);
                answer.is_cut |= reason == Some("max_tokens");
            }
            Some("message_stop") => return Ok(true),
            _ => {}
        }
        Ok(false)
    })
    .await?;
    if !ended {
        return Err(Problem::Cut("the stream ends without an end".to_owned()));
    }
    answer.tokens = asked.map(|asked| asked + answered.unwrap_or_default());
    Ok(answer.with_ids())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;
    use serde_json::{Value, json};

    use super::super::answer::{Answer, Call, Problem};
    use super::super::functions::tests::functions;
    use super::{body, read, read_stream};
    use crate::assistant::ModelOptions;

    fn options() -> ModelOptions {
        ModelOptions { base_url: String::new(), api_key: None, model: "m".into(), stream: true, api: None }
    }

    #[test]
    fn a_conversation_is_told_in_turns() {
        let call = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "gateway_get", "arguments": "{\"id\":\"1\"}" } });
        let said = [
            json!({ "role": "system", "content": "be brief" }),
            json!({ "role": "user", "content": "show both" }),
            json!({ "role": "assistant", "content": "", "tool_calls": [call("a"), call("b")] }),
            json!({ "role": "tool", "tool_call_id": "a", "content": "one" }),
            json!({ "role": "tool", "tool_call_id": "b", "content": "two" }),
            json!({ "role": "assistant", "content": "there they are" }),
        ];
        let body = body(&options(), &said, &functions());
        assert_eq!(body["system"], "be brief");
        let roles: Vec<&Value> =
            body["messages"].as_array().unwrap().iter().map(|one| &one["role"]).collect();
        assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
        let used = json!({ "type": "tool_use", "id": "a", "name": "gateway_get", "input": { "id": "1" } });
        assert_eq!(body["messages"][1]["content"][0], used);
        let results = body["messages"][2]["content"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        assert_eq!(results[1], json!({ "type": "tool_result", "tool_use_id": "b", "content": "two" }));
        assert_eq!(body["tools"][0]["input_schema"]["type"], "object");
    }

    fn wanted() -> Answer {
        let call =
            |id: &str, arguments: &str| Call { id: id.into(), name: "f".into(), arguments: arguments.into() };
        Answer {
            text: "Looking ü".into(),
            calls: vec![call("a", "{\"x\":1}"), call("b", "")],
            is_cut: false,
            tokens: Some(25),
        }
    }

    #[test]
    fn blocks_become_one_answer() {
        let answer = json!({ "content": [
            { "type": "thinking", "thinking": "hm" },
            { "type": "text", "text": "Looking ü" },
            { "type": "tool_use", "id": "a", "name": "f", "input": { "x": 1 } },
            { "type": "tool_use", "id": "b", "name": "f", "input": {} },
        ], "stop_reason": "tool_use", "usage": { "input_tokens": 10, "cache_read_input_tokens": 8, "output_tokens": 7 } });
        assert_eq!(read(&answer), Ok(wanted()));
        let cut = read(&json!({ "content": [], "stop_reason": "max_tokens" })).unwrap();
        assert!(cut.is_cut);
        assert!(matches!(read(&json!({})), Err(Problem::Nonsense(_))));
    }

    #[tokio::test]
    async fn pieces_of_blocks_are_put_together() {
        let events = [
            r#"{"type":"message_start","message":{"content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":8,"output_tokens":1}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Looking ü"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"b","name":"f","input":{}}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"x\""}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":":1}"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":7}}"#,
            r#"{"type":"message_stop"}"#,
        ];
        let text: String = events.iter().map(|data| format!("event: x\ndata: {data}\n\n")).collect();
        let streamed = async |text: &str, size: usize| {
            let chunks: Vec<_> =
                text.as_bytes().chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            read_stream(stream::iter(chunks)).await
        };
        for size in [1, 64, 100_000] {
            assert_eq!(streamed(&text, size).await, Ok(wanted()), "chunks of {size}");
        }
        assert!(matches!(streamed("data: {\"type\":\"ping\"}\n\n", 9).await, Err(Problem::Cut(_))));
        let overloaded = "data: {\"type\":\"error\",\"error\":{\"message\":\"overloaded\"}}\n\n";
        assert_eq!(streamed(overloaded, 9).await, Err(Problem::Nonsense("overloaded".into())));
    }
}
