//! Where requests go: turns, references, names, forbidden addresses, and how connections are kept.

use std::io::Write as _;

use serde_json::json;
use usher_proxy::options::Options;

use crate::origin::{Origin, answer};
use crate::support::{Gateway, options};

#[test]
fn nodes_take_turns_by_weight() {
    let (a, b) = (Origin::fixed("a"), Origin::fixed("b"));
    let upstream = json!({ "nodes": { a.address.to_string(): 3, b.address.to_string(): 1 } });
    let gateway = Gateway::to(upstream);
    let mut client = gateway.connect();
    for _ in 0..40 {
        client.request("GET", "/", "", b"");
        client.answer().unwrap();
    }
    assert_eq!((a.seen().len(), b.seen().len()), (30, 10));
    assert_eq!((a.connections(), b.connections()), (1, 1));
}

#[test]
fn an_upstream_is_looked_up_at_each_request() {
    let (a, b) = (Origin::fixed("a"), Origin::fixed("b"));
    let gateway = Gateway::start(&[
        ("upstreams/u", a.upstream()),
        ("routes/1", json!({ "uri": "/*", "upstream_id": "u" })),
    ]);
    let mut client = gateway.connect();
    client.request("GET", "/", "", b"");
    assert_eq!(client.answer().unwrap().text(), "a");
    gateway.put(&[("upstreams/u", b.upstream())]);
    client.request("GET", "/", "", b"");
    assert_eq!(client.answer().unwrap().text(), "b");
}

#[test]
fn a_plugin_may_choose_another_upstream() {
    let (own, other, inline) = (Origin::fixed("own"), Origin::fixed("other"), Origin::fixed("inline"));
    let route = |uri: &str, plugins| json!({ "uri": uri, "upstream": own.upstream(), "plugins": plugins });
    let gateway = Gateway::start(&[
        ("upstreams/other", other.upstream()),
        ("routes/1", route("/id", json!({ "trial": { "upstream_id": "other" } }))),
        ("routes/2", route("/inline", json!({ "trial": { "upstream": inline.upstream() } }))),
        ("routes/3", route("/nowhere", json!({ "trial": { "upstream_id": "none" } }))),
    ]);
    for _ in 0..2 {
        assert_eq!(gateway.get("/id").text(), "other");
        assert_eq!(gateway.get("/inline").text(), "inline");
        assert_eq!(gateway.get("/nowhere").status, 502);
    }
    assert_eq!((own.seen().len(), inline.connections()), (0, 1));
}

#[test]
fn a_node_may_be_a_name() {
    let origin = Origin::echo();
    let node = format!("localhost:{}", origin.address.port());
    let gateway = Gateway::to(json!({ "nodes": { node.as_str(): 1 }, "pass_host": "node" }));
    let mut client = gateway.connect();
    for _ in 0..10 {
        client.request("GET", "/", "", b"");
        assert_eq!(client.answer().unwrap().status, 200, "whichever of its addresses came first");
    }
    assert_eq!((origin.last().field("host"), origin.connections()), (Some(node.as_str()), 1));
    // RFC 6761 keeps this name for names that don't exist.
    assert_eq!(Gateway::to(json!({ "nodes": { "nowhere.invalid:80": 1 } })).get("/").status, 502);
}

#[test]
fn names_that_lead_to_forbidden_addresses_are_not_followed() {
    let own = Origin::fixed("the Admin API");
    let node = format!("localhost:{}", own.address.port());
    let options = Options {
        forbidden: vec![own.address, format!("[::1]:{}", own.address.port()).parse().unwrap()],
        ..options()
    };
    let route = json!({ "uri": "/*", "upstream": { "nodes": { node: 1 } } });
    let gateway = Gateway::start_with(options, &[("routes/1", route)]);
    assert_eq!(gateway.get("/").status, 502);
    assert_eq!(own.connections(), 0);
}

#[test]
fn connections_are_kept_as_the_upstream_says() {
    for (pool, connections) in [
        (json!({ "size": 1, "idle_timeout": 60, "requests": 1000 }), 1),
        (json!({ "size": 1, "idle_timeout": 60, "requests": 2 }), 3),
        (json!({ "size": 1, "idle_timeout": 60, "requests": 1 }), 6),
    ] {
        let origin = Origin::fixed("ok");
        let mut upstream = origin.upstream();
        upstream["keepalive_pool"] = pool.clone();
        let gateway = Gateway::to(upstream);
        let mut client = gateway.connect();
        for _ in 0..6 {
            client.request("GET", "/", "", b"");
            client.answer().unwrap();
        }
        assert_eq!(origin.connections(), connections, "{pool}");
    }
}

#[test]
fn a_connection_that_the_upstream_closes_is_not_kept() {
    for bytes in [
        answer(200, &[("Connection", "close")], "ok"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
    ] {
        let origin = Origin::start(move |_, stream| stream.write_all(&bytes).is_ok());
        let gateway = Gateway::to(origin.upstream());
        let mut client = gateway.connect();
        for _ in 0..3 {
            client.request("GET", "/", "", b"");
            assert_eq!(client.answer().unwrap().text(), "ok");
        }
        assert_eq!(origin.connections(), 3);
    }
}
