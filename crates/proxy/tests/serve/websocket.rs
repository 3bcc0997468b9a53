//! WebSocket pass-through.

use std::io::{BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::origin::{Origin, answer, read_head};
use crate::support::{Client, Gateway};

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
    let drained = gateway.drain(Duration::from_secs(60));
    go.send(()).unwrap();
    assert_eq!(client.rest(), (b"lf\x88\x02\x03\xe9".to_vec(), true));
    drop(client);
    drained.join().unwrap();
}

#[test]
fn a_handshake_with_two_keys_is_refused() {
    let origin = echoing();
    let gateway = Gateway::start(&[("routes/1", route(origin.upstream()))]);
    for twice in
        ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"]
    {
        let mut client = gateway.connect();
        client.write(format!("{HANDSHAKE}{twice}\r\n"));
        assert_eq!(client.answer().unwrap().status, 400, "{twice}");
    }
    assert_eq!(origin.connections(), 0);
}

/// A whole frame, so that the gateway may speak behind it.
const FRAME: &[u8] = b"\x82\x01x";

fn open(gateway: &Gateway, target: &str, fields: &str) -> Client {
    let mut client = gateway.connect();
    client.write(format!("{}{fields}\r\n", HANDSHAKE.replace("/chat", target)));
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{target}: {head}");
    client.write(FRAME);
    assert_eq!(client.bytes(FRAME.len()), FRAME);
    client
}

fn consumer(name: &str, key: &str) -> Value {
    json!({ "username": name, "plugins": { "door": { "key": key } } })
}

#[test]
fn a_tunnel_ends_when_what_let_it_in_is_gone_and_no_other_does() {
    let origin = echoing();
    let at = |uri: &str| {
        let mut route = route(origin.upstream());
        route["uri"] = json!(uri);
        route
    };
    let mut guarded = at("/door");
    guarded["plugins"] = json!({ "door": {} });
    let gateway = Gateway::start(&[
        ("routes/door", guarded),
        ("routes/goes", at("/goes")),
        ("routes/moves", at("/moves")),
        ("routes/posts", at("/posts")),
        ("routes/shuts", at("/shuts")),
        ("routes/stays", at("/stays")),
        ("routes/edited", at("/edited")),
        ("consumers/deleted", consumer("deleted", "1")),
        ("consumers/rekeyed", consumer("rekeyed", "2")),
        ("consumers/owner", json!({ "username": "owner" })),
        ("consumers/owner/credentials/main", json!({ "plugins": { "door": { "key": "3" } } })),
        ("consumers/kept", consumer("kept", "4")),
        ("consumers/relabelled", consumer("relabelled", "5")),
    ]);
    let by_key = |key: &str| open(&gateway, "/door", &format!("X-Door: {key}\r\n"));
    let doomed: Vec<_> = ["1", "2", "3"].map(|key| (key, by_key(key))).into();
    let doomed = doomed
        .into_iter()
        .chain(["/goes", "/moves", "/posts", "/shuts"].map(|target| (target, open(&gateway, target, ""))));
    let doomed: Vec<_> = doomed.collect();
    let mut spared = vec![by_key("4"), by_key("5")];
    spared.extend(["/stays", "/edited"].map(|target| open(&gateway, target, "")));

    let mut posts = at("/posts");
    posts["methods"] = json!(["POST"]);
    let mut shuts = at("/shuts");
    shuts["enable_websocket"] = json!(false);
    let mut edited = at("/edited");
    edited["desc"] = json!("something else is said of it");
    let mut relabelled = consumer("relabelled", "5");
    relabelled["labels"] = json!({ "a": "b" });
    let start = Instant::now();
    gateway.change(
        &[
            ("routes/moves", at("/elsewhere")),
            ("routes/posts", posts),
            ("routes/shuts", shuts),
            ("routes/edited", edited),
            ("consumers/rekeyed", consumer("rekeyed", "another")),
            ("consumers/relabelled", relabelled),
        ],
        &["routes/goes", "consumers/deleted", "consumers/owner/credentials/main"],
    );
    for (what, mut client) in doomed {
        assert_eq!(client.rest(), (b"\x88\x02\x03\xf0".to_vec(), true), "{what}");
        assert!(start.elapsed() < Duration::from_secs(5), "{what}");
    }
    // Long enough for each of them to be looked at.
    while start.elapsed() < Duration::from_millis(2_500) {
        for client in &mut spared {
            client.write(FRAME);
            assert_eq!(client.bytes(FRAME.len()), FRAME);
        }
    }
}

#[test]
fn a_tunnel_in_the_middle_of_a_frame_ends_too() {
    let origin = echoing();
    let gateway = Gateway::start(&[("routes/1", route(origin.upstream()))]);
    let mut client = open(&gateway, "/chat", "");
    client.write(b"\x82\x05ha");
    assert_eq!(client.bytes(4), b"\x82\x05ha");
    gateway.change(&[], &["routes/1"]);
    assert!(client.is_closed());
}
