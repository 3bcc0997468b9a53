//! How a node is chosen, as clients see it: by key, load and latency, and which nodes are passed over.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::origin::{Origin, answer, nobody};
use crate::support::{Gateway, eventually};

/// Nodes that answer with their number.
fn three() -> [Origin; 3] {
    [Origin::fixed("0"), Origin::fixed("1"), Origin::fixed("2")]
}

fn upstream(origins: &[Origin], members: Value) -> Value {
    let nodes: serde_json::Map<_, _> =
        origins.iter().map(|origin| (origin.address.to_string(), json!(1))).collect();
    let mut upstream = json!({ "nodes": nodes });
    upstream.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    upstream
}

#[test]
fn equal_keys_meet_equal_nodes_whatever_the_key_is_taken_from() {
    let origins = three();
    for (members, target, fields) in [
        (json!({ "key": "arg_k" }), "/?k=KEY", ""),
        (json!({ "key": "uri" }), "/KEY", ""),
        (json!({ "hash_on": "header", "key": "X-Key" }), "/", "X-Key: KEY\r\n"),
        (json!({ "hash_on": "cookie", "key": "k" }), "/", "Cookie: a=b; k=KEY\r\n"),
        (json!({ "hash_on": "vars_combinations", "key": "$host$arg_k" }), "/?k=KEY", ""),
    ] {
        let mut all = json!({ "type": "chash" });
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let gateway = Gateway::to(upstream(&origins, all));
        let mut client = gateway.connect();
        let mut met: HashMap<String, String> = HashMap::new();
        for round in 0..3 {
            for key in 0..30 {
                let key = format!("key{key}");
                client.request("GET", &target.replace("KEY", &key), &fields.replace("KEY", &key), b"");
                let node = client.answer().unwrap().text();
                let first = met.entry(key.clone()).or_insert_with(|| node.clone());
                assert_eq!(*first, node, "{members}: {key} in round {round}");
            }
        }
        let nodes: std::collections::HashSet<_> = met.values().collect();
        assert_eq!(nodes.len(), 3, "{members}: thirty keys meet all three");
    }
}

#[test]
fn a_request_without_a_key_goes_by_its_client() {
    let origins = three();
    let gateway =
        Gateway::to(upstream(&origins, json!({ "type": "chash", "hash_on": "header", "key": "x-key" })));
    for _ in 0..20 {
        assert_eq!(gateway.get("/").status, 200);
    }
    let met = origins.iter().filter(|origin| !origin.seen().is_empty()).count();
    assert_eq!(met, 1);
}

#[test]
fn a_dead_node_s_keys_move_and_the_others_stay() {
    let origins = three();
    let gateway = Gateway::start(&[]);
    let route = |nodes: &[(String, u32)]| {
        let nodes: serde_json::Map<_, _> =
            nodes.iter().map(|(name, weight)| (name.clone(), json!(weight))).collect();
        json!({ "uri": "/*", "upstream": { "nodes": nodes, "type": "chash", "key": "uri" } })
    };
    let all: Vec<_> = origins.iter().map(|origin| (origin.address.to_string(), 1)).collect();
    gateway.put(&[("routes/1", route(&all))]);
    let mut client = gateway.connect();
    let mut look = || -> Vec<String> {
        (0..60)
            .map(|key| {
                client.request("GET", &format!("/{key}"), "", b"");
                client.answer().unwrap().text()
            })
            .collect()
    };
    let before = look();
    gateway.put(&[("routes/1", route(&all[1..]))]);
    let after = look();
    for (key, (before, after)) in before.iter().zip(&after).enumerate() {
        assert!(before == after || before == "0", "key {key} moved from {before} to {after}");
        assert_ne!(after, "0");
    }
}

#[test]
fn the_node_with_fewer_requests_under_way_is_taken_also_after_clients_went_away() {
    let held = Arc::new(AtomicBool::new(true));
    let (holds, waiting) = (Arc::clone(&held), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&waiting);
    let slow = Origin::start(move |_, stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        while holds.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(2));
        }
        stream.write_all(&answer(200, &[], "slow")).is_ok()
    });
    let quick = Origin::fixed("quick");
    let nodes = json!([
        { "host": "127.0.0.1", "port": slow.address.port(), "weight": 1 },
        { "host": "127.0.0.1", "port": quick.address.port(), "weight": 1 },
    ]);
    let gateway = Gateway::to(json!({ "nodes": nodes, "type": "least_conn" }));
    // One request hangs at the slow node; all others find that out.
    let mut hanging: Vec<_> = Vec::new();
    while waiting.load(Ordering::SeqCst) == 0 {
        let mut client = gateway.connect();
        client.request("GET", "/", "", b"");
        client.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        if client.answer().is_none() {
            hanging.push(client);
        }
    }
    for _ in 0..20 {
        assert_eq!(gateway.get("/").text(), "quick");
    }
    // The client leaves: what it had under way is under way no more.
    drop(hanging);
    held.store(false, Ordering::SeqCst);
    eventually("a turn for the slow node", || gateway.get("/").text() == "slow");
    let slow_before = slow.seen().len();
    for _ in 0..20 {
        gateway.get("/");
    }
    assert!(slow.seen().len() >= slow_before + 5, "idle nodes share");
}

#[test]
fn the_quicker_node_is_preferred() {
    let slow = Origin::start(|_, stream| {
        thread::sleep(Duration::from_millis(60));
        stream.write_all(&answer(200, &[], "slow")).is_ok()
    });
    let quick = Origin::fixed("quick");
    let gateway = Gateway::to(upstream(&[slow.clone(), quick.clone()], json!({ "type": "ewma" })));
    let mut client = gateway.connect();
    for _ in 0..60 {
        client.request("GET", "/", "", b"");
        assert_eq!(client.answer().unwrap().status, 200);
    }
    assert!(slow.seen().len() <= 5, "{} went to the slow one", slow.seen().len());
    assert!(!slow.seen().is_empty() || !quick.seen().is_empty());
}

#[test]
fn a_node_that_keeps_failing_costs_three_requests_and_no_more() {
    // Takes each request and says nothing: what was sent to it can't be sent again.
    let bad = Origin::start(|_, _| false);
    let (one, other) = (Origin::fixed("ok"), Origin::fixed("ok"));
    for balancer in ["roundrobin", "chash", "least_conn"] {
        let seen = bad.seen().len();
        let members = json!({ "type": balancer, "key": "uri" });
        let gateway = Gateway::to(upstream(&[bad.clone(), one.clone(), other.clone()], members));
        let mut failed = 0;
        for turn in 0..150 {
            let answer = gateway.send("POST", &format!("/{turn}"), "", b"body");
            failed += usize::from(answer.status != 200);
        }
        let met = bad.seen().len() - seen;
        assert_eq!(failed, met, "{balancer}: a request that was taken is not sent again");
        // Three failures, and one more for each rest that was over meanwhile: 1 s, 2 s, 4 s.
        assert!((3..=8).contains(&failed), "{balancer}: {failed} failed");
    }
}

#[test]
fn where_every_node_fails_all_are_tried_all_the_same() {
    let gateway = Gateway::to(json!({ "nodes": { nobody().to_string(): 1, nobody().to_string(): 1 } }));
    for _ in 0..10 {
        let answer = gateway.get("/");
        assert_eq!(answer.field("x-apisix-upstream-status"), Some("502, 502"));
    }
}

#[test]
fn turns_go_on_over_an_edit_of_the_upstream() {
    let (a, b) = (Origin::fixed("a"), Origin::fixed("b"));
    let gateway = Gateway::start(&[]);
    let mut answers = Vec::new();
    for retries in 0..6 {
        let upstream = json!({
            "retries": retries,
            "nodes": [
                { "host": "127.0.0.1", "port": a.address.port(), "weight": 1 },
                { "host": "127.0.0.1", "port": b.address.port(), "weight": 1 },
            ],
        });
        gateway.put(&[("routes/1", json!({ "uri": "/*", "upstream": upstream }))]);
        answers.push(gateway.get("/").text());
    }
    assert_eq!(answers.concat(), "ababab");
}
