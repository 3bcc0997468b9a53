//! Many objects at once: how long they take to come into force, and what is left of them behind their deletion.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use usher_store::{Entry, Listing};

use super::Bench;

#[test]
fn ten_batches_of_routes_cost_what_they_hold() {
    let mut bench = Bench::with_routes(0);
    let mut spent = Duration::ZERO;
    for batch in 0..10 {
        let routes = (0..10_000).map(|number| {
            let number = batch * 10_000 + number;
            let uri = format!("/tenant{}/service{number}/*", number % 1000);
            let route = json!({ "uri": uri, "name": format!("route {number}"), "service_id": "s", "methods": ["GET", "POST"] });
            (format!("routes/{number}"), Some(route))
        });
        let routes = routes.collect();
        let start = Instant::now();
        // So many routes were made anew, however many the table holds already.
        assert_eq!(bench.apply(routes).0, 10_000);
        spent += start.elapsed();
    }
    println!("100,000 routes in 10 batches: {spent:?}");
}

#[test]
fn what_is_deleted_is_let_go_of() {
    let mut bench = Bench::with_routes(0);
    let routes = 20_000;
    let all = |written: bool| -> Vec<(String, Option<Value>)> {
        (0..routes)
            .flat_map(|number| {
                let route = json!({ "uri": format!("/t/{number}/*"), "host": format!("h{number}.test"), "service_id": "s", "plugins": {} });
                let consumer = json!({ "username": format!("c{number}"), "group_id": "g", "plugins": { "gate": { "key": format!("k{number}") } } });
                let upstream = json!({ "nodes": { "10.0.0.1:80": 1 } });
                [
                    (format!("routes/{number}"), route),
                    (format!("consumers/c{number}"), consumer),
                    (format!("upstreams/{number}"), upstream),
                ]
            })
            .map(|(key, value)| (key, written.then_some(value)))
            .collect()
    };
    bench.apply(vec![("consumer_groups/g".to_owned(), Some(json!({ "plugins": {} })))]);
    let before = bench.workshop.room();
    for _ in 0..2 {
        bench.apply(all(true));
        assert!(bench.workshop.room() > before + 3 * routes);
        bench.apply(all(false));
        let after = bench.workshop.room();
        assert!(after < before + 8 * 1024, "{after} places instead of {before}");
    }
}

/// Stores of several machines count more than our own changes, and one that was wiped counts anew.
#[test]
fn revisions_may_have_gaps_and_begin_anew() {
    let mut bench = Bench::with_routes(0);
    let route = |uri: &str| json!({ "uri": uri, "plugins": {} });
    bench.revision = 40;
    assert_eq!(bench.apply(vec![("routes/1".to_owned(), Some(route("/one")))]).1.revision(), 41);
    bench.revision = 90;
    assert_eq!(bench.apply(vec![("routes/2".to_owned(), Some(route("/two")))]).1.revision(), 91);
    let entry = |id: &str, uri: &str, modified: u64| Entry {
        key: format!("/apisix/routes/{id}").into(),
        value: route(uri).to_string().into(),
        created: modified,
        modified,
    };
    // The same as before, at a revision of somebody else's.
    let built = bench.workshop.built;
    let same = Listing { revision: 120, entries: vec![entry("1", "/one", 41), entry("2", "/two", 91)] };
    let snapshot = bench.workshop.replace(&same);
    assert_eq!((snapshot.revision(), bench.workshop.built), (120, built), "nothing moved");
    // Wiped and filled anew: a revision that was there before now stands for something else.
    let anew = Listing { revision: 41, entries: vec![entry("1", "/other", 41), entry("3", "/three", 40)] };
    let snapshot = bench.workshop.replace(&anew);
    let mut uris = Vec::new();
    snapshot.each_route(&mut |candidate| uris.push(candidate.facts.uri.to_string()));
    uris.sort();
    assert_eq!((snapshot.revision(), uris), (41, vec!["/other".to_owned(), "/three".to_owned()]));
}
