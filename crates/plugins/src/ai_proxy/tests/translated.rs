//! Clients of Anthropic's protocol in front of a provider of `OpenAI`'s, and what log lines hold of conversations.

use serde_json::{Value, json};
use usher_model::variables::Variables as _;
use usher_pipeline::harness::harness;
use usher_pipeline::reply::Reply;

use super::{JSON, PLUGIN, bench, body, chat, sent};

fn message(more: Value) -> String {
    let mut body = json!({ "model": "claude", "max_tokens": 9, "system": "be kind",
        "messages": [{ "role": "user", "content": "hi" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

#[test]
fn a_message_is_asked_and_answered_by_a_provider_of_chat_completions() {
    let call =
        json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let answer = json!({
        "id": "x", "model": "gpt", "usage": { "prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": { "cached_tokens": 2 } },
        "choices": [{ "finish_reason": "tool_calls", "message": { "content": "well", "tool_calls": [call] } }],
    });
    let mut bench = bench(json!({ "options": { "model": "gpt-4o" } }))
        .upstream(move |_| Reply::text(200, "application/json", answer.to_string()));
    let outcome = bench.send("POST", "/v1/messages", JSON, message(json!({})));
    assert_eq!(outcome.expect_status(200).seen().target, "/v1/chat/completions");
    assert_eq!(
        sent(&outcome),
        json!({ "model": "gpt-4o", "max_completion_tokens": 9, "messages": [
            { "role": "system", "content": "be kind" }, { "role": "user", "content": "hi" },
        ] })
    );
    let heard: Value = serde_json::from_str(outcome.text()).unwrap();
    assert_eq!(
        heard,
        json!({ "id": "x", "type": "message", "role": "assistant", "model": "gpt",
            "content": [{ "type": "text", "text": "well" }, { "type": "tool_use", "id": "c1", "name": "f", "input": { "a": 1 } }],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": { "input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 7 } })
    );
    assert_eq!(outcome.exchange.variable("llm_total_tokens").unwrap(), "12".as_bytes());
}

#[test]
fn a_stream_is_translated_as_it_comes_and_a_refusal_is_left_as_it_is() {
    let chunks = "data: {\"id\":\"x\",\"model\":\"gpt\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9}}\n\ndata: [DONE]\n\n";
    let mut good = bench(json!({})).upstream(move |_| Reply::text(200, "text/event-stream", chunks));
    let outcome = good.send("POST", "/v1/messages", JSON, message(json!({ "stream": true })));
    assert_eq!(sent(&outcome)["stream_options"], json!({ "include_usage": true }));
    let names: Vec<&str> = outcome.text().lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert_eq!(outcome.exchange.variable("llm_completion_tokens").unwrap(), "9".as_bytes());
    let mut refused = bench(json!({})).upstream(|_| Reply::text(429, "application/json", "{\"error\":1}"));
    let outcome = refused.send("POST", "/v1/messages", JSON, message(json!({})));
    assert_eq!(outcome.expect_status(429).text(), "{\"error\":1}");
    let bad = message(json!({ "messages": [{ "role": "user", "content": [{ "type": "document" }] }] }));
    let outcome = bench(json!({})).send("POST", "/v1/messages", JSON, bad);
    assert!(outcome.expect_status(400).upstream.is_none());
    assert!(outcome.text().contains("messages[0] has a part of type"), "{}", outcome.text());
}

#[test]
fn log_lines_hold_of_conversations_what_is_asked_for() {
    let whole = json!({ "choices": [{ "message": { "content": "a\u{e9}" } }], "usage": { "prompt_tokens": 5, "completion_tokens": 7 } });
    let events = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\u{e9}\"}}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\n";
    for (kind, answer) in [("application/json", whole.to_string()), ("text/event-stream", events.to_owned())]
    {
        for (logging, summary, payload) in [
            (json!({}), false, false),
            (json!({ "summaries": true }), true, false),
            (json!({ "payloads": true }), false, true),
        ] {
            let answer = answer.clone();
            let mut bench = harness(&PLUGIN, body(json!({ "logging": logging })))
                .upstream(move |_| Reply::text(200, kind, answer.clone()));
            let outcome = bench.send("POST", "/", JSON, chat(json!({})));
            let told = |name: &str| {
                let told = outcome.exchange.variable(name)?;
                Some(serde_json::from_slice::<Value>(&told).unwrap())
            };
            let wanted =
                json!({ "model": "mine", "duration": 0.0, "prompt_tokens": 5, "completion_tokens": 7 });
            assert_eq!(told("llm_summary"), summary.then_some(wanted));
            let said = json!({ "messages": [{ "role": "user", "content": "hi" }], "stream": false });
            assert_eq!(told("llm_request"), payload.then_some(said));
            assert_eq!(told("llm_response_text"), payload.then(|| json!({ "content": "a\u{e9}" })));
        }
    }
    // A long conversation is cut, and no stranger to the model's answer.
    let long = chat(json!({ "messages": [{ "role": "user", "content": "x".repeat(100_000) }] }));
    let outcome = bench(json!({ "logging": { "payloads": true } })).send("POST", "/", JSON, long);
    let told: Value = serde_json::from_slice(&outcome.exchange.variable("llm_request").unwrap()).unwrap();
    assert_eq!(told["messages"].as_str().map(str::len), Some(64 << 10));
}
