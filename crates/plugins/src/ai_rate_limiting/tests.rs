//! What clients see of `ai-rate-limiting`, behind `ai-proxy` and `ai-proxy-multi`.
#![cfg(test)]

use std::time::Duration;

use serde_json::{Map, Value, json};
use usher_pipeline::harness::{Harness, Outcome, try_harness, try_harness_of};
use usher_pipeline::reply::Reply;

use super::PLUGIN;

fn answering(name: &str, proxy: Value, limiting: Value) -> Harness {
    let bodies = Map::from_iter([(name.to_owned(), proxy), ("ai-rate-limiting".to_owned(), limiting)]);
    let specs = [&crate::ai_proxy::PLUGIN, &crate::ai_proxy_multi::PLUGIN, &PLUGIN];
    let usage = json!({ "usage": { "prompt_tokens": 10, "completion_tokens": 30, "total_tokens": 40 } });
    try_harness_of(&specs, bodies)
        .unwrap()
        .upstream(move |_| Reply::text(200, "application/json", usage.to_string()))
}

fn bench(limiting: Value) -> Harness {
    answering("ai-proxy", json!({ "provider": "openai", "auth": {} }), limiting)
}

fn ask(bench: &mut Harness, fields: &[(&str, &str)]) -> Outcome {
    bench.send("POST", "/", fields, json!({ "messages": [] }).to_string())
}

#[test]
fn tokens_are_charged_behind_the_answer_and_the_window_begins_anew() {
    let mut bench =
        bench(json!({ "limit": 50, "time_window": 60, "rejected_code": 429, "rejected_msg": "enough" }));
    for (status, remaining) in [(200, "50"), (200, "10"), (429, "0")] {
        let outcome = ask(&mut bench, &[]);
        assert_eq!(outcome.status(), status);
        assert_eq!(outcome.field("X-AI-RateLimit-Limit-ai-proxy-openai"), Some("50"));
        assert_eq!(outcome.field("X-AI-RateLimit-Remaining-ai-proxy-openai"), Some(remaining));
        assert_eq!(outcome.field("X-AI-RateLimit-Reset-ai-proxy-openai"), Some("60"));
    }
    assert_eq!(ask(&mut bench, &[]).text(), "{\"error_msg\":\"enough\"}\n");
    bench.pass(Duration::from_secs(60));
    assert_eq!(ask(&mut bench, &[]).field("X-AI-RateLimit-Remaining-ai-proxy-openai"), Some("50"));
}

#[test]
fn a_strategy_says_which_tokens_count() {
    for (strategy, left) in [("total_tokens", "60"), ("prompt_tokens", "90"), ("completion_tokens", "70")] {
        let mut bench = bench(json!({ "limit": 100, "time_window": 60, "limit_strategy": strategy }));
        ask(&mut bench, &[]);
        let outcome = ask(&mut bench, &[]);
        assert_eq!(outcome.field("X-AI-RateLimit-Remaining-ai-proxy-openai"), Some(left), "{strategy}");
    }
    let priced = json!({ "limit": 100, "time_window": 60, "limit_strategy": "expression",
        "cost_expr": "prompt_tokens * 0.5 + details.cached * 2 + missing" });
    let mut bench = bench(priced);
    let usage =
        json!({ "usage": { "prompt_tokens": 10, "completion_tokens": 30, "details": { "cached": 4 } } });
    bench = bench.upstream(move |_| Reply::text(200, "application/json", usage.to_string()));
    ask(&mut bench, &[]);
    assert_eq!(ask(&mut bench, &[]).field("X-AI-RateLimit-Remaining-ai-proxy-openai"), Some("87"));
}

#[test]
fn what_is_left_may_stay_unsaid() {
    let quiet = json!({ "limit": 100, "time_window": 60, "show_limit_quota_header": false });
    assert_eq!(ask(&mut bench(quiet), &[]).field("X-AI-RateLimit-Limit-ai-proxy-openai"), None);
}

#[test]
fn instances_have_limits_of_their_own() {
    let instance = |name: &str| json!({ "name": name, "provider": "openai", "weight": 1, "auth": {} });
    let proxy = json!({ "instances": [instance("a"), instance("b")],
        "balancer": { "algorithm": "chash", "hash_on": "header", "key": "X-User" } });
    let limiting = json!({ "limit": 1000, "time_window": 60, "instances": [{ "name": "a", "limit": 1, "time_window": 60 }] });
    let mut bench = answering("ai-proxy-multi", proxy, limiting);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for user in 0..20 {
        let outcome = ask(&mut bench, &[("X-User", &user.to_string())]);
        if outcome.field("X-AI-RateLimit-Limit-a").is_some() {
            a.push(outcome.status());
        } else {
            assert_eq!(outcome.field("X-AI-RateLimit-Limit-b"), Some("1000"));
            b.push(outcome.status());
        }
    }
    assert_eq!(a[0], 200);
    assert!(a.len() > 1 && a[1..].iter().all(|status| *status == 503), "{a:?}");
    assert!(b.len() > 1 && b.iter().all(|status| *status == 200), "{b:?}");
}

#[test]
fn rules_count_by_what_requests_say() {
    let mut bench = bench(json!({ "rules": [
        { "count": "${http_x_quota ?? 30}", "time_window": 60, "key": "${http_x_user}" },
        { "count": 1000, "time_window": 60, "key": "$remote_addr", "header_prefix": "All" },
    ] }));
    for (user, quota, status) in [
        ("a", "30", 200),
        ("a", "30", 503),
        ("b", "30", 200),
        ("b", "100", 200),
        ("b", "100", 200),
        ("b", "100", 503),
    ] {
        let outcome = ask(&mut bench, &[("X-User", user), ("X-Quota", quota)]);
        assert_eq!(outcome.status(), status, "{user} {quota}");
        assert_eq!(outcome.field("X-AI-1-RateLimit-Limit"), Some(quota));
        assert_eq!(outcome.field("X-AI-All-RateLimit-Limit"), Some("1000"));
    }
    let outcome = ask(&mut bench, &[]);
    assert_eq!((outcome.status(), outcome.field("X-AI-1-RateLimit-Limit")), (200, None));
    assert_eq!(ask(&mut bench, &[("X-User", "a"), ("X-Quota", "none")]).status(), 500);
}

#[test]
fn a_request_that_no_rule_means_is_not_let_through_uncounted() {
    for (degrades, status) in [(false, 500), (true, 200)] {
        let rules = json!([{ "count": 20, "time_window": 10, "key": "${http_x_user}" }]);
        let mut bench = bench(json!({ "rules": rules, "allow_degradation": degrades }));
        assert_eq!(ask(&mut bench, &[("X-User", "a")]).status(), 200);
        assert_eq!(ask(&mut bench, &[]).status(), status);
    }
}

#[test]
fn requests_that_ask_no_model_are_none_of_its_business() {
    let bodies = Map::from_iter([("ai-rate-limiting".to_owned(), json!({ "limit": 1, "time_window": 1 }))]);
    let mut bench = try_harness_of(&[&PLUGIN], bodies).unwrap();
    for _ in 0..3 {
        bench.get("/").expect_status(200);
    }
}

#[test]
fn refuses_bodies_that_can_not_work() {
    for (body, sentence) in [
        (json!({}), "value should match only one schema, but matches none"),
        (json!({ "limit": 1 }), "failed to check the configuration of plugin ai-rate-limiting"),
        (json!({ "limit": 0, "time_window": 1 }), "property \"limit\" validation failed"),
        (json!({ "limit": "x", "time_window": 1 }), "property \"limit\" validation failed"),
        (
            json!({ "limit": 1, "time_window": 1, "limit_strategy": "expression" }),
            "property \"cost_expr\" is required where limit_strategy is expression",
        ),
        (
            json!({ "limit": 1, "time_window": 1, "limit_strategy": "expression", "cost_expr": "1 +" }),
            "the expression ends where a number or a name was expected",
        ),
        (json!({ "instances": [{ "name": "a" }] }), "property \"limit\" is required"),
        (
            json!({ "rules": [{ "count": 1, "time_window": 1, "key": "a", "header_prefix": "a b" }] }),
            "can't be a part of a header's name",
        ),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(error.message.contains(sentence), "{body}: {error}");
    }
}
