//! Upstream nodes that are new in a plan are tried, for a moment, and what is found is only told.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;
use usher_admin::service::Rules;

use crate::bench::{Bench, admin, agent, put, route, upstream, wanted};

/// A port of this machine that nobody listens on.
fn closed() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn new_nodes_that_do_not_answer_are_told() {
    let bench = Bench::with_rules(Rules { probe_nodes: true, ..Rules::default() }).await;
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    let shut = closed();
    let good = open.local_addr().unwrap().to_string();
    let bad = format!("127.0.0.1:{shut}");
    let refused = format!("the node {bad} can't be reached from here: it refuses the connection");
    let plan = async |nodes: serde_json::Value| {
        let plan = bench.plan([put(upstream("u"), json!({ "nodes": nodes }))]).await.unwrap();
        plan.warnings.into_iter().filter(|warning| warning.contains("can't be reached")).collect::<Vec<_>>()
    };
    for (nodes, wanted) in [
        (json!({ &good: 1 }), vec![]),
        (json!({ &bad: 1 }), vec![refused.clone()]),
        (json!({ &bad: 1, &good: 1 }), vec![refused.clone()]),
        (json!({ &bad: 0, &good: 1 }), vec![]),
        (
            json!({ "no-such-name.invalid:80": 1 }),
            vec![
                "the node no-such-name.invalid:80 can't be reached from here: its name is not known"
                    .to_owned(),
            ],
        ),
    ] {
        let told = plan(nodes.clone()).await;
        // A resolver that doesn't answer at all is too slow, and no other case.
        let late =
            told.iter().any(|warning| warning.contains("no-such-name") && warning.contains("within 300 ms"));
        assert!(told == wanted || late, "{nodes}: {told:?}");
    }
    // What was there before isn't tried again, and a direct write waits for nothing.
    bench.put(upstream("u"), json!({ "nodes": { &bad: 1 } })).await.unwrap();
    assert!(plan(json!({ &bad: 2 })).await.is_empty());
    let inline = wanted([put(route("1"), json!({ "uri": "/a", "upstream": { "nodes": { &bad: 1 } } }))]);
    assert!(bench.service.plan(&agent(), inline.clone()).await.unwrap().warnings.contains(&refused));
    assert!(!bench.service.write(&admin(), inline).await.unwrap().warnings.contains(&refused));
}

#[tokio::test]
async fn many_silent_nodes_take_no_longer_than_one() {
    let bench = Bench::with_rules(Rules { probe_nodes: true, ..Rules::default() }).await;
    let nodes: serde_json::Map<String, serde_json::Value> =
        (1..=200).map(|at| (format!("192.0.2.{at}:81"), json!(1))).collect();
    let begun = Instant::now();
    let plan = bench.plan([put(upstream("u"), json!({ "nodes": nodes }))]).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let told = plan.warnings.iter().filter(|warning| warning.contains("can't be reached")).count();
    assert!(told <= 10, "{told}");
    bench.agree(&plan).await.unwrap();
}
