//! `limit-count` with real Redis servers: alone, as a cluster, behind a sentinel, and away.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value, json};
use usher_pipeline::harness::{Clock, Harness, harness, try_harness};

use super::PLUGIN;
use crate::redis_link::tests::{Server, within_ten_seconds};

fn with_redis(server: &Server, more: Value) -> Value {
    let mut body = json!({
        "count": 2, "time_window": 60, "policy": "redis", "redis_host": "127.0.0.1", "redis_port": server.port,
        "redis_timeout": 5000,
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn bench(body: Value) -> Harness {
    harness(&PLUGIN, body).on_runtime(Clock::Real)
}

fn statuses(bench: &mut Harness, times: usize) -> Vec<u16> {
    (0..times).map(|_| bench.get("/").status()).collect()
}

#[test]
fn two_gateways_count_together_exactly() {
    let server = Server::start("");
    for kind in ["fixed", "sliding"] {
        let body = with_redis(&server, json!({ "window_type": kind }));
        let (mut one, mut other) = (bench(body.clone()), bench(body));
        let first = one.get("/");
        assert_eq!(first.field("X-RateLimit-Limit"), Some("2"));
        assert_eq!(first.field("X-RateLimit-Remaining"), Some("1"));
        let reset: f64 = first.field("X-RateLimit-Reset").unwrap().parse().unwrap();
        assert!((59.0..=60.0).contains(&reset), "{kind} {reset}");
        assert_eq!(other.get("/").expect_status(200).field("X-RateLimit-Remaining"), Some("0"));
        assert_eq!((statuses(&mut one, 2), statuses(&mut other, 2)), (vec![503, 503], vec![503, 503]));
        one = one.from("192.0.2.7");
        one.get("/").expect_status(200);
    }
}

#[test]
fn a_window_ends_by_redis_own_clock() {
    let server = Server::start("");
    let mut bench = bench(with_redis(&server, json!({ "count": 1, "time_window": 1 })));
    assert_eq!(statuses(&mut bench, 2), [200, 503]);
    let mut status = 503;
    for _ in 0..100 {
        bench.pass(std::time::Duration::from_millis(50));
        status = bench.get("/").status();
        if status == 200 {
            break;
        }
    }
    assert_eq!(status, 200);
}

#[test]
fn passwords_users_and_databases_are_used() {
    let server = Server::start("user bob on >letmein ~* +@all\nuser default off\n");
    let good = json!({ "redis_username": "bob", "redis_password": "letmein", "redis_database": 3 });
    assert_eq!(statuses(&mut bench(with_redis(&server, good)), 3), [200, 200, 503]);
    let bad = json!({ "redis_username": "bob", "redis_password": "wrong" });
    let refused = bench(with_redis(&server, bad)).get("/");
    assert_eq!(refused.expect_status(500).text(), "{\"error_msg\":\"failed to limit count\"}\n");
}

#[test]
fn a_redis_that_is_away_or_silent_fails_closed_within_its_timeout() {
    let away = Server::start("");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut body = with_redis(&away, json!({ "redis_timeout": 200 }));
    drop(away);
    for port in [body["redis_port"].clone(), silent.local_addr().unwrap().port().into()] {
        body["redis_port"] = port;
        let begun = std::time::Instant::now();
        bench(body.clone()).get("/").expect_status(500);
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
        let mut degraded = body.clone();
        degraded["allow_degradation"] = true.into();
        bench(degraded).get("/").expect_status(200);
    }
}

#[test]
fn a_connection_that_broke_is_opened_anew() {
    let server = Server::start("");
    let mut bench = bench(with_redis(&server, json!({ "count": 5 })));
    bench.get("/").expect_status(200);
    server.ask("CLIENT KILL TYPE normal SKIPME yes");
    server.ask("SCRIPT FLUSH");
    let again = bench.get("/");
    assert_eq!(again.expect_status(200).field("X-RateLimit-Remaining"), Some("3"));
}

#[test]
fn keys_of_a_cluster_are_found_on_their_nodes() {
    let nodes = Server::cluster();
    let body = json!({
        "count": 1, "time_window": 60, "policy": "redis-cluster", "redis_cluster_name": "c", "redis_timeout": 5000,
        "redis_cluster_nodes": [format!("127.0.0.1:{}", nodes[1].port)],
    });
    let mut bench = bench(body);
    for client in 1..30 {
        bench = bench.from(&format!("192.0.2.{client}"));
        assert_eq!(statuses(&mut bench, 2), [200, 503], "{client}");
    }
    let kept: Vec<String> = nodes.iter().map(|node| node.ask("DBSIZE")).collect();
    assert!(kept.iter().all(|size| size != ":0"), "every node has some of the keys: {kept:?}");
}

#[test]
fn sentinels_name_the_server() {
    let server = Server::start("");
    let sentinel = server.watched();
    let body = json!({
        "count": 1, "time_window": 60, "policy": "redis-sentinel", "redis_master_name": "mymaster",
        "redis_sentinels": [{ "host": "127.0.0.1", "port": 1 }, { "host": "127.0.0.1", "port": sentinel.port }],
    });
    assert_eq!(statuses(&mut bench(body.clone()), 2), [200, 503]);
    let mut unknown = body;
    unknown["redis_master_name"] = "nobody".into();
    bench(unknown).get("/").expect_status(500);
}

/// The master goes down, and for a while sentinels still name it.
#[test]
fn whoever_sentinels_name_behind_a_failure_counts() {
    let (server, next) = (Server::start(""), Server::start(""));
    let sentinel = server.watched();
    let body = json!({
        "count": 5, "time_window": 60, "policy": "redis-sentinel", "redis_master_name": "mymaster",
        "redis_sentinels": [{ "host": "127.0.0.1", "port": sentinel.port }],
    });
    let mut bench = bench(body);
    bench.get("/").expect_status(200);
    drop(server);
    assert_eq!(statuses(&mut bench, 2), [500; 2]);
    assert_eq!(sentinel.ask("SENTINEL REMOVE mymaster"), "+OK");
    assert_eq!(sentinel.ask(&format!("SENTINEL MONITOR mymaster 127.0.0.1 {} 1", next.port)), "+OK");
    assert_eq!(statuses(&mut bench, 2), [200; 2]);
}

/// A node of a cluster goes away, and another one has its keys.
#[test]
fn a_cluster_is_asked_anew_who_has_a_key() {
    let settings = "cluster-enabled yes";
    let nodes = [Server::start(settings), Server::start(settings)];
    for node in &nodes {
        assert_eq!(node.ask("CLUSTER ADDSLOTSRANGE 0 16383"), "+OK");
        within_ten_seconds(|| node.all("CLUSTER INFO").iter().any(|line| line == "cluster_state:ok"));
    }
    let mut bench = bench(json!({
        "count": 5, "time_window": 60, "policy": "redis-cluster", "redis_cluster_name": "c", "redis_timeout": 5000,
        "redis_cluster_nodes": nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port)),
    }));
    bench.get("/").expect_status(200);
    let [gone, _kept] = nodes;
    drop(gone);
    assert_eq!(statuses(&mut bench, 3)[1..], [200; 2]);
}

/// As when a machine loses its power, or something between forgets a connection.
#[test]
fn a_connection_that_went_silent_is_left() {
    let server = Server::start("");
    let between = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = between.local_addr().unwrap().port();
    let silent = Arc::new(AtomicUsize::new(0));
    let (upstream, below) = (server.port, Arc::clone(&silent));
    std::thread::spawn(move || {
        for (at, client) in between.incoming().flatten().enumerate() {
            let there = TcpStream::connect(("127.0.0.1", upstream)).unwrap();
            for (mut from, mut to) in
                [(client.try_clone().unwrap(), there.try_clone().unwrap()), (there, client)]
            {
                let below = Arc::clone(&below);
                std::thread::spawn(move || {
                    let mut piece = [0; 4096];
                    while let Ok(count @ 1..) = from.read(&mut piece) {
                        if at >= below.load(Ordering::SeqCst) {
                            let _ = to.write_all(&piece[..count]);
                        }
                    }
                });
            }
        }
    });
    let body = with_redis(&server, json!({ "redis_port": port, "count": 5, "redis_timeout": 400 }));
    let mut bench = bench(body);
    bench.get("/").expect_status(200);
    silent.store(1, Ordering::SeqCst);
    assert_eq!(statuses(&mut bench, 3), [500, 200, 200]);
}

#[test]
fn a_silent_sentinel_holds_up_one_request() {
    let server = Server::start("");
    let sentinel = server.watched();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let body = json!({
        "count": 5, "time_window": 60, "policy": "redis-sentinel", "redis_master_name": "mymaster",
        "redis_connect_timeout": 300, "redis_read_timeout": 300,
        "redis_sentinels": [
            { "host": "127.0.0.1", "port": silent.local_addr().unwrap().port() },
            { "host": "127.0.0.1", "port": sentinel.port },
        ],
    });
    assert_eq!(statuses(&mut bench(body), 3), [500, 200, 200]);
}

#[test]
fn delayed_counters_meet_in_redis() {
    let server = Server::start("");
    let body = with_redis(&server, json!({ "count": 4, "sync_interval": 0.1 }));
    let (mut one, mut other) = (bench(body.clone()), bench(body));
    assert_eq!(statuses(&mut one, 3), [200; 3]);
    one.until(|| server.ask("DBSIZE") == ":1");
    // The first request doesn't know yet of the other gateway's; behind the next round it does.
    other.get("/").expect_status(200);
    let mut left = Vec::new();
    for _ in 0..100 {
        other.pass(std::time::Duration::from_millis(50));
        left.push(other.get("/").status());
        if left.last() == Some(&503) {
            break;
        }
    }
    assert_eq!(left.last(), Some(&503));
    assert!(left.iter().filter(|status| **status == 200).count() <= 4, "{left:?}");
}

#[test]
fn windows_that_end_before_counters_would_meet_are_counted_in_redis_at_once() {
    let server = Server::start("");
    let body = with_redis(
        &server,
        json!({ "count": 1, "time_window": "${http_x_window ?? 600}", "sync_interval": 900 }),
    );
    bench(body.clone()).get("/").expect_status(200);
    bench(body).get("/").expect_status(503);
}

#[test]
fn a_group_counts_together_in_redis() {
    let server = Server::start("");
    let body = with_redis(&server, json!({ "count": 1, "group": "all" }));
    let mut first = bench(body.clone());
    first.get("/").expect_status(200);
    let bodies: Map<String, Value> = [("limit-count".to_owned(), body)].into_iter().collect();
    first.beside("/apisix/routes/2", &bodies).unwrap().get("/").expect_status(503);
}

#[test]
fn says_what_is_missing() {
    for (more, sentence) in [
        (json!({ "policy": "redis" }), "property \"redis_host\" is required"),
        (json!({ "policy": "redis-cluster" }), "property \"redis_cluster_nodes\" is required"),
        (
            json!({ "policy": "redis-cluster", "redis_cluster_nodes": ["a:1"] }),
            "property \"redis_cluster_name\" is required",
        ),
        (
            json!({ "policy": "redis-cluster", "redis_cluster_nodes": ["nope"], "redis_cluster_name": "c" }),
            "\"nope\" is no host:port",
        ),
        (json!({ "policy": "redis-sentinel" }), "property \"redis_sentinels\" is required"),
        (
            json!({ "policy": "redis", "redis_host": "a.test", "redis_port": 0 }),
            "expected 0 to be at least 1",
        ),
        (
            json!({ "policy": "redis", "redis_host": "a.test", "sync_interval": 0.01 }),
            "sync_interval should be at least 0.1 seconds",
        ),
        (
            json!({ "policy": "redis", "redis_host": "a.test", "sync_interval": 1, "window_type": "sliding" }),
            "sync_interval works with window_type fixed",
        ),
        (
            json!({ "policy": "redis", "redis_host": "a.test", "sync_interval": 60 }),
            "sync_interval should be smaller than time_window, but 60 is not smaller than 60",
        ),
    ] {
        let mut body = json!({ "count": 1, "time_window": 60 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(error.message.contains(sentence), "{body}: {error}");
    }
}
