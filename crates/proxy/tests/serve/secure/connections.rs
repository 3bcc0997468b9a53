//! Requests inside of TLS: what upstreams and plugins are told, how connections end, and how many handshakes there may be.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind};
use serde_json::json;
use usher_proxy::options::{Options, Patience, Tls};

use super::authority::Authority;
use super::{client, secure, ssl};
use crate::origin::{Origin, answer};
use crate::support::{Gateway, read_answer};

/// A gateway with TLS before this origin.
fn before(options: Options, origin: &Origin, authority: &Authority) -> Gateway {
    let route = json!({ "uri": "/*", "upstream": origin.upstream(), "enable_websocket": true });
    let pair = authority.sign(&["a.test", "b.test"]);
    Gateway::start_with(
        options,
        &[("ssls/1", ssl(&["a.test"], &pair)), ("ssls/2", ssl(&["b.test"], &pair)), ("routes/1", route)],
    )
}

#[test]
fn the_upstream_is_told_that_the_client_came_by_https() {
    let (authority, origin) = (Authority::new("root"), Origin::fixed("hello"));
    let gateway = before(secure(), &origin, &authority);
    let port = gateway.secure.unwrap().port().to_string();
    let mut connection = gateway.shake(&Arc::new(client(&authority)), "a.test").unwrap();
    for (host, wanted) in
        [("a.test", port.as_str()), ("a.test", &port), ("a.test:8443", "8443"), ("b.test", &port)]
    {
        assert_eq!(connection.get(host, "/").unwrap().text(), "hello");
        let seen = origin.last();
        assert_eq!(
            (seen.field("x-forwarded-proto"), seen.field("x-forwarded-port")),
            (Some("https"), Some(wanted))
        );
    }
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(origin.last().field("x-forwarded-proto"), Some("http"));
}

#[test]
fn many_requests_and_large_bodies_pass_over_one_connection() {
    let authority = Authority::new("root");
    let origin = Origin::start(|seen, stream| {
        let body = String::from_utf8(seen.body.clone()).unwrap();
        stream.write_all(&answer(200, &[], &body)).is_ok()
    });
    let gateway = before(secure(), &origin, &authority);
    let mut connection = gateway.shake(&Arc::new(client(&authority)), "a.test").unwrap();
    for size in [0_usize, 1, 5_000, 16_384, 70_000, 1_000_000] {
        let body = "x".repeat(size);
        connection.request(
            "POST",
            "/",
            &format!("Host: a.test\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n"),
        );
        connection.reader.get_mut().write_all(body.as_bytes()).unwrap();
        let mut answer = read_answer(&mut connection.reader, "POST").unwrap();
        if answer.status == 100 {
            answer = read_answer(&mut connection.reader, "POST").unwrap();
        }
        assert_eq!((answer.status, answer.body.len()), (200, size));
    }
}

#[test]
fn an_end_is_said_and_a_cut_is_not() {
    let authority = Authority::new("root");
    let origin = Origin::fixed("hello");
    let gateway = before(secure(), &origin, &authority);
    let config = Arc::new(client(&authority));
    let mut connection = gateway.shake(&config, "a.test").unwrap();
    connection.request("GET", "/", "Host: a.test\r\nConnection: close\r\n");
    assert_eq!(read_answer(&mut connection.reader, "GET").unwrap().status, 200);
    // rustls calls an end without its word an error.
    assert_eq!(connection.reader.read_to_end(&mut Vec::new()).unwrap(), 0);

    // An upstream that ends its body by closing, and one that breaks off.
    let good = Origin::last_bytes("HTTP/1.1 200 OK\r\n\r\nto the end");
    let cut = Origin::last_bytes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut");
    gateway.put(&[
        ("routes/2", json!({ "uri": "/good", "upstream": good.upstream() })),
        ("routes/3", json!({ "uri": "/cut", "upstream": cut.upstream() })),
    ]);
    let mut connection = gateway.shake(&config, "a.test").unwrap();
    assert_eq!(connection.get("a.test", "/good").unwrap().text(), "to the end");
    let mut connection = gateway.shake(&config, "a.test").unwrap();
    connection.request("GET", "/cut", "Host: a.test\r\n");
    assert!(read_answer(&mut connection.reader, "GET").is_none());
    assert!(connection.reader.read_to_end(&mut Vec::new()).is_err(), "a cut must not look like an end");
}

#[test]
fn a_tunnel_runs_inside_of_tls() {
    let authority = Authority::new("root");
    let origin = Origin::start(|_, stream| {
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(came @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..came]).unwrap();
        }
        false
    });
    let gateway = before(secure(), &origin, &authority);
    let mut connection = gateway.shake(&Arc::new(client(&authority)), "a.test").unwrap();
    let fields = "Host: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    connection.request("GET", "/", fields);
    assert_eq!(read_answer(&mut connection.reader, "GET").unwrap().status, 101);
    for size in [2, 500, 40_000] {
        let sent: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        connection.reader.get_mut().write_all(&sent).unwrap();
        let mut back = vec![0; size];
        connection.reader.read_exact(&mut back).unwrap();
        assert_eq!(back, sent);
    }
}

#[test]
fn sessions_are_resumed_for_their_own_name_alone() {
    for session_tickets in [false, true] {
        let (authority, origin) = (Authority::new("root"), Origin::fixed("hello"));
        let options = secure();
        let tls = Tls { session_tickets, ..options.tls };
        let gateway = before(Options { tls, workers: 2, ..options }, &origin, &authority);
        for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13][..]] {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(authority.der.clone()).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.resumption = Resumption::in_memory_sessions(8);
            let config = Arc::new(config);
            let kind = |name: &str| {
                let mut connection = gateway.shake(&config, name).unwrap();
                assert_eq!(connection.get(name, "/").unwrap().status, 200);
                connection.tls().handshake_kind().unwrap()
            };
            assert_eq!(kind("a.test"), HandshakeKind::Full);
            assert_eq!(kind("a.test"), HandshakeKind::Resumed, "tickets {session_tickets}, {versions:?}");
            assert_eq!(kind("b.test"), HandshakeKind::Full);
            assert_eq!(kind("b.test"), HandshakeKind::Resumed);
            // Early data is never offered.
            let mut eager = ClientConfig::clone(&config);
            eager.enable_early_data = true;
            let config = Arc::new(eager);
            let mut connection = gateway.shake(&config, "a.test").unwrap();
            assert_eq!(connection.get("a.test", "/").unwrap().status, 200);
            assert!(!connection.tls().is_early_data_accepted());
        }
    }
}

#[test]
fn clients_that_never_say_what_they_want_neither_stay_nor_stand_in_the_way() {
    let (authority, origin) = (Authority::new("root"), Origin::fixed("hello"));
    let options = secure();
    let tls = Tls { handshakes: 4, handshake: Duration::from_secs(1), ..options.tls };
    let gateway = before(Options { tls, ..options }, &origin, &authority);
    let address = gateway.secure.unwrap();
    let mut silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    let config = Arc::new(client(&authority));
    let start = Instant::now();
    assert_eq!(gateway.ask(&config, "a.test", "/").unwrap().status, 200);
    assert!(
        start.elapsed() < Duration::from_millis(900),
        "it waited for the silent ones: {:?}",
        start.elapsed()
    );
    for stream in &mut silent {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0, "closed without a word");
    }
}

#[test]
fn an_idle_connection_ends_with_a_word_and_one_in_flight_is_served_to_its_end() {
    let authority = Authority::new("root");
    let origin = Origin::fixed("hello");
    let patience = Patience { idle: Duration::from_millis(300), ..Patience::default() };
    let gateway = before(Options { patience, ..secure() }, &origin, &authority);
    let config = Arc::new(client(&authority));
    let mut connection = gateway.shake(&config, "a.test").unwrap();
    assert_eq!(connection.get("a.test", "/").unwrap().status, 200);
    assert_eq!(connection.reader.read_to_end(&mut Vec::new()).unwrap(), 0);

    let mut idle = gateway.shake(&config, "a.test").unwrap();
    assert_eq!(idle.get("a.test", "/").unwrap().status, 200);
    let drained = gateway.drain(Duration::from_secs(10));
    assert_eq!(idle.reader.read_to_end(&mut Vec::new()).unwrap(), 0);
    drained.join().unwrap();
}
