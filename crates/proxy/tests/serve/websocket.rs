//! WebSocket pass-through.

use std::io::{BufReader, Read as _, Write as _};
use std::net::Shutdown;

use serde_json::{Value, json};

use crate::origin::{Origin, answer, read_head};
use crate::support::Gateway;

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Switches, then sends everything back until the other side has ended.
fn echoing() -> Origin {
    Origin::raw(|_, stream, seen| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let Some(head) = read_head(&mut reader) else { return };
        seen.lock().unwrap().push(crate::origin::Seen { head, ..crate::origin::Seen::default() });
        (&stream).write_all(SWITCHING.as_bytes()).unwrap();
        let _ = std::io::copy(&mut reader, &mut &stream);
        let _ = stream.shutdown(Shutdown::Write);
    })
}

fn route(upstream: Value) -> Value {
    json!({ "uri": "/*", "upstream": upstream, "enable_websocket": true })
}

#[test]
fn bytes_go_both_ways_until_both_sides_have_ended() {
    let origin = echoing();
    let gateway = Gateway::start(&[("routes/1", route(origin.upstream()))]);
    let mut client = gateway.connect();
    // What is sent before the answer waits for it.
    client.write(format!("{HANDSHAKE}\r\nearly"));
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    for field in
        ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
    {
        assert!(head.contains(field), "{head}");
    }
    assert_eq!(client.bytes(5), b"early");
    for at in 0..100_u32 {
        client.write(at.to_be_bytes());
        assert_eq!(client.bytes(4), at.to_be_bytes());
    }
    let mut sender = client.stream.try_clone().unwrap();
    let large: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let sent = large.clone();
    let sending = std::thread::spawn(move || {
        sender.write_all(&sent).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let (echoed, orderly) = client.rest();
    sending.join().unwrap();
    assert!(orderly && echoed == large);
    let seen = origin.last();
    assert_eq!((seen.field("upgrade"), seen.field("connection")), (Some("websocket"), Some("Upgrade")));
    assert_eq!(seen.field("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
}

#[test]
fn without_the_switch_on_the_route_it_is_an_ordinary_request() {
    let origin = Origin::echo();
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    client.write(format!("{HANDSHAKE}\r\n"));
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!((origin.last().field("upgrade"), origin.last().field("connection")), (None, None));
}

#[test]
fn an_upstream_that_does_not_switch_gives_an_ordinary_answer() {
    let gateway = Gateway::start(&[("routes/1", route(Origin::bytes(answer(401, &[], "no")).upstream()))]);
    let mut client = gateway.connect();
    client.write(format!("{HANDSHAKE}\r\nGET /next HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    assert_eq!(client.answer().unwrap().text(), "no");
    // What came behind it is a request of its own.
    assert_eq!(client.answer().unwrap().status, 401);
}

#[test]
fn a_handshake_that_is_none_never_reaches_the_upstream() {
    let origin = echoing();
    let gateway = Gateway::start(&[("routes/1", route(origin.upstream()))]);
    for (handshake, status) in [
        (HANDSHAKE.replace("13", "8"), 426),
        (HANDSHAKE.replace("GET", "HEAD"), 400),
        (HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400),
    ] {
        let mut client = gateway.connect();
        client.write(format!("{handshake}\r\n"));
        assert_eq!(
            client.answer_to(handshake.split(' ').next().unwrap()).unwrap().status,
            status,
            "{handshake}"
        );
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn plugins_judge_a_handshake_like_any_request() {
    let origin = echoing();
    let mut refused = route(origin.upstream());
    refused["plugins"] = json!({ "trial": { "reply": 403 } });
    let gateway = Gateway::start(&[("routes/1", refused)]);
    let mut client = gateway.connect();
    client.write(format!("{HANDSHAKE}\r\n"));
    assert_eq!(client.answer().unwrap().status, 403);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed() {
    let mut upstream = echoing().upstream();
    upstream["timeout"] = json!({ "connect": 5, "send": 0.3, "read": 0.3 });
    let gateway = Gateway::start(&[("routes/1", route(upstream))]);
    let mut client = gateway.connect();
    client.write(format!("{HANDSHAKE}\r\n"));
    client.head().unwrap();
    client.write("x");
    let mut one = [0];
    client.bytes(1).as_slice().read_exact(&mut one).unwrap();
    assert!(client.is_closed());
}

#[test]
fn a_stopping_gateway_says_good_bye_between_two_frames() {
    // Sends half a frame, and the rest when it is told to.
    let (go, goes) = std::sync::mpsc::sync_channel::<()>(0);
    let goes = std::sync::Mutex::new(goes);
    let origin = Origin::raw(move |_, stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let Some(_) = read_head(&mut reader) else { return };
        (&stream).write_all(SWITCHING.as_bytes()).unwrap();
        (&stream).write_all(b"\x82\x04ha").unwrap();
        goes.lock().unwrap().recv().unwrap();
        (&stream).write_all(b"lf").unwrap();
        let _ = reader.read(&mut [0]);
    });
    let gateway = Gateway::start(&[("routes/1", route(origin.upstream()))]);
    let mut client = gateway.connect();
    client.write(format!("{HANDSHAKE}\r\n"));
    client.head().unwrap();
    assert_eq!(client.bytes(4), b"\x82\x04ha");
    let drained = gateway.drain(std::time::Duration::from_secs(60));
    go.send(()).unwrap();
    assert_eq!(client.rest(), (b"lf\x88\x02\x03\xe9".to_vec(), true));
    drop(client);
    drained.join().unwrap();
}
