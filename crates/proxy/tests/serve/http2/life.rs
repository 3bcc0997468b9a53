//! How connections of HTTP/2 end: told in time, with nothing lost that was begun.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use usher_proxy::options::{Bounds, Options, Patience};

use super::frames::{END, END_HEADERS, GET, GOAWAY, HEADERS, Raw, frame};
use super::node::Node;
use super::peer::{Peer, request, run, with};
use crate::origin::{Origin, answer};
use crate::support::{Gateway, options};

fn to(options: Options, origin: &Origin) -> Gateway {
    Gateway::start_with(options, &[("routes/1", json!({ "uri": "/*", "upstream": origin.upstream() }))])
}

/// The frames up to the connection's end.
fn goodbyes(raw: &mut Raw) -> Vec<u32> {
    let mut last = Vec::new();
    while let Ok(Some(frame)) = raw.frame() {
        if frame.kind == GOAWAY {
            last.push(u32::from_be_bytes(frame.payload[..4].try_into().unwrap()));
        } else if frame.kind == super::frames::PING && frame.flags == 0 {
            raw.try_write(&super::frames::frame(super::frames::PING, END, 0, &frame.payload));
        }
    }
    last
}

#[test]
fn a_stopping_worker_says_so_and_ends_what_was_begun() {
    let origin = Origin::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(500));
        stream.write_all(&answer(200, &[], "late")).is_ok()
    });
    let gateway = to(options(), &origin);
    let mut raw = Raw::connect(gateway.address, b"");
    raw.write(&frame(HEADERS, END | END_HEADERS, 1, GET));
    while origin.seen().is_empty() {
        std::thread::yield_now();
    }
    let draining = gateway.drain(Duration::from_secs(20));
    let (mut answered, mut last) = (false, Vec::new());
    while let Ok(Some(frame)) = raw.frame() {
        match frame.kind {
            HEADERS => answered = frame.status() == "200",
            GOAWAY => last.push(u32::from_be_bytes(frame.payload[..4].try_into().unwrap())),
            super::frames::PING if frame.flags == 0 => {
                raw.try_write(&super::frames::frame(super::frames::PING, END, 0, &frame.payload));
            }
            _ => {}
        }
    }
    assert!(answered, "the request in flight was lost");
    assert_eq!(last, [0x7fff_ffff, 1], "told twice: at first for what is on its way, then for good");
    draining.join().unwrap();
}

#[test]
fn no_request_is_lost_when_a_worker_stops_under_load() {
    let origin = Origin::fixed("fine");
    let gateway = to(options(), &origin);
    let address = gateway.address;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let loads: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                run(async {
                    'connections: while !stop.load(Ordering::SeqCst) {
                        let Ok(stream) = tokio::net::TcpStream::connect(address).await else { break };
                        let Ok((sender, connection)) = h2::client::handshake(stream).await else { break };
                        tokio::spawn(async move { drop(connection.await) });
                        loop {
                            let Ok(mut sender) = sender.clone().ready().await else { continue 'connections };
                            let Ok((reply, _)) = sender.send_request(request("GET", "/"), true) else {
                                continue 'connections;
                            };
                            match reply.await {
                                Ok(reply) => {
                                    assert_eq!(reply.status(), 200);
                                    served.fetch_add(1, Ordering::SeqCst);
                                }
                                // What the goodbye doesn't cover was not begun, and may be asked elsewhere.
                                Err(error) => {
                                    assert!(error.is_go_away() && error.is_remote(), "lost: {error:?}");
                                    continue 'connections;
                                }
                            }
                        }
                    }
                });
            })
        })
        .collect();
    while served.load(Ordering::SeqCst) < 200 {
        std::thread::yield_now();
    }
    let draining = gateway.drain(Duration::from_secs(20));
    draining.join().unwrap();
    stop.store(true, Ordering::SeqCst);
    for load in loads {
        load.join().unwrap();
    }
}

#[test]
fn connections_end_behind_their_requests_and_at_their_age() {
    let origin = Origin::fixed("fine");
    let bounds = Bounds { requests_per_connection: 3, ..Bounds::default() };
    let gateway = to(Options { bounds, ..options() }, &origin);
    let mut raw = Raw::connect(gateway.address, b"");
    for stream in [1, 3, 5] {
        raw.write(&frame(HEADERS, END | END_HEADERS, stream, GET));
    }
    assert_eq!(goodbyes(&mut raw), [0x7fff_ffff, 5]);
    assert_eq!(origin.seen().len(), 3);

    for patience in [
        Patience { age: Duration::from_millis(300), ..Patience::default() },
        Patience { idle: Duration::from_millis(300), ..Patience::default() },
    ] {
        let gateway = to(Options { patience, ..options() }, &origin);
        let mut raw = Raw::connect(gateway.address, b"");
        raw.write(&frame(HEADERS, END | END_HEADERS, 1, GET));
        let start = Instant::now();
        assert_eq!(goodbyes(&mut raw), [0x7fff_ffff, 1]);
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn slow_bodies_are_given_up() {
    let patience = Patience { body: Duration::from_millis(300), ..Patience::default() };
    let gateway = to(Options { patience, ..options() }, &Origin::fixed("fine"));
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let (reply, _stream) = peer.open(with("POST", "/", &[("content-length", "10")]), false).await;
        assert_eq!(reply.await.unwrap().status(), 408);
        assert_eq!(peer.get("/").await.status, 200, "its neighbours go on");
    });
}

#[test]
fn a_body_beyond_the_bound_is_refused() {
    let bounds = Bounds { body_bytes: Some(1_000), ..Bounds::default() };
    let origin = Origin::fixed("fine");
    let gateway = to(Options { bounds, ..options() }, &origin);
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let said = with("POST", "/", &[("content-length", "1001")]);
        assert_eq!(peer.send(said, &[b'x'; 1001]).await.unwrap().status, 413);
        assert_eq!(peer.send(request("POST", "/"), &[b'x'; 1001]).await.unwrap().status, 413);
        assert_eq!(peer.send(request("POST", "/"), &[b'x'; 1000]).await.unwrap().status, 200);
    });
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn thousands_of_streams_leave_nothing_behind() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let mut all = Vec::new();
        for _ in 0..50 {
            let peer = peer.clone();
            all.push(tokio::spawn(async move {
                for _ in 0..60 {
                    let reply = peer.send(request("POST", "/unary"), b"hello").await.unwrap();
                    assert_eq!((reply.status, reply.body.as_slice()), (200, b"hello".as_slice()));
                }
            }));
        }
        for one in all {
            one.await.unwrap();
        }
    });
    assert_eq!((node.seen().len(), node.cancelled()), (3_000, 0));
    // A thousand calls a connection, by the pool's rules.
    assert!((3..=8).contains(&node.connections()), "{} connections", node.connections());
}

#[test]
fn a_load_generator_of_its_own_making_is_served_without_a_failure() {
    let gateway = to(options(), &Origin::fixed("fine"));
    let load = std::process::Command::new("h2load")
        .args(["-n", "4000", "-c", "8", "-m", "50", &format!("http://{}/", gateway.address)])
        .output()
        .unwrap_or_else(|error| {
            panic!("h2load can't be run ({error}); on Debian: apt-get install nghttp2-client")
        });
    let said = String::from_utf8_lossy(&load.stdout).into_owned();
    assert!(said.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    assert!(said.contains("status codes: 4000 2xx"), "{said}");
}
