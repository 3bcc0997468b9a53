//! Nodes that are names: whom they are asked of, how long an answer is good, and what holds when none comes.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use usher_proxy::options::{AccessLog, Dns, Options};

use crate::nameserver::{A, AAAA, Data, NameServer, Said};
use crate::origin::Origin;
use crate::support::{Gateway, eventually, options};

fn asking(server: &NameServer) -> Options {
    let dns = Dns {
        servers: vec![server.address],
        search: false,
        timeout: Duration::from_millis(500),
        ..Dns::default()
    };
    Options { dns, ..options() }
}

fn gateway(server: &NameServer, name: &str, port: u16) -> Gateway {
    let upstream = json!({ "nodes": { format!("{name}:{port}"): 1 } });
    Gateway::start_with(asking(server), &[("routes/1", json!({ "uri": "/*", "upstream": upstream }))])
}

/// Two origins on one port of two addresses.
fn twins() -> (Origin, Origin) {
    loop {
        let one = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(other) = TcpListener::bind(("127.0.0.2", one.local_addr().unwrap().port())) {
            return (Origin::fixed_on(one, "one"), Origin::fixed_on(other, "other"));
        }
    }
}

#[test]
fn a_name_is_asked_again_when_its_time_is_over_and_moves_with_its_answer() {
    let (one, _other) = twins();
    let server = NameServer::start();
    server.addresses("moving.test", 1, &["127.0.0.1"]);
    let gateway = gateway(&server, "moving.test", one.address.port());
    let mut client = gateway.connect();
    for _ in 0..5 {
        client.request("GET", "/", "", b"");
        assert_eq!(client.answer().unwrap().text(), "one");
    }
    assert_eq!(server.asked("moving.test", A), 1, "nobody asks for each request");
    server.addresses("moving.test", 1, &["127.0.0.2"]);
    // Each on a connection of its own: this one ends after its ten-thousandth request, which a quick machine reaches within the second.
    eventually("the new address", || gateway.get("/").text() == "other");
}

#[test]
fn lines_tell_the_name_of_a_node_beside_its_address() {
    let origin = Origin::fixed("ok");
    let server = NameServer::start();
    server.addresses("told.test", 60, &["127.0.0.1"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let format = "$upstream_unresolved_host $upstream_addr $upstream_connect_time $upstream_header_time";
    let log = AccessLog { path: Some(path.clone()), format: Some(format.to_owned()), ..AccessLog::default() };
    let port = origin.address.port();
    let route = |uri: &str, node: &str| json!({ "uri": uri, "upstream": { "nodes": { node: 1 } } });
    let gateway = Gateway::start_with(
        Options { access_log: Some(log), ..asking(&server) },
        &[
            ("routes/name", route("/name", &format!("told.test:{port}"))),
            ("routes/address", route("/address", &origin.address.to_string())),
            ("routes/nowhere", json!({ "uri": "/nowhere" })),
        ],
    );
    for target in ["/name", "/address", "/nowhere"] {
        gateway.get(target);
    }
    gateway.drain(Duration::from_secs(5)).join().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let [name, address, nowhere] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(name.starts_with(&format!("told.test {} 0.", origin.address)), "{text}");
    assert!(address.starts_with(&format!("127.0.0.1 {} 0.", origin.address)), "{text}");
    assert_eq!(nowhere, "- - - -");
}

#[test]
fn the_last_good_answer_stays_while_there_is_no_other() {
    let origin = Origin::fixed("ok");
    for bad in [Said::Code(2), Said::Code(3), Said::Silence] {
        let server = NameServer::start();
        server.addresses("kept.test", 1, &["127.0.0.1"]);
        let gateway = gateway(&server, "kept.test", origin.address.port());
        assert_eq!(gateway.get("/").status, 200);
        server.say("kept.test", A, bad.clone());
        server.say("kept.test", AAAA, bad.clone());
        eventually("a question that fails", || {
            assert_eq!(gateway.get("/").status, 200, "{bad:?}");
            server.asked("kept.test", A) >= 2
        });
        for _ in 0..5 {
            assert_eq!(gateway.get("/").status, 200, "{bad:?}");
        }
    }
}

#[test]
fn many_requests_ask_once_and_a_name_that_is_not_there_is_remembered() {
    let origin = Origin::fixed("ok");
    let server = NameServer::start();
    server.addresses("many.test", 60, &["127.0.0.1"]);
    let found = gateway(&server, "many.test", origin.address.port());
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| found.get("/").status)).collect();
        assert!(all.into_iter().all(|one| one.join().unwrap() == 200));
    });
    assert_eq!(server.asked("many.test", A), 1);
    let missing = gateway(&server, "missing.test", 80);
    for _ in 0..5 {
        assert_eq!(missing.get("/").status, 502);
    }
    assert!(server.asked("missing.test", A) <= 3, "{}", server.asked("missing.test", A));
}

#[test]
fn an_answer_that_is_too_long_for_udp_comes_over_tcp() {
    let origin = Origin::fixed("ok");
    let server = NameServer::start();
    server.say("long.test", A, Said::Long(60, vec![Data::V4([127, 0, 0, 1].into())]));
    assert_eq!(gateway(&server, "long.test", origin.address.port()).get("/").text(), "ok");
    assert!(server.asked("long.test", A) >= 2);
}

#[test]
fn one_of_several_addresses_is_taken_at_random() {
    let (one, other) = twins();
    let server = NameServer::start();
    server.addresses("both.test", 60, &["127.0.0.1", "127.0.0.2"]);
    let upstream = json!({
        "nodes": { format!("both.test:{}", one.address.port()): 1 },
        "keepalive_pool": { "size": 1, "idle_timeout": 60, "requests": 1 },
    });
    let gateway =
        Gateway::start_with(asking(&server), &[("routes/1", json!({ "uri": "/*", "upstream": upstream }))]);
    let mut client = gateway.connect();
    for _ in 0..60 {
        client.request("GET", "/", "", b"");
        assert_eq!(client.answer().unwrap().status, 200);
    }
    // 2 to the power of -50 or so that a coin falls like that.
    assert!(
        one.connections() > 5 && other.connections() > 5,
        "{} {}",
        one.connections(),
        other.connections()
    );
}

#[test]
fn the_hosts_file_comes_first_and_a_name_never_leads_where_nobody_may_go() {
    let origin = Origin::fixed("ok");
    let server = NameServer::start();
    server.addresses("localhost", 60, &["127.0.0.9"]);
    assert_eq!(gateway(&server, "localhost", origin.address.port()).get("/").text(), "ok");
    assert_eq!(server.asked("localhost", A), 0);
    server.addresses("rebound.test", 1, &["169.254.169.254"]);
    let gateway = gateway(&server, "rebound.test", 80);
    assert_eq!(gateway.get("/").status, 502, "judged where it is connected to, not where it is written");
}

#[test]
fn an_answer_is_good_for_as_long_as_the_settings_say() {
    let origin = Origin::fixed("ok");
    let server = NameServer::start();
    server.addresses("fixed.test", 3600, &["127.0.0.1"]);
    let mut options = asking(&server);
    options.dns.valid = Some(Duration::from_secs(1));
    let upstream = json!({ "nodes": { format!("fixed.test:{}", origin.address.port()): 1 } });
    let gateway = Gateway::start_with(options, &[("routes/1", json!({ "uri": "/*", "upstream": upstream }))]);
    eventually("a second question", || {
        assert_eq!(gateway.get("/").status, 200);
        server.asked("fixed.test", A) >= 2
    });
}
