//! `ai-rate-limiting` with real Redis servers: alone, as a cluster, behind a sentinel, and away.
#![cfg(test)]

use serde_json::{Map, Value, json};
use usher_pipeline::harness::{Clock, Harness, Outcome, try_harness, try_harness_of};
use usher_pipeline::reply::Reply;

use super::PLUGIN;
use crate::redis_link::tests::Server;

fn bench(limiting: Value) -> Harness {
    let instance = |name: &str| json!({ "name": name, "provider": "openai", "weight": 1, "auth": {} });
    let proxy = json!({ "instances": [instance("a"), instance("b")],
        "balancer": { "algorithm": "chash", "hash_on": "header", "key": "X-User" } });
    let bodies =
        Map::from_iter([("ai-proxy-multi".to_owned(), proxy), ("ai-rate-limiting".to_owned(), limiting)]);
    let usage = json!({ "usage": { "prompt_tokens": 10, "completion_tokens": 30, "total_tokens": 40 } });
    try_harness_of(&[&crate::ai_proxy_multi::PLUGIN, &PLUGIN], bodies)
        .unwrap()
        .on_runtime(Clock::Real)
        .upstream(move |_| Reply::text(200, "application/json", usage.to_string()))
}

fn at(server: &Server, more: Value) -> Value {
    let mut body = json!({
        "limit": 100, "time_window": 600, "policy": "redis", "redis_host": "127.0.0.1", "redis_port": server.port,
        "redis_timeout": 5000,
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn ask(bench: &mut Harness, user: &str) -> Outcome {
    bench.send("POST", "/", &[("X-User", user)], json!({ "messages": [] }).to_string())
}

fn left(outcome: &Outcome) -> Option<String> {
    let field = |name: &str| outcome.field(&format!("X-AI-RateLimit-Remaining-{name}"));
    field("a").or_else(|| field("b")).map(str::to_owned)
}

/// Asks until the charge of the requests before, which comes behind them, leaves this much; every look is refused or free.
fn until_left(bench: &mut Harness, server: &Server, used: u64) {
    let is_there = || {
        server.ask("EVAL \"local n = 0 for _, k in ipairs(redis.call('KEYS', '*')) do n = n + redis.call('GET', k) end return n\" 0") == format!(":{used}")
    };
    bench.until(is_there);
}

#[test]
fn two_gateways_spend_the_same_tokens_exactly() {
    let server = Server::start("");
    let body = at(&server, json!({ "rejected_code": 429, "rejected_msg": "enough" }));
    let (mut one, mut other) = (bench(body.clone()), bench(body));
    let mut used = 0;
    // 40 each; the third begins with 20 left.
    for wanted in ["100", "60", "20"] {
        let bench = if used % 80 == 0 { &mut one } else { &mut other };
        let outcome = ask(bench, "1");
        assert_eq!((outcome.status(), left(&outcome).as_deref()), (200, Some(wanted)));
        used += 40;
        until_left(bench, &server, used);
    }
    for bench in [&mut one, &mut other] {
        let outcome = ask(bench, "2");
        assert_eq!(outcome.expect_status(429).text(), "{\"error_msg\":\"enough\"}\n");
        assert_eq!(left(&outcome).as_deref(), Some("0"));
        let reset = ["a", "b"].iter().find_map(|name| outcome.field(&format!("X-AI-RateLimit-Reset-{name}")));
        let reset: f64 = reset.unwrap().parse().unwrap();
        assert!((500.0..=600.0).contains(&reset), "{reset}");
    }
    until_left(&mut one, &server, used);
}

#[test]
fn instances_and_rules_have_counters_of_their_own_there() {
    let server = Server::start("");
    let mut by_rule = bench({
        let mut body =
            at(&server, json!({ "rules": [{ "count": 30, "time_window": 600, "key": "${http_x_user}" }] }));
        for gone in ["limit", "time_window"] {
            body.as_object_mut().unwrap().remove(gone);
        }
        body
    });
    for (at, (user, status)) in [("a", 200), ("b", 200), ("a", 503), ("b", 503)].into_iter().enumerate() {
        assert_eq!(ask(&mut by_rule, user).status(), status, "{user}");
        until_left(&mut by_rule, &server, 40 * (at as u64 + 1).min(2));
    }
    let mut by_instance = bench(at(
        &server,
        json!({ "instances": [
        { "name": "a", "limit": 1, "time_window": 600 }, { "name": "b", "limit": 1, "time_window": 600 },
    ] }),
    ));
    let mut admitted = 0;
    for user in 0..12_u64 {
        admitted += u64::from(ask(&mut by_instance, &user.to_string()).status() == 200);
        until_left(&mut by_instance, &server, 80 + 40 * admitted);
    }
    assert_eq!(admitted, 2);
}

#[test]
fn a_window_begins_anew_by_redis_own_clock() {
    let server = Server::start("");
    let mut bench = bench(at(&server, json!({ "limit": 1, "time_window": 1 })));
    ask(&mut bench, "1").expect_status(200);
    let mut statuses = Vec::new();
    for _ in 0..200 {
        bench.pass(std::time::Duration::from_millis(50));
        statuses.push(ask(&mut bench, "1").status());
        if statuses.contains(&503) && statuses.last() == Some(&200) {
            break;
        }
    }
    assert_eq!(statuses.last(), Some(&200), "{statuses:?}");
}

#[test]
fn clusters_and_sentinels_are_asked() {
    let nodes = Server::cluster();
    let mut clustered = bench(json!({
        "rules": [{ "count": 30, "time_window": 600, "key": "${http_x_user}" }], "policy": "redis-cluster",
        "redis_cluster_name": "c", "redis_timeout": 5000, "redis_cluster_nodes": [format!("127.0.0.1:{}", nodes[1].port)],
    }));
    for user in 0..12 {
        ask(&mut clustered, &user.to_string()).expect_status(200);
    }
    clustered.until(|| {
        nodes.iter().all(|node| node.ask("DBSIZE") != ":0")
            && nodes.iter().map(|node| node.ask("DBSIZE")[1..].parse::<u64>().unwrap()).sum::<u64>() == 12
    });
    let server = Server::start("");
    let sentinel = server.watched();
    let mut watched = bench(json!({
        "limit": 1, "time_window": 600, "policy": "redis-sentinel", "redis_master_name": "mymaster",
        "redis_sentinels": [{ "host": "127.0.0.1", "port": sentinel.port }],
    }));
    ask(&mut watched, "1").expect_status(200);
    until_left(&mut watched, &server, 40);
    ask(&mut watched, "1").expect_status(503);
}

#[test]
fn a_redis_that_is_away_fails_closed_unless_that_is_allowed() {
    let away = Server::start("");
    let body = at(&away, json!({ "redis_timeout": 200 }));
    drop(away);
    let refused = ask(&mut bench(body.clone()), "1");
    assert_eq!(refused.expect_status(500).text(), "{\"error_msg\":\"failed to limit count\"}\n");
    let mut degraded = body;
    degraded["allow_degradation"] = true.into();
    ask(&mut bench(degraded), "1").expect_status(200);
}

#[test]
fn says_what_is_missing() {
    for (more, sentence) in [
        (json!({ "policy": "redis" }), "property \"redis_host\" is required"),
        (json!({ "policy": "redis-cluster" }), "property \"redis_cluster_nodes\" is required"),
        (json!({ "policy": "redis-sentinel" }), "property \"redis_sentinels\" is required"),
    ] {
        let mut body = json!({ "limit": 1, "time_window": 60 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(error.message.contains(sentence), "{body}: {error}");
    }
}
