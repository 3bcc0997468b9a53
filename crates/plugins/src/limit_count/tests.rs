//! `limit-count` through the harness: what a client is told, who counts together, and what outlives an edit.

use std::time::Duration;

use serde_json::{Map, Value, json};
use usher_pipeline::harness::{Harness, Outcome, harness, try_harness};

use super::PLUGIN;

fn bodies(body: Value) -> Map<String, Value> {
    [("limit-count".to_owned(), body)].into_iter().collect()
}

/// The three headers, with `prefix` behind their `X-`.
fn quota(outcome: &Outcome, prefix: &str) -> [Option<String>; 3] {
    ["Limit", "Remaining", "Reset"]
        .map(|what| outcome.field(&format!("X-{prefix}RateLimit-{what}")).map(str::to_owned))
}

fn said(limit: &str, remaining: &str, reset: &str) -> [Option<String>; 3] {
    [limit, remaining, reset].map(|text| Some(text.to_owned()))
}

/// The statuses of `times` requests in a row.
fn statuses(bench: &mut Harness, times: usize, fields: &[(&str, &str)]) -> Vec<u16> {
    (0..times).map(|_| bench.send("GET", "/?x=1", fields, "").status()).collect()
}

#[test]
fn admits_the_count_and_tells_what_is_left() {
    let mut bench = harness(&PLUGIN, json!({ "count": 2, "time_window": 60 }));
    assert_eq!(quota(bench.get("/").expect_status(200), ""), said("2", "1", "60"));
    bench.pass(Duration::from_millis(250));
    assert_eq!(quota(bench.get("/").expect_status(200), ""), said("2", "0", "59.75"));
    bench.pass(Duration::from_millis(700));
    let refused = bench.get("/");
    assert_eq!(quota(refused.expect_status(503), ""), said("2", "0", "59.05"));
    assert!(refused.upstream.is_none() && refused.body.is_empty(), "the page of the status is the gateway's");
    bench.pass(Duration::from_secs(60));
    assert_eq!(quota(bench.get("/").expect_status(200), ""), said("2", "1", "60"));
}

#[test]
fn refuses_in_the_words_that_were_asked_for() {
    let body =
        json!({ "count": 1, "time_window": 60, "rejected_code": 429, "rejected_msg": "later, \"please\"" });
    let mut bench = harness(&PLUGIN, body);
    bench.get("/").expect_status(200);
    let refused = bench.get("/");
    refused.expect_status(429);
    assert_eq!(refused.text(), "{\"error_msg\":\"later, \\\"please\\\"\"}\n");
    assert_eq!(refused.field("Content-Type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn tells_nothing_where_headers_are_switched_off() {
    let mut bench =
        harness(&PLUGIN, json!({ "count": 1, "time_window": 60, "show_limit_quota_header": false }));
    for status in [200, 503] {
        assert_eq!(quota(bench.get("/").expect_status(status), ""), [None, None, None]);
    }
}

#[test]
fn tells_requests_apart_by_their_key() {
    let (a, b): (&[_], &[_]) = (&[("X-User", "a")], &[("X-User", "b")]);
    for (key, kind, second_user, without) in [
        ("http_x_user", "var", 200, 200),
        ("remote_addr", "var", 503, 503),
        ("nothing", "var", 503, 503),
        ("$remote_addr $http_x_user", "var_combination", 200, 200),
        ("$nothing", "var_combination", 503, 503),
        ("http_x_user", "constant", 503, 503),
    ] {
        let body = json!({ "count": 1, "time_window": 60, "key": key, "key_type": kind });
        let mut bench = harness(&PLUGIN, body);
        assert_eq!(statuses(&mut bench, 2, a), [200, 503], "{key} {kind}");
        assert_eq!(statuses(&mut bench, 1, b), [second_user], "{key} {kind}");
        assert_eq!(statuses(&mut bench, 1, &[]), [without], "{key} {kind}");
    }
}

#[test]
fn another_address_of_the_same_client_is_no_other_client() {
    for (kind, key) in [("var", "remote_addr"), ("var_combination", "$remote_addr")] {
        let body = json!({ "count": 1, "time_window": 60, "key": key, "key_type": kind });
        let mut bench = harness(&PLUGIN, body);
        for (address, status) in [
            ("2001:db8::1", 200),
            ("2001:db8::ffff:1", 503),
            ("2001:db8:0:1::1", 200),
            ("192.0.2.1", 200),
            ("::ffff:192.0.2.1", 503),
            ("192.0.2.2", 200),
        ] {
            bench = bench.from(address);
            let forged = [("X-Forwarded-For", "9.9.9.9"), ("X-Real-IP", "9.9.9.9")];
            assert_eq!(bench.send("GET", "/", &forged, "").status(), status, "{kind} {address}");
        }
    }
}

#[test]
fn several_rules_count_side_by_side() {
    let body = json!({ "rules": [
        { "count": 3, "time_window": 60, "key": "$remote_addr" },
        { "count": "${http_x_quota ?? 1}", "time_window": 10, "key": "user-$http_x_user", "header_prefix": "User" },
    ] });
    let mut bench = harness(&PLUGIN, body);
    let first = bench.send("GET", "/", &[("X-User", "a")], "");
    assert_eq!(quota(first.expect_status(200), "1-"), said("3", "2", "60"));
    assert_eq!(quota(&first, "User-"), said("1", "0", "10"));
    let second = bench.send("GET", "/", &[("X-User", "a")], "");
    assert_eq!(quota(second.expect_status(503), "User-"), said("1", "0", "10"));
    let without_user = bench.get("/");
    assert_eq!(quota(without_user.expect_status(200), "1-"), said("3", "0", "60"));
    assert_eq!(quota(&without_user, "User-"), [None, None, None]);
}

#[test]
fn what_can_not_be_counted_fails_closed_unless_told_otherwise() {
    let by_rules = json!({ "rules": [{ "count": 1, "time_window": 60, "key": "$http_x_user" }] });
    let by_text = json!({ "count": "$http_x_count", "time_window": 60 });
    for body in [by_rules, by_text] {
        let refused = harness(&PLUGIN, body.clone()).send("GET", "/", &[("X-Count", "many")], "");
        refused.expect_status(500);
        assert_eq!(refused.text(), "{\"error_msg\":\"failed to limit count\"}\n");
        let mut degraded = body;
        degraded["allow_degradation"] = true.into();
        harness(&PLUGIN, degraded).send("GET", "/", &[("X-Count", "0")], "").expect_status(200);
    }
}

#[test]
fn counters_outlive_an_edit_of_something_else() {
    let body = json!({ "count": 1, "time_window": 60 });
    let mut bench = harness(&PLUGIN, body.clone());
    bench.get("/").expect_status(200);
    let mut unchanged = bench.beside("/apisix/routes/1", &bodies(body)).unwrap();
    unchanged.get("/").expect_status(503);
    let edited = json!({ "count": 1, "time_window": 61 });
    bench.beside("/apisix/routes/1", &bodies(edited.clone())).unwrap().get("/").expect_status(200);
    bench.beside("/apisix/routes/2", &bodies(edited)).unwrap().get("/").expect_status(200);
}

#[test]
fn a_group_counts_together_and_has_one_body() {
    let body = json!({ "count": 1, "time_window": 60, "group": "shared" });
    let mut first = harness(&PLUGIN, body.clone());
    first.get("/").expect_status(200);
    first.beside("/apisix/routes/2", &bodies(body.clone())).unwrap().get("/").expect_status(503);
    let other = json!({ "count": 2, "time_window": 60, "group": "shared" });
    let error = first.beside("/apisix/routes/3", &bodies(other)).err().unwrap();
    assert!(error.message.ends_with("err: group conf mismatched"), "{error}");
    let elsewhere = json!({ "count": 1, "time_window": 60, "group": "other" });
    first.beside("/apisix/routes/4", &bodies(elsewhere)).unwrap().get("/").expect_status(200);
    // So it is where the counters are in Redis.
    let far = |count: u64| json!({ "count": count, "time_window": 60, "group": "far", "policy": "redis", "redis_host": "127.0.0.1" });
    let first = harness(&PLUGIN, far(1));
    assert!(first.beside("/apisix/routes/2", &bodies(far(1))).is_ok());
    let error = first.beside("/apisix/routes/3", &bodies(far(2))).err().unwrap();
    assert!(error.message.ends_with("err: group conf mismatched"), "{error}");
}

#[test]
fn a_number_may_be_written_as_a_text() {
    let mut bench = harness(&PLUGIN, json!({ "count": "2", "time_window": " 60.0 " }));
    assert_eq!(quota(bench.get("/").expect_status(200), ""), said("2", "1", "60"));
}

#[test]
fn refuses_bodies_that_can_not_work() {
    for (body, sentence) in [
        (json!({}), ""),
        (json!({ "count": 1 }), ""),
        (json!({ "count": 0, "time_window": 60 }), ""),
        (json!({ "count": 1.5, "time_window": 60 }), ""),
        (json!({ "count": 1, "time_window": 60, "rejected_code": 199 }), "expected 199 to be at least 200"),
        (json!({ "count": 1, "time_window": 60, "rejected_code": 600 }), "expected 600 to be at most 599"),
        (json!({ "count": 1, "time_window": 60, "rejected_msg": "" }), "string too short"),
        (json!({ "count": 1, "time_window": 60, "key_type": "x" }), "matches none of the enum values"),
        (
            json!({ "count": 1, "rules": [{ "count": 1, "time_window": 1, "key": "a" }] }),
            "count/time_window and rules",
        ),
        (json!({ "group": "g", "rules": [{ "count": 1, "time_window": 1, "key": "a" }] }), "group and rules"),
        (
            json!({ "rules": [{ "count": 1, "time_window": 1, "key": "a" }, { "count": 2, "time_window": 1, "key": "a" }] }),
            "duplicate key 'a' in rules",
        ),
        (
            json!({ "rules": [{ "count": 1, "time_window": 1, "key": "$uri", "header_prefix": "a b" }] }),
            "is not a header name",
        ),
        (
            json!({ "count": "x", "time_window": 60 }),
            "property \"count\" validation failed: \"x\" is neither a whole number above 0 nor a text with a variable, such as \"${http_x_quota ?? 10}\"",
        ),
        (
            json!({ "count": "0", "time_window": 60 }),
            "property \"count\" validation failed: \"0\" is neither",
        ),
        (json!({ "count": "", "time_window": 60 }), "property \"count\" validation failed: \"\" is neither"),
        (
            json!({ "count": 1, "time_window": "1.5" }),
            "property \"time_window\" validation failed: \"1.5\" is neither",
        ),
        (
            json!({ "rules": [{ "count": "\\$x", "time_window": 1, "key": "$uri" }] }),
            "property \"rules[0].count\" validation failed: \"\\\\$x\" is neither",
        ),
        (
            json!({ "count": 1e30, "time_window": 60 }),
            "property \"count\" validation failed: expected a whole number from 1 to 18446744073709551615, or a text",
        ),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(error.message.contains(sentence), "{body}: {error}");
    }
}
