//! Health checks as clients and operators see them: who is probed, who gets requests, and what an edit leaves alone.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use usher_model::live::UpstreamHealth;
use usher_proxy::options::Options;

use crate::origin::{Origin, answer};
use crate::support::{Gateway, eventually, options};

/// A node whose health page answers with a status that can be changed, and everything else with 200 and its name.
struct Patient {
    origin: Origin,
    status: Arc<AtomicU16>,
}

impl Patient {
    fn new(name: &'static str) -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let told = Arc::clone(&status);
        let origin = Origin::start(move |seen, stream| {
            let status = if seen.line().contains(" /up ") { told.load(Ordering::SeqCst) } else { 200 };
            stream.write_all(&answer(status, &[], name)).is_ok()
        });
        Self { origin, status }
    }

    fn probes(&self) -> usize {
        self.origin.seen().iter().filter(|seen| seen.line().contains(" /up ")).count()
    }
}

fn checks() -> Value {
    json!({ "active": {
        "http_path": "/up", "req_headers": ["User-Agent: probe"],
        "healthy": { "interval": 1, "successes": 1 },
        "unhealthy": { "interval": 1, "http_failures": 1, "tcp_failures": 1, "timeouts": 1 },
    } })
}

fn upstream(patients: &[&Patient], checks: Value) -> Value {
    let node = |patient: &&Patient| json!({ "host": "127.0.0.1", "port": patient.origin.address.port(), "weight": 1 });
    json!({ "nodes": patients.iter().map(node).collect::<Vec<_>>(), "checks": checks })
}

fn health(gateway: &Gateway) -> Vec<UpstreamHealth> {
    gateway.live().health()
}

fn statuses(gateway: &Gateway) -> Vec<String> {
    health(gateway).iter().flat_map(|upstream| &upstream.nodes).map(|node| node.status.clone()).collect()
}

#[test]
fn a_node_that_fails_its_probes_gets_no_requests_until_it_does_well_again() {
    let (a, b) = (Patient::new("a"), Patient::new("b"));
    let gateway = Gateway::start(&[
        ("upstreams/u", upstream(&[&a, &b], checks())),
        ("routes/1", json!({ "uri": "/*", "upstream_id": "u" })),
    ]);
    assert_eq!(health(&gateway), [], "nobody is probed before the first request");
    assert_eq!(gateway.get("/").status, 200);
    eventually("probes", || a.probes() > 0 && b.probes() > 0);
    let probe = a.origin.seen().into_iter().find(|seen| seen.line().contains("/up")).unwrap();
    assert_eq!(probe.field("user-agent"), Some("probe"));
    assert_eq!((probe.field("host"), probe.field("connection")), (Some("127.0.0.1"), Some("close")));
    assert_eq!(statuses(&gateway), ["healthy", "healthy"]);

    a.status.store(500, Ordering::SeqCst);
    eventually("a to be down", || statuses(&gateway)[0] == "unhealthy");
    for _ in 0..10 {
        assert_eq!(gateway.get("/").text(), "b");
    }
    // An edit of another field, and one of another object, leave it as it is.
    let mut edited = upstream(&[&a, &b], checks());
    edited["retries"] = json!(1);
    gateway.put(&[("upstreams/u", edited)]);
    gateway.put(&[("routes/2", json!({ "uri": "/other", "upstream_id": "u" }))]);
    assert_eq!(statuses(&gateway), ["unhealthy", "healthy"]);
    assert_eq!(gateway.get("/other").text(), "b");
    let before = a.probes();
    eventually("probes behind the edit", || a.probes() > before);

    a.status.store(200, Ordering::SeqCst);
    eventually("a to be up", || statuses(&gateway)[0] == "healthy");
    eventually("a turn for a", || gateway.get("/").text() == "a");
    let all = health(&gateway);
    assert_eq!((all[0].name.as_str(), all[0].kind.as_str()), ("/apisix/upstreams/u", "http"));
    let changes: Vec<_> = all[0].changes.iter().map(|change| change.status.as_str()).collect();
    assert_eq!(changes, ["healthy", "unhealthy"], "the newest first");
    assert!(all[0].changes[1].because.contains("a probe"), "{:?}", all[0].changes);

    gateway.change(&[], &["routes/1", "routes/2"]);
    gateway.change(&[], &["upstreams/u"]);
    eventually("nobody to be left", || health(&gateway).is_empty());
}

#[test]
fn where_no_node_is_well_all_are_used_and_one_alone_always_is() {
    let (a, b) = (Patient::new("a"), Patient::new("b"));
    for patient in [&a, &b] {
        patient.status.store(503, Ordering::SeqCst);
    }
    let gateway = Gateway::to(upstream(&[&a, &b], checks()));
    assert_eq!(gateway.get("/").status, 200);
    eventually("both to be down", || statuses(&gateway) == ["unhealthy", "unhealthy"]);
    let texts: Vec<_> = (0..4).map(|_| gateway.get("/").text()).collect();
    assert!(texts.contains(&"a".to_owned()) && texts.contains(&"b".to_owned()), "{texts:?}");
    let alone = Gateway::to(upstream(&[&a], checks()));
    assert_eq!(alone.get("/").status, 200);
    eventually("it to be down", || statuses(&alone) == ["unhealthy"]);
    assert_eq!(alone.get("/").text(), "a");
}

#[test]
fn without_the_halves_written_nobody_is_probed_and_off_means_off() {
    let a = Patient::new("a");
    let b = Patient::new("b");
    let gateway = Gateway::to(upstream(&[&a, &b], json!({ "active": { "http_path": "/up" } })));
    assert_eq!(gateway.get("/").status, 200);
    let off = Options { health_checks: false, ..options() };
    let route = json!({ "uri": "/*", "upstream": upstream(&[&a, &b], checks()) });
    let switched_off = Gateway::start_with(off, &[("routes/1", route.clone())]);
    assert_eq!(switched_off.get("/").status, 200);
    // A third gateway, whose probes show that the others had time for theirs.
    let (c, d) = (Patient::new("c"), Patient::new("d"));
    let probing = Gateway::to(upstream(&[&c, &d], checks()));
    assert_eq!(probing.get("/").status, 200);
    eventually("three rounds of probes", || c.probes() >= 3);
    assert_eq!((a.probes(), b.probes()), (0, 0));
    assert_eq!(health(&switched_off), []);
}

#[test]
fn a_tcp_check_asks_for_a_connection_alone() {
    let a = Patient::new("a");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let mut value = upstream(&[&a], checks());
    value["checks"]["active"]["type"] = json!("tcp");
    value["nodes"].as_array_mut().unwrap().push(json!({ "host": "127.0.0.1", "port": port, "weight": 1 }));
    let gateway = Gateway::to(value);
    assert_eq!(gateway.get("/").status, 200);
    eventually("the closed port to be down", || statuses(&gateway) == ["healthy", "unhealthy"]);
    assert_eq!(a.probes(), 0);
    assert_eq!(health(&gateway)[0].nodes[1].counter.tcp_failure, 1);
}

#[test]
fn a_probe_may_go_to_another_port_and_hang_no_longer_than_its_time() {
    let (a, b) = (Patient::new("a"), Patient::new("b"));
    let silent = Origin::raw(|_, stream, _| {
        loop {
            std::thread::park();
            let _ = stream.peer_addr();
        }
    });
    let mut value = upstream(&[&a, &b], checks());
    value["checks"]["active"]["port"] = json!(silent.address.port());
    value["checks"]["active"]["timeout"] = json!(0.2);
    let gateway = Gateway::to(value);
    assert_eq!(gateway.get("/").status, 200);
    eventually("both to be down", || statuses(&gateway) == ["unhealthy", "unhealthy"]);
    assert_eq!(health(&gateway)[0].nodes[0].counter.timeout_failure, 1);
    assert_eq!((a.probes(), b.probes()), (0, 0));
}

#[test]
fn ordinary_requests_show_what_a_node_is_worth() {
    let bad = Origin::start(|_, stream| stream.write_all(&answer(500, &[], "bad")).is_ok());
    let good = Patient::new("good");
    let mut value = upstream(
        &[&good],
        json!({
            "active": {}, "passive": { "healthy": { "successes": 3 }, "unhealthy": { "http_failures": 2 } },
        }),
    );
    value["nodes"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "host": "127.0.0.1", "port": bad.address.port(), "weight": 1 }));
    let gateway = Gateway::to(value);
    let mut client = gateway.connect();
    let mut failed = 0;
    for _ in 0..20 {
        client.request("GET", "/", "", b"");
        failed += usize::from(client.answer().unwrap().status == 500);
    }
    assert_eq!(failed, 2, "the second failure was the last");
    assert_eq!(statuses(&gateway), ["healthy", "unhealthy"]);
    assert!(health(&gateway)[0].changes[0].because.contains("a request"));
}

#[test]
fn broken_connections_count_too() {
    let bad = Origin::start(|_, _| false);
    let good = Patient::new("good");
    let mut value = upstream(&[&good], json!({ "active": {}, "passive": {} }));
    value["nodes"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "host": "127.0.0.1", "port": bad.address.port(), "weight": 1 }));
    let gateway = Gateway::to(value);
    for _ in 0..12 {
        assert_eq!(gateway.get("/").status, 200, "a GET is tried again");
    }
    assert_eq!(bad.seen().len(), 2, "tcp_failures is 2 unless set");
    assert_eq!(statuses(&gateway), ["healthy", "unhealthy"]);
}
