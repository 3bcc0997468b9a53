//! A request of Anthropic's messages, as one for `OpenAI`'s chat completions.

use serde_json::{Map, Value, json};

/// Members that mean the same in both.
const SAME: [&str; 6] = ["model", "max_tokens", "temperature", "top_p", "stream", "service_tier"];

/// The same request for chat completions; `newer` where the provider has given the bound of an answer's length its newer name.
///
/// # Errors
/// The sentence of what has no counterpart there.
pub(in crate::ai) fn question(body: &Map<String, Value>, newer: bool) -> Result<Map<String, Value>, String> {
    let mut question = Map::new();
    for name in SAME {
        if let Some(value) = body.get(name) {
            let name = if newer && name == "max_tokens" { "max_completion_tokens" } else { name };
            question.insert(name.to_owned(), value.clone());
        }
    }
    let mut messages = Vec::new();
    if let Some(system) = body.get("system").map(words).filter(|system| !system.is_empty()) {
        messages.push(json!({ "role": "system", "content": system }));
    }
    for (at, message) in body.get("messages").and_then(Value::as_array).into_iter().flatten().enumerate() {
        add(&mut messages, message).map_err(|reason| format!("messages[{at}] {reason}"))?;
    }
    question.insert("messages".to_owned(), messages.into());
    if let Some(stops) = body.get("stop_sequences") {
        question.insert("stop".to_owned(), stops.clone());
    }
    if let Some(user) = body.get("metadata").and_then(|data| data.get("user_id")) {
        question.insert("user".to_owned(), user.clone());
    }
    if let Some(tools) = body.get("tools").and_then(Value::as_array).filter(|tools| !tools.is_empty()) {
        let tools: Vec<Value> = tools.iter().enumerate().map(tool).collect::<Result<_, _>>()?;
        question.insert("tools".to_owned(), tools.into());
    }
    if let Some(choice) = body.get("tool_choice") {
        let kind = choice.get("type").and_then(Value::as_str);
        let wanted = match kind {
            Some("any") => json!("required"),
            Some("none") => json!("none"),
            Some("tool") => json!({ "type": "function", "function": { "name": choice.get("name") } }),
            _ => json!("auto"),
        };
        question.insert("tool_choice".to_owned(), wanted);
        if choice.get("disable_parallel_tool_use") == Some(&Value::Bool(true)) {
            question.insert("parallel_tool_calls".to_owned(), false.into());
        }
    }
    Ok(question)
}

/// The text of what is one, or a list of parts of which some are texts.
fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn tool((at, tool): (usize, &Value)) -> Result<Value, String> {
    let name = tool.get("name").and_then(Value::as_str);
    let (Some(name), Some(schema)) = (name, tool.get("input_schema")) else {
        // Such as a search that Anthropic's own servers run.
        return Err(format!(
            "tools[{at}] has no name and input_schema, and only such tools are known to this provider"
        ));
    };
    let mut function = json!({ "name": name, "parameters": schema });
    if let (Some(about), Some(function)) = (tool.get("description"), function.as_object_mut()) {
        function.insert("description".to_owned(), about.clone());
    }
    Ok(json!({ "type": "function", "function": function }))
}

/// One message, which may become several: results of tools are messages of their own there.
fn add(messages: &mut Vec<Value>, message: &Value) -> Result<(), String> {
    let role = message.get("role").and_then(Value::as_str).ok_or("has no role")?;
    let parts = match message.get("content") {
        Some(Value::String(text)) => {
            messages.push(json!({ "role": role, "content": text }));
            return Ok(());
        }
        Some(Value::Array(parts)) => parts,
        _ => return Err("has no content".to_owned()),
    };
    let (mut said, mut calls) = (Vec::new(), Vec::new());
    for part in parts {
        match part.get("type").and_then(Value::as_str).unwrap_or_default() {
            "text" => said.push(json!({ "type": "text", "text": part.get("text") })),
            "image" => said.push(image(part)?),
            "tool_use" => {
                let input = part.get("input").cloned().unwrap_or_else(|| json!({})).to_string();
                let function = json!({ "name": part.get("name"), "arguments": input });
                calls.push(json!({ "id": part.get("id"), "type": "function", "function": function }));
            }
            "tool_result" => {
                let content = part.get("content").map(words).unwrap_or_default();
                messages.push(
                    json!({ "role": "tool", "tool_call_id": part.get("tool_use_id"), "content": content }),
                );
            }
            // What a model has thought is its own.
            "thinking" | "redacted_thinking" => {}
            other => {
                return Err(format!(
                    "has a part of type {other:?}; this provider takes text, image, tool_use and tool_result"
                ));
            }
        }
    }
    if said.is_empty() && calls.is_empty() {
        return Ok(());
    }
    let only_words = said.iter().all(|part| part.get("type").is_some_and(|kind| kind == "text"));
    let content = match said.is_empty() {
        true => Value::Null,
        false if only_words => words(&Value::Array(said)).into(),
        false => Value::Array(said),
    };
    let mut message = json!({ "role": role, "content": content });
    if let (false, Some(message)) = (calls.is_empty(), message.as_object_mut()) {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    messages.push(message);
    Ok(())
}

fn image(part: &Value) -> Result<Value, String> {
    let said = |name: &str| part.get("source")?.get(name)?.as_str();
    let url = match (said("type"), said("url"), said("media_type"), said("data")) {
        (Some("url"), Some(url), ..) => url.to_owned(),
        (Some("base64"), _, Some(kind), Some(data)) => format!("data:{kind};base64,{data}"),
        _ => return Err("has an image whose source is neither base64 nor url".to_owned()),
    };
    Ok(json!({ "type": "image_url", "image_url": { "url": url } }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::question;

    fn asked(body: &Value) -> Result<Value, String> {
        question(body.as_object().unwrap(), false).map(Value::Object)
    }

    #[test]
    fn a_conversation_with_tools_is_the_same_one() {
        let body = json!({
            "model": "m", "max_tokens": 10, "stream": true, "stop_sequences": ["x"], "top_k": 5,
            "metadata": { "user_id": "u" }, "system": [{ "type": "text", "text": "be" }, { "type": "text", "text": "kind" }],
            "tools": [{ "name": "t", "description": "d", "input_schema": { "type": "object" } }],
            "tool_choice": { "type": "tool", "name": "t", "disable_parallel_tool_use": true },
            "messages": [
                { "role": "user", "content": "hi" },
                { "role": "assistant", "content": [
                    { "type": "thinking", "thinking": "hm" }, { "type": "text", "text": "let me look" },
                    { "type": "tool_use", "id": "c1", "name": "t", "input": { "a": 1 } },
                ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "c1", "content": [{ "type": "text", "text": "42" }] },
                    { "type": "text", "text": "and?" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AA==" } },
                ] },
            ],
        });
        assert_eq!(
            asked(&body),
            Ok(json!({
                "model": "m", "max_tokens": 10, "stream": true, "stop": ["x"], "user": "u",
                "tools": [{ "type": "function", "function": { "name": "t", "description": "d", "parameters": { "type": "object" } } }],
                "tool_choice": { "type": "function", "function": { "name": "t" } }, "parallel_tool_calls": false,
                "messages": [
                    { "role": "system", "content": "be\nkind" },
                    { "role": "user", "content": "hi" },
                    { "role": "assistant", "content": "let me look",
                        "tool_calls": [{ "id": "c1", "type": "function", "function": { "name": "t", "arguments": "{\"a\":1}" } }] },
                    { "role": "tool", "tool_call_id": "c1", "content": "42" },
                    { "role": "user", "content": [
                        { "type": "text", "text": "and?" },
                        { "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } },
                    ] },
                ],
            }))
        );
    }

    #[test]
    fn what_has_no_counterpart_is_refused_by_name() {
        for (messages, more, sentence) in [
            (json!([{ "content": "x" }]), json!(null), "messages[0] has no role"),
            (json!([{ "role": "user" }]), json!(null), "messages[0] has no content"),
            (
                json!([{ "role": "user", "content": [{ "type": "document" }] }]),
                json!(null),
                "a part of type \"document\"",
            ),
            (
                json!([{ "role": "user", "content": [{ "type": "image" }] }]),
                json!(null),
                "neither base64 nor url",
            ),
            (
                json!([]),
                json!([{ "type": "web_search_20250305", "name": "web_search" }]),
                "tools[0] has no name and input_schema",
            ),
        ] {
            let error = asked(&json!({ "messages": messages, "tools": more })).unwrap_err();
            assert!(error.contains(sentence), "{error}");
        }
    }
}
