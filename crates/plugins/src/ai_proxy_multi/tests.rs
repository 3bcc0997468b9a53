//! What providers and clients see of `ai-proxy-multi`.
#![cfg(test)]

mod meaning;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use usher_pipeline::harness::{Harness, Outcome, harness, try_harness, try_harness_of};
use usher_pipeline::reply::Reply;

use super::PLUGIN;

fn instance(name: &str, weight: u64, priority: i64) -> Value {
    json!({ "name": name, "provider": "openai-compatible", "weight": weight, "priority": priority,
        "auth": { "header": { "X-Which": name } }, "override": { "endpoint": "http://127.0.0.1:9" } })
}

fn counted(bench: &mut Harness, requests: usize, fields: &[(&str, &str)]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let body = json!({ "messages": [] }).to_string();
        let outcome = bench.send("POST", "/", fields, body);
        let which = outcome.expect_status(200).seen().head.get_str("x-which").unwrap().to_owned();
        *counts.entry(which).or_default() += 1;
    }
    counts
}

#[test]
fn requests_are_spread_by_weight_among_the_highest_priority() {
    let body = json!({ "instances": [instance("a", 3, 1), instance("b", 1, 1), instance("c", 9, 0), instance("d", 0, 1)] });
    let counts = counted(&mut harness(&PLUGIN, body), 40, &[]);
    assert_eq!(counts, BTreeMap::from([("a".to_owned(), 30), ("b".to_owned(), 10)]));
}

#[test]
fn the_same_key_goes_to_the_same_instance() {
    let body = json!({ "balancer": { "algorithm": "chash", "hash_on": "header", "key": "X-User" },
        "instances": [instance("a", 1, 0), instance("b", 1, 0), instance("c", 1, 0)] });
    let mut bench = harness(&PLUGIN, body);
    let mut all = std::collections::BTreeSet::new();
    for user in 0..30 {
        let user = user.to_string();
        let counts = counted(&mut bench, 3, &[("X-User", user.as_str())]);
        assert_eq!(counts.len(), 1, "{user}");
        all.extend(counts.into_keys());
    }
    assert_eq!(all.len(), 3);
}

#[test]
fn refuses_bodies_that_can_not_work() {
    let two = json!([instance("a", 1, 0), instance("a", 1, 0)]);
    for (body, sentence) in [
        (json!({}), "property \"instances\" is required"),
        (json!({ "instances": [] }), "expect array to have at least 1 items"),
        (json!({ "instances": two }), "duplicate instance name 'a'"),
        (json!({ "instances": [instance("a", 0, 0)] }), "no instance has a weight above 0"),
        (
            json!({ "instances": [instance("a", 1, 0)], "balancer": { "algorithm": "chash", "hash_on": "header" } }),
            "balancer.key is required",
        ),
        (
            json!({ "instances": [instance("a", 1, 0)], "balancer": { "algorithm": "semantic" } }),
            "property \"embeddings\" is required where balancer.algorithm is semantic",
        ),
        (
            json!({ "instances": [instance("a", 1, 0)], "fallback_strategy": "http_404" }),
            "property \"fallback_strategy\" validation failed",
        ),
        (
            json!({ "instances": [instance("a", 1, 0)], "fallback_strategy": ["instance_health_and_rate_limiting"] }),
            "property \"fallback_strategy\" validation failed",
        ),
        (
            json!({ "instances": [instance("a", 1, 0)], "fallback_http_statuses": [200] }),
            "property \"fallback_http_statuses\" validation failed",
        ),
        (
            json!({ "instances": [instance("a", 1, 0)], "max_retries": -1 }),
            "property \"max_retries\" validation failed",
        ),
        (
            json!({ "instances": [instance("a", 1, 0)], "retry_on_failure_within_ms": 0 }),
            "property \"retry_on_failure_within_ms\" validation failed",
        ),
        (probed(json!({})), "property \"active\" is required"),
        (
            probed(json!({ "active": { "type": "icmp" } })),
            "instances[0]: property \"checks\" validation failed",
        ),
        (json!({ "instances": [{ "name": "a" }] }), "property \"provider\" is required"),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(error.message.contains(sentence), "{body}: {error}");
    }
}

fn probed(checks: Value) -> Value {
    let mut one = instance("a", 1, 0);
    one["checks"] = checks;
    json!({ "instances": [one] })
}

/// Who was asked, in order.
type Order = Rc<RefCell<Vec<String>>>;

/// Providers that answer as they are told to, each after so many milliseconds.
fn scripted(bench: Harness, script: &'static [(&str, u16, u64)]) -> (Harness, Order) {
    let order = Order::default();
    let asked = Rc::clone(&order);
    let bench = bench.upstream(move |exchange| {
        let name = exchange.request.head.get_str("x-which").unwrap().to_owned();
        let (_, status, took) = script.iter().find(|(known, ..)| *known == name).unwrap();
        // The bench's own clock is moved by whoever waits on it.
        drop(exchange.worker().sleep(Duration::from_millis(*took)));
        asked.borrow_mut().push(name.clone());
        let usage = json!({ "of": name, "usage": { "prompt_tokens": 4, "completion_tokens": 6 } });
        Reply::text(*status, "application/json", usage.to_string())
    });
    (bench, order)
}

fn ask(bench: &mut Harness) -> Outcome {
    bench.send(
        "POST",
        "/v1/chat/completions",
        &[("X-Own", "kept")],
        json!({ "messages": [], "model": "mine" }).to_string(),
    )
}

#[test]
fn a_bad_answer_makes_the_next_instance_be_asked_as_the_strategy_says() {
    // The first by priority, then the others by their turn.
    let all = |more: Value| {
        let mut body =
            json!({ "instances": [instance("a", 1, 2), instance("b", 1, 1), instance("c", 1, 0)] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    type Script = &'static [(&'static str, u16, u64)];
    let limited: Script = &[("a", 429, 0), ("b", 200, 0), ("c", 200, 0)];
    let failing: Script = &[("a", 503, 0), ("b", 429, 0), ("c", 200, 0)];
    let all_fail: Script = &[("a", 500, 0), ("b", 502, 0), ("c", 504, 0)];
    let slow: Script = &[("a", 500, 300), ("b", 200, 0), ("c", 200, 0)];
    let ended: Script = &[("a", 401, 0), ("b", 404, 0), ("c", 200, 0)];
    for (more, script, status, order) in [
        (json!({}), limited, 429, "a"),
        (json!({ "fallback_strategy": [] }), limited, 429, "a"),
        (json!({ "fallback_strategy": "http_429" }), limited, 200, "ab"),
        (json!({ "fallback_strategy": "http_5xx" }), limited, 429, "a"),
        (json!({ "fallback_strategy": "instance_health_and_rate_limiting" }), limited, 429, "a"),
        (json!({ "fallback_strategy": "http_5xx" }), failing, 429, "ab"),
        (json!({ "fallback_strategy": ["http_429", "http_5xx"] }), failing, 200, "abc"),
        (json!({ "fallback_strategy": ["rate_limiting", "http_5xx"] }), failing, 429, "ab"),
        // Each once; the last one's answer is the client's.
        (json!({ "fallback_strategy": ["http_5xx"] }), all_fail, 504, "abc"),
        (json!({ "fallback_strategy": ["http_5xx"], "max_retries": 1 }), all_fail, 502, "ab"),
        (json!({ "fallback_strategy": ["http_5xx"], "max_retries": 0 }), all_fail, 500, "a"),
        (json!({ "fallback_strategy": "http_5xx", "retry_on_failure_within_ms": 299 }), slow, 500, "a"),
        (json!({ "fallback_strategy": "http_5xx", "retry_on_failure_within_ms": 300 }), slow, 200, "ab"),
        (json!({ "fallback_http_statuses": [401] }), ended, 404, "ab"),
        (json!({ "fallback_http_statuses": [401, 404] }), ended, 200, "abc"),
    ] {
        let (mut bench, asked) = scripted(harness(&PLUGIN, all(more.clone())), script);
        let outcome = ask(&mut bench);
        assert_eq!((outcome.status(), asked.borrow().concat().as_str()), (status, order), "{more}");
        let answer: Value = serde_json::from_slice(&outcome.body).unwrap();
        assert_eq!(answer["of"], order[order.len() - 1..], "{more}");
    }
}

#[test]
fn the_next_instance_sees_nothing_of_the_one_before() {
    let other = json!({ "name": "b", "provider": "deepseek", "weight": 1, "priority": -1, "options": { "model": "other" },
        "auth": { "header": { "X-Which": "b", "Authorization": "Bearer b" }, "query": { "key": "b" } } });
    let mut first = instance("a", 1, 0);
    first["auth"] = json!({ "header": { "X-Which": "a", "X-Key": "a" }, "query": { "key": "a" } });
    first["options"] = json!({ "model": "first", "temperature": 1 });
    let body = json!({ "instances": [first, other], "fallback_strategy": "http_5xx" });
    let (mut bench, asked) = scripted(harness(&PLUGIN, body), &[("a", 500, 0), ("b", 200, 0)]);
    let outcome = ask(&mut bench);
    let seen = outcome.expect_status(200).seen();
    assert_eq!(asked.borrow().concat(), "ab");
    assert_eq!(seen.target, "/chat/completions?key=b");
    let fields = ["x-key", "authorization", "x-own"].map(|name| seen.head.get_str(name));
    assert_eq!(fields, [None, Some("Bearer b"), Some("kept")]);
    let sent: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(sent, json!({ "messages": [], "model": "other" }));
    assert_eq!(outcome.exchange.upstream.statuses, [500, 200]);
}

#[test]
fn an_instance_that_can_not_be_asked_so_is_left_out_on_the_way() {
    let chat_alone = json!({ "name": "b", "provider": "deepseek", "weight": 1, "priority": 1, "auth": { "header": { "X-Which": "b" } } });
    let body = json!({ "instances": [instance("a", 1, 2), chat_alone, instance("c", 1, 0)], "fallback_strategy": "http_5xx" });
    let (mut bench, asked) = scripted(harness(&PLUGIN, body), &[("a", 500, 0), ("b", 200, 0), ("c", 200, 0)]);
    bench.send("POST", "/v1/embeddings", &[], json!({ "input": "x" }).to_string()).expect_status(200);
    assert_eq!(asked.borrow().concat(), "ac");
}

fn limited(proxy: Value, limits: Value, script: &'static [(&str, u16, u64)]) -> (Harness, Order) {
    let bodies =
        Map::from_iter([("ai-proxy-multi".to_owned(), proxy), ("ai-rate-limiting".to_owned(), limits)]);
    scripted(try_harness_of(&[&PLUGIN, &crate::ai_rate_limiting::PLUGIN], bodies).unwrap(), script)
}

#[test]
fn an_instance_without_tokens_is_passed_over_where_the_strategy_says_so() {
    let limits = json!({ "instances": [
        { "name": "a", "limit": 10, "time_window": 60 },
        { "name": "b", "limit": 20, "time_window": 60 },
    ] });
    let script = &[("a", 200, 0), ("b", 200, 0)];
    for strategy in [json!("instance_health_and_rate_limiting"), json!(["rate_limiting"])] {
        let proxy =
            json!({ "instances": [instance("a", 1, 1), instance("b", 1, 0)], "fallback_strategy": strategy });
        let (mut bench, asked) = limited(proxy, limits.clone(), script);
        // Each answer costs 10.
        for (status, name, left) in [(200, "a", "10"), (200, "b", "20"), (200, "b", "10")] {
            let outcome = ask(&mut bench);
            assert_eq!(outcome.status(), status);
            assert_eq!(outcome.field(&format!("X-AI-RateLimit-Remaining-{name}")), Some(left));
        }
        let outcome = ask(&mut bench);
        assert_eq!(outcome.expect_status(503).text(), "{\"message\":\"no instance has tokens left\"}\n");
        assert_eq!(asked.borrow().concat(), "abb");
        bench.pass(Duration::from_secs(60));
        ask(&mut bench).expect_status(200);
        assert_eq!(asked.borrow().concat(), "abba");
    }
    // Without it, who is out of tokens is refused.
    let (mut bench, asked) =
        limited(json!({ "instances": [instance("a", 1, 1), instance("b", 1, 0)] }), limits, script);
    for status in [200, 503, 503] {
        ask(&mut bench).expect_status(status);
    }
    assert_eq!(asked.borrow().concat(), "a");
}

#[test]
fn whoever_answers_in_the_end_is_charged_and_shown() {
    let limits = json!({ "instances": [
        { "name": "a", "limit": 10, "time_window": 60 },
        { "name": "b", "limit": 10, "time_window": 60 },
    ] });
    let proxy =
        json!({ "instances": [instance("a", 1, 1), instance("b", 1, 0)], "fallback_strategy": "http_5xx" });
    let (mut bench, asked) = limited(proxy, limits, &[("a", 500, 0), ("b", 200, 0)]);
    let outcome = ask(&mut bench);
    assert_eq!(outcome.expect_status(200).field("X-AI-RateLimit-Remaining-b"), Some("10"));
    assert_eq!(outcome.field("X-AI-RateLimit-Remaining-a"), None);
    // Nobody may spend another one's tokens on the way past a failure: b has none left, so that a's answer is the client's.
    let outcome = ask(&mut bench);
    assert_eq!(outcome.expect_status(500).field("X-AI-RateLimit-Remaining-a"), Some("10"));
    assert_eq!(asked.borrow().concat(), "aba");
}

#[test]
fn probes_show_what_authorizes_requests_where_nobody_else_sees_it() {
    for (endpoint, kind, shown) in [
        ("http://127.0.0.1:9", "http", true),
        ("https://a.test", "https", true),
        ("https://a.test", "http", false),
    ] {
        let mut one = instance("a", 1, 0);
        one["override"] = json!({ "endpoint": endpoint });
        one["auth"] = json!({ "header": { "X-Which": "a" }, "query": { "key": "k" } });
        one["checks"] =
            json!({ "active": { "type": kind, "http_path": "/up?x=1", "req_headers": ["X-Probe: 1"] } });
        let (mut bench, _) = scripted(harness(&PLUGIN, json!({ "instances": [one] })), &[("a", 200, 0)]);
        let outcome = ask(&mut bench);
        let active = &outcome.seen().target_json.as_ref().unwrap()["checks"]["active"];
        let wanted = if shown {
            (json!("/up?x=1&key=k"), json!(["X-Probe: 1", "X-Which: a"]))
        } else {
            (json!("/up?x=1"), json!(["X-Probe: 1"]))
        };
        assert_eq!(
            (&active["http_path"], &active["req_headers"]),
            (&wanted.0, &wanted.1),
            "{endpoint} {kind}"
        );
    }
}
