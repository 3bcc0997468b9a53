//! A model's message, as many forms as it comes in.

use std::collections::HashSet;

use serde_json::{Value, json};

/// Calls in one message that are looked at.
const MOST_CALLS: usize = 64;

/// A model's message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What it says; empty for nothing.
    pub(crate) text: String,
    /// What it calls, in order.
    pub(crate) calls: Vec<Call>,
    /// Whether it was cut at the server's limit of length.
    pub(crate) is_cut: bool,
    /// The tokens of question and answer together, where the server counts them.
    pub(crate) tokens: Option<u64>,
}

/// A call of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    /// As they came; meant to be JSON.
    pub(crate) arguments: String,
}

/// Why a body is no message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It ends too early.
    Cut(String),
    /// It is something else.
    Nonsense(String),
}

impl Answer {
    /// The message as the conversation keeps it. Arguments that are no JSON would be refused by some servers.
    pub(crate) fn message(&self) -> Value {
        let calls: Vec<Value> = self
            .calls
            .iter()
            .map(|call| {
                let valid = serde_json::from_str::<Value>(&call.arguments).is_ok_and(|value| value.is_object());
                let arguments = if valid { call.arguments.as_str() } else { "{}" };
                json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": arguments } })
            })
            .collect();
        let mut message = json!({ "role": "assistant", "content": self.text });
        if let Some(members) = message.as_object_mut().filter(|_| !calls.is_empty()) {
            members.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        message
    }

    /// Gives every call an id of its own: some servers leave them out, some say the same twice.
    pub(super) fn with_ids(mut self) -> Self {
        self.calls.truncate(MOST_CALLS);
        let mut seen = HashSet::new();
        for (at, call) in self.calls.iter_mut().enumerate() {
            if call.id.is_empty() || !seen.insert(call.id.clone()) {
                call.id = format!("call_{at}_{}", call.name);
                seen.insert(call.id.clone());
            }
        }
        self
    }
}

/// Reads a whole answer.
pub(super) fn read(body: &[u8]) -> Result<Answer, Problem> {
    let value = parsed(body)?;
    let choice =
        value.pointer("/choices/0").ok_or_else(|| Problem::Nonsense("it has no choices".to_owned()))?;
    let message = choice.get("message").filter(|message| message.is_object());
    let message = message.ok_or_else(|| Problem::Nonsense("its choice has no message".to_owned()))?;
    let listed = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let mut calls: Vec<Call> = listed.filter_map(call).collect();
    // The form before tool_calls.
    let older = message.get("function_call").filter(|_| calls.is_empty());
    calls.extend(older.and_then(|function| call(&json!({ "function": function }))));
    let said = text(message.get("content"));
    let said = if said.is_empty() { text(message.get("refusal")) } else { said };
    let is_cut = choice.get("finish_reason").and_then(Value::as_str) == Some("length");
    Ok(Answer { text: said, calls, is_cut, tokens: usage(&value) }.with_ids())
}

/// The tokens that a server counted: all of them, or those of question and answer, which have other names elsewhere.
pub(super) fn usage(value: &Value) -> Option<u64> {
    let usage = value.get("usage")?;
    let number = |name: &str| usage.get(name).and_then(Value::as_u64);
    let asked = ["prompt_tokens", "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
    let answered = ["completion_tokens", "output_tokens"];
    number("total_tokens").or_else(|| {
        let parts: Vec<u64> = asked.into_iter().chain(answered).filter_map(number).collect();
        (!parts.is_empty()).then(|| parts.iter().fold(0_u64, |sum, part| sum.saturating_add(*part)))
    })
}

/// A body as JSON, unless it says that something failed.
pub(super) fn parsed(body: &[u8]) -> Result<Value, Problem> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        if error.is_eof() {
            Problem::Cut("the answer ends in the middle".to_owned())
        } else {
            Problem::Nonsense(format!(
                "no JSON, but {}",
                String::from_utf8_lossy(body.get(..80).unwrap_or(body))
            ))
        }
    })?;
    match value.get("error") {
        Some(error) if !error.is_null() => Err(failure(&value)),
        _ => Ok(value),
    }
}

/// What a server says that failed.
pub(super) fn failure(value: &Value) -> Problem {
    let said =
        ["/error/message", "/error", "/message"].iter().find_map(|place| value.pointer(place)?.as_str());
    Problem::Nonsense(said.map_or_else(|| value.to_string(), str::to_owned))
}

fn call(value: &Value) -> Option<Call> {
    let function = value.get("function")?;
    let name = function.get("name")?.as_str()?.to_owned();
    let id = value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Call { id, name, arguments: arguments(function.get("arguments")) })
}

/// Arguments as text; some servers send the object itself.
pub(super) fn arguments(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Content as text: a string, or a list of parts.
pub(super) fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Answer, Call, Problem, read};

    fn called(id: &str, name: &str, arguments: &str) -> Call {
        Call { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
    }

    #[test]
    fn messages_are_read_in_all_their_forms() {
        let cases = [
            (json!({ "choices": [{ "message": { "content": "hi" } }] }), "hi", vec![], false),
            (
                json!({ "choices": [{ "message": { "content": [{ "type": "text", "text": "a" }, { "text": "b" }] } }], "x": 1 }),
                "ab",
                vec![],
                false,
            ),
            (
                json!({ "choices": [{ "message": { "content": null, "refusal": "no" }, "finish_reason": "stop" }] }),
                "no",
                vec![],
                false,
            ),
            (
                json!({ "choices": [{ "message": { "tool_calls": [
                    { "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"x\":1}" } },
                    { "id": "a", "function": { "name": "g", "arguments": { "y": 2 } } },
                    { "function": { "name": "h" } },
                    { "function": {} },
                ] }, "finish_reason": "length" }] }),
                "",
                vec![
                    called("a", "f", "{\"x\":1}"),
                    called("call_1_g", "g", "{\"y\":2}"),
                    called("call_2_h", "h", ""),
                ],
                true,
            ),
            (
                json!({ "choices": [{ "message": { "function_call": { "name": "f", "arguments": "{}" } } }] }),
                "",
                vec![called("call_0_f", "f", "{}")],
                false,
            ),
        ];
        for (body, text, calls, is_cut) in cases {
            let wanted = Answer { text: text.to_owned(), calls, is_cut, tokens: None };
            assert_eq!(read(body.to_string().as_bytes()), Ok(wanted), "{body}");
        }
    }

    #[test]
    fn what_is_no_message_is_told_apart_from_what_broke_off() {
        assert!(matches!(read(b"{\"choices\": [{\"mess"), Err(Problem::Cut(_))));
        for body in [
            "<html>",
            "{}",
            "{\"choices\":[]}",
            "{\"choices\":[{\"message\":3}]}",
            "{\"error\":{\"message\":\"x\"}}",
            "[]",
        ] {
            assert!(matches!(read(body.as_bytes()), Err(Problem::Nonsense(_))), "{body}");
        }
    }

    #[test]
    fn arguments_that_are_no_object_are_not_sent_back() {
        let answer = Answer { calls: vec![called("a", "f", "{oops")], ..Answer::default() };
        assert_eq!(answer.message()["tool_calls"][0]["function"]["arguments"], "{}");
    }
}
