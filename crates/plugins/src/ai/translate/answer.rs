//! A whole answer of `OpenAI`'s chat completions, as a message of Anthropic's.

use serde_json::{Value, json};
use usher_pipeline::body::BodyError;

use super::{Held, Translate, refused};

/// Makes of a chat completion a message.
#[derive(Default)]
pub(super) struct Answer(Held);

impl Translate for Answer {
    fn chunk(&mut self, bytes: &[u8]) -> Result<Vec<u8>, BodyError> {
        self.0.take(bytes)?;
        Ok(Vec::new())
    }

    fn end(&mut self) -> Result<Vec<u8>, BodyError> {
        let answer: Value = serde_json::from_slice(self.0.bytes()).map_err(|_| refused("is no JSON"))?;
        Ok(message(&answer).ok_or_else(|| refused("has no choice"))?.to_string().into_bytes())
    }
}

/// Why a model stopped, in the words of Anthropic's.
pub(super) fn stop_reason(reason: &str) -> &'static str {
    match reason {
        "length" => "max_tokens",
        "tool_calls" | "function_call" => "tool_use",
        "content_filter" => "refusal",
        _ => "end_turn",
    }
}

/// What an answer cost, in the words of Anthropic's.
pub(super) fn usage(said: &Value) -> Value {
    let number = |pointer: &str| said.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let cached = number("/usage/prompt_tokens_details/cached_tokens");
    json!({
        "input_tokens": number("/usage/prompt_tokens").saturating_sub(cached),
        "cache_read_input_tokens": cached,
        "output_tokens": number("/usage/completion_tokens"),
    })
}

fn message(answer: &Value) -> Option<Value> {
    let choice = answer.pointer("/choices/0")?;
    let said = choice.get("message")?;
    let mut content = Vec::new();
    if let Some(text) = said.get("content").and_then(Value::as_str).filter(|text| !text.is_empty()) {
        content.push(json!({ "type": "text", "text": text }));
    }
    for call in said.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let arguments = call.pointer("/function/arguments").and_then(Value::as_str).unwrap_or_default();
        // What a model makes up instead of JSON is shown to whoever has to judge it.
        let input = serde_json::from_str(arguments).unwrap_or_else(|_| match arguments {
            "" => json!({}),
            other => json!({ "arguments": other }),
        });
        let name = call.pointer("/function/name");
        content.push(json!({ "type": "tool_use", "id": call.get("id"), "name": name, "input": input }));
    }
    let reason = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
    Some(json!({
        "id": answer.get("id"), "type": "message", "role": "assistant", "model": answer.get("model"),
        "content": content, "stop_reason": stop_reason(reason), "stop_sequence": null, "usage": usage(answer),
    }))
}
