//! WebSocket over HTTP/2 (RFC 8441), towards upstreams that know it over HTTP/1.

use std::io::{BufReader, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::Request;
use serde_json::{Value, json};

use super::peer::{Peer, collect, push, run};
use crate::origin::{Origin, Seen, answer, read_head};
use crate::support::Gateway;

/// Switches with the right word for the key, then sends everything back until the other side has ended.
fn echoing() -> Origin {
    Origin::raw(|_, stream, seen| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let Some(head) = read_head(&mut reader) else { return };
        let asked = Seen { head, ..Seen::default() };
        let key = asked.field("sec-websocket-key").unwrap_or_default();
        let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        use base64::Engine as _;
        let accept = base64::prelude::BASE64_STANDARD.encode(digest);
        seen.lock().unwrap().push(asked);
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
        );
        (&stream).write_all(head.as_bytes()).unwrap();
        let _ = std::io::copy(&mut reader, &mut &stream);
        let _ = stream.shutdown(Shutdown::Write);
    })
}

fn gateway(upstream: Value, websocket: bool) -> Gateway {
    Gateway::start(&[(
        "routes/1",
        json!({ "uri": "/*", "upstream": upstream, "enable_websocket": websocket }),
    )])
}

fn handshake() -> Request<()> {
    Request::builder()
        .method("CONNECT")
        .uri("http://a.test/chat")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .header("origin", "http://a.test")
        .body(())
        .unwrap()
}

async fn open(peer: &Peer) -> (u16, RecvStream, SendStream<Bytes>) {
    // Whether the server lets it be is known once its settings have come.
    while !peer.sender().is_extended_connect_protocol_enabled() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (reply, stream) = peer.open(handshake(), false).await;
    let reply = reply.await.unwrap();
    let (parts, body) = reply.into_parts();
    if parts.status == 200 {
        assert_eq!(parts.headers["sec-websocket-protocol"], "chat");
        for gone in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
            assert!(parts.headers.get(gone).is_none(), "{gone}");
        }
    }
    (parts.status.as_u16(), body, stream)
}

#[test]
fn bytes_go_both_ways_until_both_sides_have_ended() {
    let origin = echoing();
    let gateway = gateway(origin.upstream(), true);
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let (status, mut body, mut stream) = open(&peer).await;
        assert_eq!(status, 200);
        for at in 0..50_u32 {
            push(&mut stream, Bytes::copy_from_slice(&at.to_be_bytes()), false).await.unwrap();
            let mut came = Vec::new();
            while came.len() < 4 {
                let piece = body.data().await.unwrap().unwrap();
                body.flow_control().release_capacity(piece.len()).unwrap();
                came.extend_from_slice(&piece);
            }
            assert_eq!(came, at.to_be_bytes());
        }
        let large: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let sent = large.clone();
        let upload = async { push(&mut stream, sent.into(), true).await.unwrap() };
        let download = async {
            let mut came = Vec::new();
            while let Some(piece) = body.data().await {
                let piece = piece.unwrap();
                body.flow_control().release_capacity(piece.len()).unwrap();
                came.extend_from_slice(&piece);
            }
            came
        };
        let ((), came) = tokio::join!(upload, download);
        assert!(came == large, "{} bytes", came.len());
    });
    let seen = origin.last();
    assert_eq!(seen.line(), "GET /chat HTTP/1.1");
    assert_eq!(seen.fields("upgrade"), ["websocket"]);
    assert_eq!(seen.fields("connection"), ["Upgrade"]);
    assert_eq!(seen.field("sec-websocket-key").unwrap().len(), 24);
    assert_eq!(seen.fields("sec-websocket-protocol"), ["chat"]);
}

#[test]
fn what_is_no_websocket_is_never_taken_for_one() {
    let wrong = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    for (origin, websocket, status) in [
        (Origin::fixed("not a socket"), true, 502),
        (Origin::fixed("not a socket"), false, 502),
        (Origin::bytes(wrong), true, 502),
        (Origin::bytes(wrong), false, 502),
        (Origin::bytes(answer(401, &[], "who are you")), true, 401),
        (Origin::bytes(answer(426, &[], "")), true, 426),
    ] {
        let gateway = gateway(origin.upstream(), websocket);
        run(async {
            let peer = Peer::connect(gateway.address).await;
            let (found, body, _stream) = open(&peer).await;
            assert_eq!((found, websocket), (status, websocket));
            drop(body);
            assert_eq!(peer.get("/%00").await.status, 400, "the connection goes on");
        });
    }
    let gateway = gateway(echoing().upstream(), true);
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let mut old = handshake();
        old.headers_mut().insert("sec-websocket-version", "8".parse().unwrap());
        let (reply, _stream) = peer.open(old, false).await;
        assert_eq!(collect(reply.await.unwrap()).await.unwrap().status, 426);
    });
}

#[test]
fn a_tunnel_whose_stream_is_reset_ends_at_the_upstream_too() {
    let (told, heard) = std::sync::mpsc::channel();
    let inner = echoing();
    let origin = Origin::raw(move |_, stream, _| {
        // A wire to the echoing origin that notices its end.
        let there = std::net::TcpStream::connect(inner.address).unwrap();
        let (mut back, mut forth) = (there.try_clone().unwrap(), stream.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back, &mut forth));
        let _ = std::io::copy(&mut &stream, &mut &there);
        let _ = told.send(());
    });
    let gateway = gateway(origin.upstream(), true);
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let (status, _body, mut stream) = open(&peer).await;
        assert_eq!(status, 200);
        stream.send_reset(h2::Reason::CANCEL);
        assert_eq!(peer.get("/%00").await.status, 400);
    });
    heard.recv_timeout(Duration::from_secs(20)).unwrap();
}

#[test]
fn a_stopping_worker_says_goodbye_to_tunnels() {
    let origin = echoing();
    let gateway = gateway(origin.upstream(), true);
    let address = gateway.address;
    let (ready, waiting) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        run(async {
            let peer = Peer::connect(address).await;
            let (status, mut body, _stream) = open(&peer).await;
            assert_eq!(status, 200);
            ready.send(()).unwrap();
            let mut came = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                came.extend_from_slice(&piece);
            }
            came
        })
    });
    waiting.recv().unwrap();
    gateway.drain(Duration::from_secs(20)).join().unwrap();
    assert_eq!(client.join().unwrap(), [0x88, 2, 0x03, 0xe9]);
}

#[test]
fn what_is_sent_before_the_answer_waits_for_it() {
    let origin = echoing();
    let gateway = gateway(origin.upstream(), true);
    run(async {
        let peer = Peer::connect(gateway.address).await;
        while !peer.sender().is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (reply, mut stream) = peer.open(handshake(), false).await;
        push(&mut stream, Bytes::from_static(b"early"), true).await.unwrap();
        let reply = collect(reply.await.unwrap()).await.unwrap();
        assert_eq!((reply.status, reply.text().as_str()), (200, "early"));
    });
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_ended() {
    let origin = echoing();
    let mut upstream = origin.upstream();
    upstream["timeout"] = json!({ "connect": 1, "send": 1, "read": 1 });
    let gateway = gateway(upstream, true);
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let (status, mut body, _stream) = open(&peer).await;
        assert_eq!(status, 200);
        while let Some(Ok(piece)) = body.data().await {
            assert!(piece.is_empty(), "{piece:?}");
        }
    });
}
