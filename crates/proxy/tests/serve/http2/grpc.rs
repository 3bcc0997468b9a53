//! gRPC to upstreams: HTTP/2 on that side too, trailers and streams both ways.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::node::Node;
use super::peer::{Peer, collect, push, run, with};
use crate::origin::{Origin, nobody};
use crate::support::{Gateway, eventually};

const FIELDS: &[(&str, &str)] = &[("content-type", "application/grpc"), ("te", "trailers")];

fn call(path: &str) -> http::Request<()> {
    with("POST", path, FIELDS)
}

fn hasty(node: &Node) -> Value {
    let mut upstream = node.upstream();
    upstream["timeout"] = json!({ "connect": 1, "send": 1, "read": 1 });
    upstream
}

#[test]
fn a_call_keeps_its_head_its_body_and_its_trailers() {
    for node in [Node::start(), Node::secure(&["h2"]), Node::secure(&[]), Node::narrow(1)] {
        let gateway = Gateway::to(node.upstream());
        let reply = run(async {
            let peer = Peer::connect(gateway.address).await;
            let mut request = call("/pkg.Service/Method?x=y");
            request.headers_mut().insert("grpc-timeout", "5S".parse().unwrap());
            request.headers_mut().insert("x-own", "1".parse().unwrap());
            request.headers_mut().insert("connection-id", "2".parse().unwrap());
            let reply = peer.send(request, b"\0\0\0\0\x05hello").await.unwrap();
            // Many at once, on few connections.
            let mut all = Vec::new();
            for _ in 0..40 {
                let peer = peer.clone();
                all.push(tokio::spawn(async move { peer.send(call("/unary"), b"x").await.unwrap().status }));
            }
            for one in all {
                assert_eq!(one.await.unwrap(), 200);
            }
            reply
        });
        assert_eq!((reply.status, reply.body.as_slice()), (200, b"\0\0\0\0\x05hello".as_slice()));
        assert_eq!(reply.field("content-type"), Some("application/grpc"));
        assert_eq!((reply.trailer("grpc-status"), reply.trailer("x-own-trailer")), (Some("0"), Some("yes")));
        let seen = &node.seen()[0];
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/pkg.Service/Method?x=y"));
        assert_eq!(seen.authority, "a.test");
        let tls = node.upstream()["scheme"] == "grpcs";
        assert_eq!(seen.scheme, if tls { "https" } else { "http" });
        for (name, value) in [
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", "5S"),
            ("x-own", "1"),
            ("x-forwarded-for", "127.0.0.1"),
        ] {
            assert_eq!(seen.fields[name], value);
        }
        assert!(seen.fields.get("host").is_none() && seen.fields.get("transfer-encoding").is_none());
    }
}

#[test]
fn calls_share_connections() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        for _ in 0..20 {
            assert_eq!(peer.send(call("/unary"), b"x").await.unwrap().status, 200);
        }
        let other = Peer::connect(gateway.address).await;
        other.send(call("/unary"), b"x").await.unwrap();
    });
    assert_eq!((node.seen().len(), node.connections()), (21, 1));
}

#[test]
fn a_server_that_takes_one_call_at_a_time_is_asked_on_several_connections() {
    let node = Node::narrow(1);
    let gateway = Gateway::to(node.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        peer.send(call("/unary"), b"x").await.unwrap();
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(peer.open(call("/hang"), true).await);
        }
        while node.seen().len() < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(peer.send(call("/unary"), b"x").await.unwrap().status, 200);
    });
    assert_eq!(node.connections(), 4);
}

#[test]
fn messages_go_both_ways_before_either_side_has_ended() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let (reply, mut stream) = peer.open(call("/bidi"), false).await;
        let reply = reply.await.unwrap();
        assert_eq!(reply.status(), 200, "the head comes before any message");
        let mut body = reply.into_body();
        for at in 0..50_u8 {
            push(&mut stream, Bytes::from(vec![at; 100]), false).await.unwrap();
            let mut came = Vec::new();
            while came.len() < 100 {
                let piece = body.data().await.unwrap().unwrap();
                body.flow_control().release_capacity(piece.len()).unwrap();
                came.extend_from_slice(&piece);
            }
            assert_eq!(came, vec![at; 100]);
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(body.data().await.is_none());
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    });
}

#[test]
fn long_streams_pass_whole_in_either_direction() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let reply = peer.send(call("/large"), b"x").await.unwrap();
        assert_eq!((reply.body.len(), reply.trailer("grpc-status")), (3 << 20, Some("0")));
        let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let reply = peer.send(call("/unary"), &sent).await.unwrap();
        assert!(reply.body == sent, "{} bytes of {}", reply.body.len(), sent.len());
    });
}

#[test]
fn an_answer_of_trailers_alone_stays_one() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    let reply =
        run(async { Peer::connect(gateway.address).await.send(call("/trailers-only"), b"x").await.unwrap() });
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!((reply.field("grpc-status"), reply.field("grpc-message")), (Some("5"), Some("not here")));
    assert!(reply.trailers.is_none() && reply.field("content-length").is_none());
}

#[test]
fn trailers_of_a_request_pass_where_they_are_harmless() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let (reply, mut stream) = peer.open(call("/unary"), false).await;
        push(&mut stream, Bytes::from_static(b"x"), false).await.unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-own", "1".parse().unwrap());
        trailers.insert("authorization", "x".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        assert_eq!(collect(reply.await.unwrap()).await.unwrap().status, 200);
    });
    let trailers = node.trailers();
    assert_eq!(trailers.len(), 1);
    assert_eq!(
        (trailers[0].len(), &trailers[0]["grpc-own"]),
        (1, &"1".parse::<http::HeaderValue>().unwrap())
    );
}

#[test]
fn what_a_server_certainly_did_not_do_is_asked_again() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        peer.send(call("/unary"), b"x").await.unwrap();
        // Not idempotent, but nothing was done of it, and it has no body that would be lost.
        let reply = peer.send(call("/refuse-once"), b"").await.unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(node.seen().len(), 3);
    });
}

#[test]
fn what_a_server_may_have_done_is_asked_again_only_where_that_is_the_same() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        peer.send(call("/unary"), b"x").await.unwrap();
        for (path, status) in [("/reset", 502), ("/refuse", 502), ("/abrupt", 502)] {
            let before = node.seen().len();
            let reply = peer.send(call(path), b"x").await.unwrap();
            assert_eq!((path, reply.status), (path, status));
            assert_eq!(node.seen().len() - before, 1, "{path}");
        }
        assert_eq!(peer.send(call("/unary"), b"x").await.unwrap().status, 200);
    });
    // The connection breaks under a request that may be made twice.
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        peer.send(call("/unary"), b"x").await.unwrap();
        assert_eq!(peer.send(with("GET", "/abrupt", FIELDS), b"").await.unwrap().status, 200);
    });
}

#[test]
fn a_server_that_says_goodbye_is_left_without_loss() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        for at in 0..30 {
            let path = if at % 5 == 4 { "/goaway" } else { "/unary" };
            let reply = peer.send(call(path), b"x").await.unwrap();
            assert_eq!((at, reply.status, reply.trailer("grpc-status")), (at, 200, Some("0")));
        }
    });
    assert!(node.connections() >= 6, "{} connections", node.connections());
}

#[test]
fn a_failing_upstream_is_told_in_both_languages() {
    let node = Node::start();
    let silent = Origin::raw(|_, stream, _| {
        std::thread::sleep(Duration::from_secs(30));
        drop(stream);
    });
    let mute = json!({
        "type": "roundrobin", "scheme": "grpc", "nodes": { silent.address.to_string(): 1 },
        "timeout": { "connect": 1, "send": 1, "read": 1 },
    });
    let gone = json!({ "type": "roundrobin", "scheme": "grpc", "nodes": { nobody().to_string(): 1 } });
    for (upstream, path, status, code) in [
        (gone, "/unary", 502, "14"),
        (mute, "/unary", 504, "4"),
        (hasty(&node), "/hang", 504, "4"),
        (hasty(&node), "/reset", 502, "14"),
    ] {
        let gateway = Gateway::to(upstream);
        let reply = run(async { Peer::connect(gateway.address).await.send(call(path), b"x").await.unwrap() });
        assert_eq!((path, reply.status, reply.field("grpc-status")), (path, status, Some(code)));
        assert_eq!(reply.field("content-type"), Some("application/grpc"));
        assert!(reply.field("grpc-message").is_some() && reply.body.is_empty());
        assert!(reply.field("x-apisix-upstream-status").is_some());
    }
}

#[test]
fn a_stream_that_is_cut_is_cut_for_the_client_too() {
    let node = Node::start();
    let gateway = Gateway::to(hasty(&node));
    run(async {
        let peer = Peer::connect(gateway.address).await;
        for path in ["/cut", "/stall"] {
            let error = peer.send(call(path), b"x").await.unwrap_err();
            assert_eq!((path, error.reason()), (path, Some(h2::Reason::INTERNAL_ERROR)));
        }
    });
}

#[test]
fn a_client_that_goes_cancels_its_call() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    run(async {
        for path in ["/hang", "/stall", "/bidi"] {
            let before = (node.seen().len(), node.cancelled());
            let peer = Peer::connect(gateway.address).await;
            let (reply, mut stream) = peer.open(call(path), false).await;
            while node.seen().len() == before.0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stream.send_reset(h2::Reason::CANCEL);
            drop(reply);
            while node.cancelled() == before.1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        // A whole connection that goes is no different.
        let before = (node.seen().len(), node.cancelled());
        let peer = Peer::connect(gateway.address).await;
        let open = peer.open(call("/hang"), true).await;
        while node.seen().len() == before.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop((open, peer));
        while node.cancelled() == before.1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn an_answer_may_come_before_the_request_has_ended() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let (reply, mut stream) = peer.open(call("/early"), false).await;
        push(&mut stream, Bytes::from_static(b"x"), false).await.unwrap();
        let reply = collect(reply.await.unwrap()).await.unwrap();
        assert_eq!((reply.status, reply.field("grpc-status")), (200, Some("8")));
    });
}

#[test]
fn grpc_by_http1_is_refused_clearly_and_other_requests_are_served() {
    let node = Node::start();
    let gateway = Gateway::to(node.upstream());
    let refused = gateway.send("POST", "/unary", "Content-Type: application/grpc\r\n", b"x");
    assert_eq!(refused.status, 505);
    assert!(refused.text().contains("gRPC needs HTTP/2"), "{}", refused.text());
    assert_eq!(node.seen().len(), 0);
    let answer = gateway.send("POST", "/unary", "Content-Type: application/json\r\n", b"x");
    assert_eq!((answer.status, answer.text().as_str()), (200, "x"));
    assert!(answer.trailers.contains("grpc-status: 0"), "{}", answer.trailers);
    assert_eq!(node.last().fields["content-type"], "application/grpc");
    assert_eq!(node.last().fields["content-length"], "1");
}

#[test]
fn a_server_that_chooses_http1_is_not_spoken_to() {
    let node = Node::secure(&["http/1.1"]);
    let gateway = Gateway::to(node.upstream());
    let reply = run(async { Peer::connect(gateway.address).await.send(call("/unary"), b"x").await.unwrap() });
    assert_eq!(reply.status, 502);
    assert_eq!(node.seen().len(), 0);
}

#[test]
fn a_node_that_fails_is_passed_over() {
    let node = Node::start();
    let upstream = json!({
        "type": "roundrobin",
        "scheme": "grpc",
        "nodes": { nobody().to_string(): 1, node.address.to_string(): 1 },
    });
    let gateway = Gateway::to(upstream);
    run(async {
        let peer = Peer::connect(gateway.address).await;
        for _ in 0..6 {
            assert_eq!(peer.send(call("/unary"), b"x").await.unwrap().status, 200);
        }
    });
    eventually("all calls", || node.seen().len() == 6);
}
