//! Instances that are chosen by what is asked.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use usher_http1::head::Head;
use usher_pipeline::harness::{Harness, harness, try_harness};
use usher_pipeline::reply::Reply;
use usher_pipeline::worker::{Answer, FetchError};

use super::{PLUGIN, instance};

fn with(mut instance: Value, more: Value) -> Value {
    instance.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    instance
}

fn body(balancer: Value, instances: Value) -> Value {
    let balancer = with(balancer, json!({ "algorithm": "semantic" }));
    json!({ "balancer": balancer, "instances": instances, "fallback_strategy": "http_5xx",
        "embeddings": { "provider": "openai", "model": "small", "endpoint": "http://127.0.0.1:9/v1/own?a=b",
            "auth": { "header": { "Authorization": "Bearer sk-2" }, "query": { "k": "v" } } } })
}

fn three() -> Value {
    json!([
        with(instance("code", 1, 0), json!({ "examples": ["fix this code", "a bug in rust"] })),
        with(instance("law", 1, 5), json!({ "examples": ["is this contract valid"], "threshold": 0.9 })),
        with(instance("rest", 1, 0), json!({ "catchall": true })),
    ])
}

/// Counts a few words: the directions of what is said.
fn vector(text: &str) -> Value {
    let count = |words: &[&str]| words.iter().filter(|word| text.contains(**word)).count();
    json!([count(&["code", "bug", "rust"]), count(&["contract", "valid"]), count(&["?"])])
}

/// A bench with a model of embeddings, and how many texts it was asked for each time.
fn bench(body: Value) -> (Harness, Rc<RefCell<Vec<usize>>>) {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&asked);
    let bench = harness(&PLUGIN, body).fetches(move |call| {
        assert_eq!(call.url, "http://127.0.0.1:9/v1/own?a=b&k=v");
        assert_eq!(call.fields.get_str("authorization"), Some("Bearer sk-2"));
        let question: Value = serde_json::from_slice(&call.body).unwrap();
        assert_eq!(question["model"], "small");
        let texts = question["input"].as_array().unwrap();
        told.borrow_mut().push(texts.len());
        let data: Vec<Value> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| json!({ "index": index, "embedding": vector(text.as_str().unwrap()) }))
            .collect();
        let head = Head::response(200);
        Ok(Answer { head, body: json!({ "data": data }).to_string().into() })
    });
    (bench, asked)
}

fn asked_by(bench: &mut Harness, text: &str) -> String {
    let body = json!({ "messages": [{ "role": "user", "content": text }] }).to_string();
    let outcome = bench.send("POST", "/", &[], body);
    outcome.expect_status(200).seen().head.get_str("x-which").unwrap().to_owned()
}

#[test]
fn the_closest_instance_is_asked_and_examples_are_embedded_once() {
    let (mut bench, asked) = bench(body(json!({ "threshold": 0.5 }), three()));
    for (text, wanted) in [
        ("there is a bug in my code", "code"),
        ("a contract, is it valid", "law"),
        // Close to the contract's examples, and not close enough.
        ("a contract or what?", "rest"),
        ("what is the weather?", "rest"),
        ("hello", "rest"),
    ] {
        assert_eq!(asked_by(&mut bench, text), wanted, "{text}");
    }
    assert_eq!(*asked.borrow(), [3, 1, 1, 1, 1, 1]);
}

#[test]
fn without_a_threshold_the_closest_is_close_enough() {
    let instances = json!([
        with(instance("code", 1, 0), json!({ "examples": ["code"] })),
        with(instance("law", 1, 0), json!({ "examples": ["contract"] })),
    ]);
    let (mut bench, _) = bench(body(json!({}), instances));
    assert_eq!(asked_by(&mut bench, "contract? ? ?"), "law");
}

#[test]
fn who_can_not_be_compared_goes_to_the_catchall_and_the_next_try_waits() {
    let calls = Rc::new(RefCell::new(0));
    let told = Rc::clone(&calls);
    let mut bench = bench(body(json!({}), three())).0.fetches(move |_| {
        *told.borrow_mut() += 1;
        Err(FetchError::TimedOut("embeddings".to_owned()))
    });
    for (wait, all) in [(0, 1), (1, 1), (5, 2)] {
        bench.pass(Duration::from_secs(wait));
        assert_eq!(asked_by(&mut bench, "a bug in my code"), "rest");
        assert_eq!(*calls.borrow(), all);
    }
}

#[test]
fn an_instance_that_fails_is_followed_by_the_next_closest() {
    let mut instances = three();
    instances[1].as_object_mut().unwrap().remove("threshold");
    let (bench, _) = bench(body(json!({}), instances));
    let mut bench = bench.upstream(|exchange| {
        let status = if exchange.request.head.get_str("x-which") == Some("code") { 500 } else { 200 };
        Reply::text(status, "application/json", "{}")
    });
    assert_eq!(asked_by(&mut bench, "rust code for a contract"), "law");
}

#[test]
fn refuses_what_can_not_be_compared() {
    let nobody = json!([instance("a", 1, 0)]);
    let two = json!([
        with(instance("a", 1, 0), json!({ "examples": ["x"], "catchall": true })),
        with(instance("b", 1, 0), json!({ "catchall": true })),
    ]);
    let embeddings = |more: Value| {
        let mut all = body(json!({}), three());
        all["embeddings"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    for (body, sentence) in [
        (body(json!({}), nobody), "no instance has examples"),
        (body(json!({}), two), "more than one instance is the catchall"),
        (body(json!({ "threshold": 2 }), three()), "property \"threshold\" validation failed"),
        (embeddings(json!({ "provider": "deepseek" })), "does not support openai-embeddings protocol"),
        (embeddings(json!({ "endpoint": "http://e.test" })), "is plain http, and secrets are sent there"),
        (embeddings(json!({ "timeout": 0 })), "property \"timeout\" validation failed"),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(error.message.contains(sentence), "{body}: {error}");
        assert!(!error.message.contains("sk-2"), "{error}");
    }
}
