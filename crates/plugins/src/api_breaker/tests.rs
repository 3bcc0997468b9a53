//! `api-breaker` through the harness: an upstream that fails, recovers, and fails again.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use usher_pipeline::harness::{Harness, harness, try_harness};
use usher_pipeline::reply::Reply;

use super::PLUGIN;

/// A bench whose upstream answers with the status in the cell, and counts.
fn bench(body: Value) -> (Harness, Rc<Cell<u16>>, Rc<Cell<u32>>) {
    let (status, count) = (Rc::new(Cell::new(500)), Rc::new(Cell::new(0)));
    let (now, counts) = (Rc::clone(&status), Rc::clone(&count));
    let bench = harness(&PLUGIN, body).upstream(move |_| {
        counts.set(counts.get() + 1);
        Reply::text(now.get(), "text/plain", "up")
    });
    (bench, status, count)
}

#[test]
fn answers_for_an_upstream_that_fails_longer_each_time() {
    let (mut bench, _, count) = bench(json!({ "break_response_code": 502, "max_breaker_sec": 5 }));
    for wanted in [500, 500, 500, 502, 502] {
        bench.get("/a").expect_status(wanted);
    }
    assert_eq!(count.get(), 3);
    bench.get("/b").expect_status(500);
    let mut now = 0;
    for (ms, wanted) in [
        (1_999, &[502_u16] as &[_]),
        // One failure behind the break brings it back, until 4 seconds are over.
        (2_000, &[500, 502]),
        (3_999, &[502]),
        // The second round is complete.
        (4_000, &[500, 500, 502]),
        (7_999, &[502]),
        // The third would be 8 seconds, and 5 is the most.
        (8_000, &[500, 502]),
        (9_000, &[500, 500, 502]),
        (13_999, &[502]),
        (14_000, &[500, 500, 500, 502]),
    ] {
        bench.pass(Duration::from_millis(ms - now));
        now = ms;
        for status in wanted {
            let got = bench.get("/a").status();
            assert_eq!(got, *status, "at {ms} ms");
        }
    }
}

#[test]
fn successes_in_a_row_close_the_matter() {
    let body =
        json!({ "break_response_code": 599, "unhealthy": { "failures": 2 }, "healthy": { "successes": 2 } });
    let (mut bench, status, _) = bench(body);
    bench.get("/").expect_status(500);
    bench.get("/").expect_status(500);
    bench.get("/").expect_status(599);
    bench.pass(Duration::from_secs(3));
    status.set(200);
    bench.get("/").expect_status(200);
    bench.get("/").expect_status(200);
    status.set(500);
    bench.get("/").expect_status(500);
    status.set(404);
    bench.get("/").expect_status(404);
    status.set(500);
    bench.get("/").expect_status(500);
    bench.get("/").expect_status(599);
    // A first round again: 2 seconds.
    bench.pass(Duration::from_secs(2));
    bench.get("/").expect_status(500);
}

#[test]
fn the_answer_looks_as_it_was_asked_for() {
    let body = json!({
        "break_response_code": 503, "unhealthy": { "failures": 1 }, "break_response_body": "{\"wait\":true}",
        "break_response_headers": [{ "key": "Content-Type", "value": "application/json" }, { "key": "X-Path", "value": "$uri" }],
    });
    let (mut bench, ..) = bench(body);
    bench.get("/a").expect_status(500);
    let outcome = bench.get("/a");
    assert_eq!(outcome.expect_status(503).text(), "{\"wait\":true}");
    assert_eq!(
        (outcome.field("Content-Type"), outcome.field("X-Path")),
        (Some("application/json"), Some("/a"))
    );
    let (mut bare, ..) = self::bench(json!({ "break_response_code": 503, "unhealthy": { "failures": 1 } }));
    bare.get("/").expect_status(500);
    assert!(bare.get("/").expect_status(503).body.is_empty(), "the page of the status is the gateway's");
}

#[test]
fn refuses_bodies_that_can_not_work() {
    for (body, sentence) in [
        (json!({}), "property \"break_response_code\" is required"),
        (json!({ "break_response_code": 199 }), "expected 199 to be at least 200"),
        (json!({ "break_response_code": 200, "max_breaker_sec": 2 }), "expected 2 to be at least 3"),
        (
            json!({ "break_response_code": 200, "unhealthy": { "http_statuses": [400] } }),
            "expected 400 to be at least 500",
        ),
        (
            json!({ "break_response_code": 200, "unhealthy": { "failures": 0 } }),
            "expected 0 to be at least 1",
        ),
        (
            json!({ "break_response_code": 200, "healthy": { "http_statuses": [] } }),
            "expect array to have at least 1 items",
        ),
        (
            json!({ "break_response_code": 200, "break_response_headers": [{ "key": "a b", "value": "c" }] }),
            "is not a header name",
        ),
        (
            json!({ "break_response_code": 200, "break_response_headers": [{ "key": "a" }] }),
            "property \"value\" is required",
        ),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(error.message.contains(sentence), "{body}: {error}");
    }
}
