//! What a provider and a client see of `ai-proxy`.
#![cfg(test)]

mod clouds;
mod translated;

use serde_json::{Value, json};
use usher_model::variables::Variables as _;
use usher_pipeline::harness::{Harness, Outcome, harness, try_harness};
use usher_pipeline::reply::Reply;

use super::PLUGIN;

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn body(more: Value) -> Value {
    let mut body = json!({ "provider": "openai", "auth": { "header": { "Authorization": "Bearer sk-1" } } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn bench(more: Value) -> Harness {
    let usage =
        json!({ "choices": [], "usage": { "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12 } });
    harness(&PLUGIN, body(more)).upstream(move |_| Reply::text(200, "application/json", usage.to_string()))
}

fn sent(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.seen().body).unwrap()
}

fn chat(more: Value) -> String {
    let mut body = json!({ "model": "mine", "messages": [{ "role": "user", "content": "hi" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

#[test]
fn a_request_goes_to_the_provider_with_its_key_and_without_the_clients() {
    let mut bench = bench(json!({
        "auth": { "header": { "Authorization": "Bearer sk-1" }, "query": { "key": "q 1" } },
        "options": { "model": "gpt-4o", "temperature": 0.5 },
        "timeout": 5000,
    }));
    let fields = [
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer clients"),
        ("Cookie", "a=b"),
        ("apikey", "clients"),
        ("X-Own", "kept"),
        ("Accept-Encoding", "gzip"),
    ];
    let outcome = bench.send("POST", "/anything?own=1", &fields, chat(json!({ "temperature": 1 })));
    let seen = outcome.expect_status(200).seen();
    assert_eq!(seen.target, "/v1/chat/completions?key=q%201");
    for (name, value) in [
        ("authorization", Some("Bearer sk-1")),
        ("cookie", None),
        ("apikey", None),
        ("x-own", Some("kept")),
        ("accept-encoding", None),
    ] {
        assert_eq!(seen.head.get_str(name), value, "{name}");
    }
    let target = seen.target_json.as_ref().unwrap();
    assert_eq!(target["nodes"], json!([{ "host": "api.openai.com", "port": 443, "weight": 1 }]));
    assert_eq!((&target["scheme"], &target["tls"]["verify"]), (&json!("https"), &json!(true)));
    assert_eq!(target["timeout"], json!({ "connect": 5.0, "send": 5.0, "read": 5.0 }));
    let sent = sent(&outcome);
    assert_eq!((&sent["model"], &sent["temperature"]), (&json!("gpt-4o"), &json!(0.5)));
    for (name, value) in [
        ("request_llm_model", "mine"),
        ("llm_model", "gpt-4o"),
        ("llm_prompt_tokens", "5"),
        ("llm_completion_tokens", "7"),
    ] {
        assert_eq!(outcome.exchange.variable(name).unwrap(), value.as_bytes(), "{name}");
    }
}

#[test]
fn a_stream_goes_on_as_it_comes_and_is_asked_for_what_it_cost() {
    let events = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9}}\n\ndata: [DONE]\n\n";
    let mut bench = bench(json!({})).upstream(move |_| Reply::text(200, "text/event-stream", events));
    let outcome = bench.send("POST", "/", JSON, chat(json!({ "stream": true })));
    assert_eq!(outcome.text(), events);
    assert_eq!(sent(&outcome)["stream_options"], json!({ "include_usage": true }));
    assert_eq!(outcome.exchange.variable("llm_completion_tokens").unwrap(), "9".as_bytes());
}

#[test]
fn providers_are_where_they_are_and_take_what_they_take() {
    for (provider, endpoint, path, host, target) in [
        ("deepseek", None, "/v1/chat/completions", "api.deepseek.com", "/chat/completions"),
        ("anthropic", None, "/v1/messages", "api.anthropic.com", "/v1/messages"),
        ("anthropic", None, "/v1/chat/completions", "api.anthropic.com", "/v1/chat/completions"),
        ("openrouter", None, "/", "openrouter.ai", "/api/v1/chat/completions"),
        ("gemini", None, "/", "generativelanguage.googleapis.com", "/v1beta/openai/chat/completions"),
        ("openai-compatible", Some("http://127.0.0.1:11434"), "/", "127.0.0.1", "/v1/chat/completions"),
        ("openai-compatible", Some("https://m.test/own/chat?x=1"), "/", "m.test", "/own/chat?x=1"),
        (
            "azure-openai",
            Some("https://a.test/openai/d/chat?api-version=2"),
            "/",
            "a.test",
            "/openai/d/chat?api-version=2",
        ),
    ] {
        let over = endpoint.map_or(json!({}), |endpoint| json!({ "endpoint": endpoint }));
        let mut bench = bench(json!({ "provider": provider, "override": over }));
        let outcome = bench.send("POST", path, JSON, chat(json!({})));
        let seen = outcome.expect_status(200).seen();
        assert_eq!(
            (seen.target.as_str(), &seen.target_json.as_ref().unwrap()["nodes"][0]["host"]),
            (target, &json!(host))
        );
        assert_eq!(sent(&outcome).get("model").is_some(), provider != "azure-openai", "{provider}");
    }
    let mut bench = bench(json!({ "provider": "deepseek" }));
    let outcome = bench.send("POST", "/v1/embeddings", JSON, json!({ "input": "x" }).to_string());
    let wanted = "{\"message\":\"provider deepseek does not support openai-embeddings protocol (supported: openai-chat)\"}\n";
    assert_eq!(outcome.expect_status(400).text(), wanted);
}

#[test]
fn what_is_overridden_counts_less_than_the_client_unless_it_is_forced() {
    let over = |force: bool| {
        json!({ "override": {
            "llm_options": { "max_tokens": 100 },
            "request_body": { "openai-chat": { "temperature": 0.1, "metadata": { "a": 1, "b": 2 } }, "openai-responses": { "no": 1 } },
            "request_body_force_override": force,
        } })
    };
    let own = json!({ "temperature": 0.9, "max_tokens": 5, "metadata": { "a": 9 } });
    let outcome = bench(over(false)).send("POST", "/", JSON, chat(own.clone()));
    let sent_one = sent(&outcome);
    assert_eq!((&sent_one["temperature"], &sent_one["max_tokens"]), (&json!(0.9), &json!(5)));
    assert_eq!((&sent_one["metadata"], sent_one.get("no")), (&json!({ "a": 9, "b": 2 }), None));
    let outcome = bench(over(true)).send("POST", "/", JSON, chat(own));
    let forced = sent(&outcome);
    assert_eq!((&forced["temperature"], &forced["metadata"]), (&json!(0.1), &json!({ "a": 1, "b": 2 })));
    assert_eq!((&forced["max_completion_tokens"], forced.get("max_tokens")), (&json!(100), None));
}

#[test]
fn what_is_no_request_to_a_model_is_refused() {
    let text = [("Content-Type", "text/plain")];
    for (fields, sent, status, said) in [
        (
            &text[..],
            "{}".to_owned(),
            400,
            "unsupported content-type: text/plain, only application/json is supported",
        ),
        (JSON, String::new(), 400, "could not get body: request body is empty"),
        (JSON, "{".to_owned(), 400, "could not parse JSON request body: "),
        (JSON, "[]".to_owned(), 400, "could not parse JSON request body: it is no object"),
        (JSON, "{}".to_owned(), 400, "no matching AI protocol for the request"),
        (JSON, chat(json!({ "x": "y".repeat(200) })), 413, "the request's body is too large"),
    ] {
        let outcome = bench(json!({ "max_req_body_size": 200 })).send("POST", "/", fields, sent);
        assert!(outcome.expect_status(status).upstream.is_none());
        assert!(outcome.text().contains(said), "{}", outcome.text());
    }
}

#[test]
fn refuses_bodies_that_can_not_work() {
    for (more, sentence) in [
        (json!({ "provider": "mine" }), "matches none of the enum values"),
        (json!({ "provider": "openai-compatible" }), "property \"override\" is required"),
        (
            json!({ "override": { "endpoint": "ftp://x" } }),
            "property \"override.endpoint\" validation failed",
        ),
        (
            json!({ "override": { "endpoint": "http://models.test" } }),
            "is plain http, and secrets are sent there",
        ),
        (json!({ "override": { "request_body": { "x": {} } } }), "request_body.x is no protocol"),
        (json!({ "auth": { "header": { "a b": "c" } } }), "the field \"a b\" can't be sent"),
        (json!({ "auth": { "body": {} } }), "additional properties forbidden, found body"),
        (json!({ "timeout": 0 }), "property \"timeout\" validation failed"),
    ] {
        let error =
            try_harness(&PLUGIN, body(more.clone())).err().unwrap_or_else(|| panic!("{more} was taken"));
        assert!(error.message.contains(sentence), "{more}: {error}");
        assert!(!error.message.contains("sk-1"), "{error}");
    }
}
