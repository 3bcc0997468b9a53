//! What a scrape reads of requests to models, and of lines that wait.
#![cfg(test)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use usher_model::variables::Variables as _;
use usher_pipeline::harness::{Clock, Harness, try_harness_of, try_harness_with};
use usher_pipeline::reply::Reply;

use super::{PLUGIN, render};

fn instance(name: &str, model: Option<&str>) -> Value {
    let options = model.map_or(json!({}), |model| json!({ "model": model }));
    json!({ "name": name, "provider": "openai-compatible", "weight": 1, "options": options,
        "auth": { "header": { "X-Which": name } }, "override": { "endpoint": "http://127.0.0.1:9" } })
}

fn bench(instances: Value, attribute: Value) -> Harness {
    let bodies = Map::from_iter([
        ("ai-proxy-multi".to_owned(), json!({ "instances": instances })),
        ("prometheus".to_owned(), json!({})),
    ]);
    let attributes = Map::from_iter([("prometheus".to_owned(), attribute)]);
    try_harness_with(&[&crate::ai_proxy_multi::PLUGIN, &PLUGIN], bodies, attributes).unwrap()
}

fn ask(bench: &mut Harness, model: &str, stream: bool) -> String {
    let body = json!({ "messages": [], "model": model, "stream": stream }).to_string();
    bench.send("POST", "/v1/chat/completions", &[], body);
    render(bench.process())
}

fn of_models(text: &str) -> Vec<&str> {
    let is_one = |line: &&str| line.starts_with("apisix_llm_") && !line.contains("_bucket");
    text.lines().filter(is_one).collect()
}

#[test]
fn models_are_told_of_by_apisix_names() {
    let under_way = Rc::new(RefCell::new(String::new()));
    let process = Rc::new(RefCell::new(None::<usher_pipeline::env::Process>));
    let (seen, known) = (Rc::clone(&under_way), Rc::clone(&process));
    let mut bench =
        bench(json!([instance("one", Some("m-1"))]), json!({ "llm_latency_buckets": [100, 1000] })).upstream(
            move |exchange| {
                *seen.borrow_mut() = known.borrow().as_ref().map(render).unwrap_or_default();
                drop(exchange.worker().sleep(Duration::from_millis(250)));
                let usage = json!({ "usage": { "prompt_tokens": 5, "completion_tokens": 7 } });
                Reply::text(200, "application/json", usage.to_string())
            },
        );
    *process.borrow_mut() = Some(bench.process().clone());
    assert_eq!(of_models(&render(bench.process())), Vec::<&str>::new());
    ask(&mut bench, "clients", false);
    let text = ask(&mut bench, "clients", false);
    let labels = "route_id=\"1\",service_id=\"\",consumer=\"\",node=\"one\",request_type=\"ai_chat\",request_llm_model=\"other\",llm_model=\"m-1\"";
    assert_eq!(
        of_models(&text),
        [
            format!("apisix_llm_active_connections{{{labels}}} 0"),
            format!("apisix_llm_completion_tokens{{{labels}}} 14"),
            format!("apisix_llm_latency_sum{{{labels}}} 500"),
            format!("apisix_llm_latency_count{{{labels}}} 2"),
            format!("apisix_llm_prompt_tokens{{{labels}}} 10"),
        ]
    );
    for (bound, count) in [("100", 0), ("1000", 2), ("+Inf", 2)] {
        assert!(
            text.contains(&format!("apisix_llm_latency_bucket{{{labels},le=\"{bound}\"}} {count}\n")),
            "{text}"
        );
    }
    assert!(under_way.borrow().contains(&format!("apisix_llm_active_connections{{{labels}}} 1\n")));
    let other = "request_type=\"ai_chat\",request_llm_model=\"other\",llm_model=\"m-1\"";
    assert!(text.contains(&format!("node=\"\",{other},response_source=\"upstream\"}} 2\n")), "{text}");
}

#[test]
fn a_model_that_only_a_client_names_is_told_apart_once_a_provider_has_it() {
    let mut bench = bench(json!([instance("one", None)]), json!({})).upstream(|exchange| {
        let is_known = matches!(&exchange.request.body, usher_pipeline::body::Body::Full(body)
            if memchr::memmem::find(body, b"real").is_some());
        let usage = json!({ "usage": { "prompt_tokens": 1, "completion_tokens": 1 } });
        Reply::text(if is_known { 200 } else { 404 }, "application/json", usage.to_string())
    });
    for number in 0..40 {
        ask(&mut bench, &format!("made-up-{number}"), false);
    }
    let text = ask(&mut bench, "real", true);
    let prompts: Vec<&str> =
        text.lines().filter(|line| line.starts_with("apisix_llm_prompt_tokens{")).collect();
    assert_eq!(prompts.len(), 2, "{prompts:#?}");
    assert!(
        prompts[0].contains("request_type=\"ai_chat\",request_llm_model=\"other\",llm_model=\"other\"} 40")
    );
    assert!(
        prompts[1].contains("request_type=\"ai_stream\",request_llm_model=\"real\",llm_model=\"real\"} 1")
    );
}

#[test]
fn loggers_know_what_a_model_cost_whatever_comes_first() {
    let stream = "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9}}\n\n";
    let mut bench = bench(json!([instance("one", Some("m"))]), json!({}))
        .upstream(move |_| Reply::text(200, "text/event-stream", stream));
    let body = json!({ "messages": [], "stream": true }).to_string();
    let outcome = bench.send("POST", "/", &[], body);
    for (name, value) in [
        ("request_type", "ai_stream"),
        ("llm_stream", "true"),
        ("llm_model", "m"),
        ("llm_prompt_tokens", "3"),
        ("llm_completion_tokens", "9"),
        ("llm_total_tokens", "12"),
        ("llm_time_to_first_token", "0"),
    ] {
        assert_eq!(outcome.exchange.variable(name).as_deref(), Some(value.as_bytes()), "{name}");
    }
}

#[test]
fn lines_that_wait_are_counted_by_batch_and_route() {
    let logger = json!({ "host": "127.0.0.1", "port": 9, "batch_max_size": 10 });
    let bodies = Map::from_iter([("udp-logger".to_owned(), logger), ("prometheus".to_owned(), json!({}))]);
    let mut bench =
        try_harness_of(&[&crate::udp_logger::PLUGIN, &PLUGIN], bodies).unwrap().on_runtime(Clock::Paused);
    let lines = |bench: &Harness| {
        let text = render(bench.process());
        text.lines().filter(|line| line.starts_with("apisix_batch_")).map(str::to_owned).collect::<Vec<_>>()
    };
    let line = |count: usize| {
        format!("apisix_batch_process_entries{{name=\"udp logger\",route_id=\"1\",server_addr=\"\"}} {count}")
    };
    assert_eq!(lines(&bench), [line(0)]);
    bench.get("/");
    bench.get("/");
    assert_eq!(lines(&bench), [line(2)]);
    bench.pass(Duration::from_secs(60));
    bench.until(|| lines(&bench) == [line(0)]);
}
