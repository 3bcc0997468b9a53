//! `limit-conn` through the harness: requests that are on their way while others come, here and by way of Redis.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use usher_pipeline::harness::{Clock, Harness, harness, try_harness};
use usher_pipeline::reply::Reply;
use usher_pipeline::worker::Worker as _;

use super::PLUGIN;
use crate::redis_link::tests::Server;

fn bodies(body: &Value) -> Map<String, Value> {
    Map::from_iter([("limit-conn".to_owned(), body.clone())])
}

/// What a request is answered that comes while `held` others are on their way.
fn while_held(outer: &mut Harness, body: &Value, held: usize, target: &'static str) -> u16 {
    let answer = Rc::new(Cell::new(0));
    let chain: Rc<RefCell<Vec<Harness>>> = Rc::default();
    for _ in 0..=held {
        chain.borrow_mut().push(outer.beside("/apisix/routes/1", &bodies(body)).unwrap());
    }
    next(&chain, &answer, target, held);
    answer.get()
}

/// Sends a request whose upstream sends the next one before it answers.
fn next(chain: &Rc<RefCell<Vec<Harness>>>, answer: &Rc<Cell<u16>>, target: &'static str, left: usize) {
    let bench = chain.borrow_mut().pop().unwrap();
    let (chain, told) = (Rc::clone(chain), Rc::clone(answer));
    let mut bench = if left == 0 {
        bench
    } else {
        bench.upstream(move |_| {
            next(&chain, &told, target, left - 1);
            Reply::text(200, "text/plain", "ok")
        })
    };
    let status = bench.get(target).status();
    if left == 0 {
        answer.set(status);
    }
}

#[test]
fn more_than_conn_and_burst_at_a_time_are_refused_and_all_are_released() {
    let body = json!({ "conn": 1, "burst": 1, "default_conn_delay": 0.1, "key": "remote_addr" });
    let mut bench = harness(&PLUGIN, body.clone());
    for _ in 0..3 {
        assert_eq!(while_held(&mut bench, &body, 0, "/"), 200);
        assert_eq!(while_held(&mut bench, &body, 1, "/"), 200);
        assert_eq!(while_held(&mut bench, &body, 2, "/"), 503);
    }
}

#[test]
fn a_request_beyond_conn_waits() {
    let body = json!({
        "conn": 1, "burst": 2, "default_conn_delay": 0.5, "key": "remote_addr", "only_use_default_delay": true
    });
    let mut bench = harness(&PLUGIN, body.clone());
    for (held, waited) in [(0, 0), (1, 500), (2, 500 + 1000)] {
        let before = bench.worker().now();
        assert_eq!(while_held(&mut bench, &body, held, "/"), 200);
        assert_eq!((bench.worker().now() - before).as_millis(), waited, "{held}");
    }
}

#[test]
fn the_delay_drifts_towards_how_long_requests_take() {
    let body = json!({ "conn": 1, "burst": 2, "default_conn_delay": 1, "key": "remote_addr" });
    let slow = harness(&PLUGIN, body.clone());
    let worker = Rc::clone(slow.worker());
    let mut slow = slow.upstream(move |_| {
        drop(worker.sleep(Duration::from_secs(3)));
        Reply::text(200, "text/plain", "ok")
    });
    slow.get("/").expect_status(200);
    // (1 + 3) / 2 seconds are the unit now; of the one built beside it is still 1.
    let mut other = slow.beside("/apisix/routes/1", &bodies(&body)).unwrap();
    let before = other.worker().now();
    assert_eq!(while_held(&mut other, &body, 1, "/"), 200);
    assert_eq!((other.worker().now() - before).as_secs(), 1);
}

#[test]
fn several_limits_count_side_by_side() {
    let body = json!({ "default_conn_delay": 0.1, "rejected_code": 429, "rejected_msg": "busy", "rules": [
        { "conn": 10, "burst": 0, "key": "$remote_addr" },
        { "conn": "${http_x_conn ?? 1}", "burst": "0", "key": "$arg_user" },
    ] });
    let mut bench = harness(&PLUGIN, body.clone());
    assert_eq!(while_held(&mut bench, &body, 1, "/"), 200);
    assert_eq!(while_held(&mut bench, &body, 1, "/?user=a"), 429);
    assert_eq!(while_held(&mut bench, &body, 0, "/?user=a"), 200);
    let mut none = harness(
        &PLUGIN,
        json!({ "default_conn_delay": 1, "rules": [{ "conn": 1, "burst": 0, "key": "$arg_user" }] }),
    );
    none.get("/").expect_status(500);
}

#[test]
fn two_gateways_count_together_in_redis_and_release() {
    let server = Server::start("");
    let body = json!({
        "conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr", "policy": "redis",
        "redis_host": "127.0.0.1", "redis_port": server.port, "redis_timeout": 5000, "key_ttl": 100,
    });
    let bench = || harness(&PLUGIN, body.clone()).on_runtime(Clock::Real);
    let other = Rc::new(RefCell::new(bench()));
    let (seen, asked) = (Rc::new(Cell::new(0)), Rc::clone(&other));
    let told = Rc::clone(&seen);
    let mut one = bench().upstream(move |_| {
        told.set(asked.borrow_mut().get("/").status());
        Reply::text(200, "text/plain", "ok")
    });
    one.get("/").expect_status(200);
    assert_eq!(seen.get(), 503);
    one.until(|| server.ask("DBSIZE") == ":0");
    other.borrow_mut().get("/").expect_status(200);
    drop(server);
    bench().get("/").expect_status(500);
}

#[test]
fn refuses_bodies_that_can_not_work() {
    for (body, sentence) in [
        (json!({ "default_conn_delay": 1 }), "value should match only one schema, but matches none"),
        (json!({ "conn": 1, "burst": 0, "key": "a" }), "property \"default_conn_delay\" is required"),
        (
            json!({ "conn": 0, "burst": 0, "key": "a", "default_conn_delay": 1 }),
            "property \"conn\" validation failed",
        ),
        (
            json!({ "conn": 1, "burst": -1, "key": "a", "default_conn_delay": 1 }),
            "property \"burst\" validation failed",
        ),
        (
            json!({ "conn": "x", "burst": 0, "key": "a", "default_conn_delay": 1 }),
            "property \"conn\" validation failed: \"x\" is neither",
        ),
        (
            json!({ "conn": 1, "burst": 0, "key": "a", "default_conn_delay": 0 }),
            "property \"default_conn_delay\" validation failed",
        ),
        (
            json!({ "default_conn_delay": 1, "rules": [{ "conn": 1, "burst": 0, "key": "a" }, { "conn": 2, "burst": 0, "key": "a" }] }),
            "duplicate key 'a' in rules",
        ),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(error.message.contains(sentence), "{body}: {error}");
    }
}
