//! Floods, bombs and stalls: what a client can do with frames alone, and what it comes to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use usher_proxy::options::{Options, Patience};

use super::frames::{
    CONTINUATION, DATA, END, END_HEADERS, GET, HEADERS, Outcome, PING, POST, PRIORITY, RST_STREAM, Raw,
    SETTINGS, WINDOW_UPDATE, frame, literal, setting,
};
use super::peer::{Peer, request, run};
use crate::origin::{Origin, answer};
use crate::support::{Gateway, eventually, options};

fn to(origin: &Origin) -> Gateway {
    Gateway::start(&[("routes/1", json!({ "uri": "/*", "upstream": origin.upstream() }))])
}

fn stream_of(at: u32) -> u32 {
    2 * at + 1
}

/// Writes rounds until the connection is given up; how many there were.
fn rounds_until_cut(raw: &mut Raw, most: u32, round: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    raw.stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    for at in 0..most {
        if !raw.try_write(&round(at)) {
            return Some(at);
        }
        if at % 16 == 15 && matches!(raw.outcome(u32::MAX), Outcome::GoAway(_) | Outcome::Closed) {
            return Some(at);
        }
    }
    raw.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    matches!(raw.outcome(u32::MAX), Outcome::GoAway(_) | Outcome::Closed).then_some(most)
}

/// Whether somebody else is still served.
fn is_served(gateway: &Gateway) -> bool {
    run(async { Peer::connect(gateway.address).await.get("/").await.status == 200 })
}

#[test]
fn streams_that_are_opened_and_reset_end_the_connection() {
    let gateway = to(&Origin::fixed("fine"));
    let mut raw = Raw::connect(gateway.address, b"");
    // Two hundred at a time: those that come one by one are answered before they are reset.
    let cut = rounds_until_cut(&mut raw, 50, |at| {
        let pair = |of: u32| {
            let stream = stream_of(200 * at + of);
            [
                frame(HEADERS, END | END_HEADERS, stream, GET),
                frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
            ]
            .concat()
        };
        (0..200).flat_map(pair).collect()
    });
    assert!(cut.is_some(), "10,000 streams were opened and reset");
    assert!(is_served(&gateway));
}

#[test]
fn streams_that_are_reset_once_their_upstream_works_end_the_connection() {
    // An upstream that takes its time: every request reaches it before the client calls it off.
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ended);
    let origin = Origin::start(move |_, stream| {
        let _ = std::io::Read::read(stream, &mut [0]);
        counted.fetch_add(1, Ordering::Relaxed);
        false
    });
    let gateway = to(&origin);
    let mut raw = Raw::connect(gateway.address, b"");
    let all = |streams: &[u32], each: &dyn Fn(u32) -> Vec<u8>| -> Vec<u8> {
        streams.iter().flat_map(|stream| each(*stream)).collect()
    };
    let mut rounds = 0;
    let outcome = loop {
        let streams: Vec<u32> = (50 * rounds..50 * rounds + 50).map(stream_of).collect();
        raw.write(&all(&streams, &|stream| frame(HEADERS, END | END_HEADERS, stream, GET)));
        eventually("the requests", || origin.seen().len() == 50 * (rounds as usize + 1));
        raw.write(&all(&streams, &|stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())));
        rounds += 1;
        eventually("the ends", || ended.load(Ordering::Relaxed) == 50 * rounds as usize);
        raw.write(&frame(PING, 0, 0, &[0; 8]));
        match raw.outcome(u32::MAX) {
            Outcome::Pong if rounds < 100 => {}
            other => break other,
        }
    };
    assert!(matches!(outcome, Outcome::GoAway(11)), "{outcome:?} after {rounds} rounds");
    assert!((20..40).contains(&rounds), "{rounds} rounds of 50 streams");
    assert!(is_served(&to(&Origin::fixed("fine"))));
}

#[test]
fn streams_that_make_us_reset_them_end_the_connection() {
    let gateway = to(&Origin::fixed("fine"));
    let mut raw = Raw::connect(gateway.address, b"");
    let cut = rounds_until_cut(&mut raw, 2_000, |at| {
        let stream = stream_of(at);
        [frame(HEADERS, END_HEADERS, stream, POST), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    });
    assert!(cut.is_some(), "2,000 streams were reset for the client's errors");
    assert!(is_served(&gateway));
}

#[test]
fn a_head_that_goes_on_and_on_ends_the_connection() {
    let gateway = to(&Origin::fixed("fine"));
    let mut raw = Raw::connect(gateway.address, b"");
    raw.write(&frame(HEADERS, END, 1, GET));
    let piece = [[0, 1, b'a', 0x7f, 0x81, 0x7e].as_slice(), &[b'b'; 16_256]].concat();
    let cut = rounds_until_cut(&mut raw, 2_000, |_| frame(CONTINUATION, 0, 1, &piece));
    assert!(cut.is_some_and(|at| at < 500), "{cut:?}");
    assert!(is_served(&gateway));
}

#[test]
fn bodies_of_nothing_end_the_connection() {
    let origin = Origin::fixed("fine");
    let gateway = to(&origin);
    for payload in [b"".as_slice(), b"x"] {
        let mut raw = Raw::connect(gateway.address, b"");
        raw.write(&frame(HEADERS, END_HEADERS, 1, POST));
        let piece = frame(DATA, 0, 1, payload).repeat(100);
        let cut = rounds_until_cut(&mut raw, 1_000, |_| piece.clone());
        // One byte a frame is slow, but it is a body; what ends it is the budget for such frames, or the stream's window.
        assert!(cut.is_some() || payload == b"x", "100,000 frames of {} bytes", payload.len());
        assert!(is_served(&gateway));
    }
}

#[test]
fn a_head_that_grows_when_it_is_unpacked_is_refused() {
    let origin = Origin::fixed("fine");
    let gateway = to(&origin);
    let mut raw = Raw::connect(gateway.address, &setting(4, 0));
    // One field enters the table, and is then named by one byte each time.
    raw.write(&frame(HEADERS, END | END_HEADERS, 1, &[GET, &[0x40, 1, b'a', 0]].concat()));
    for (at, count) in [300, 480, 1_000, 4_000, 16_000].into_iter().enumerate() {
        let stream = stream_of(u32::try_from(at).unwrap() + 1);
        let block = [GET.to_vec(), vec![0xbe; count]].concat();
        raw.write(&frame(HEADERS, END | END_HEADERS, stream, &block));
        match raw.outcome(stream) {
            Outcome::Answer(status) => assert_ne!(status, "200", "{count} fields"),
            Outcome::Reset(_) | Outcome::GoAway(_) | Outcome::Closed => {}
            other => panic!("{count} fields: {other:?}"),
        }
    }
    assert!(origin.seen().len() <= 1, "only the first head was a good one");
    assert!(is_served(&gateway));
}

#[test]
fn frames_alone_keep_no_connection_open() {
    let patience = Patience { idle: Duration::from_millis(300), ..Patience::default() };
    let gateway = Gateway::start_with(Options { patience, ..options() }, &[]);
    let mut raw = Raw::connect(gateway.address, b"");
    raw.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    let chatter = [
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, 0, 0, &setting(3, 100)),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]),
    ]
    .concat();
    loop {
        assert!(Instant::now() < end, "it was kept open by pings");
        if !raw.try_write(&chatter) || raw.outcome(u32::MAX) == Outcome::Closed {
            break;
        }
    }
}

#[test]
fn chatter_costs_no_memory_and_is_answered() {
    let gateway = to(&Origin::fixed("fine"));
    let mut raw = Raw::connect(gateway.address, b"");
    let mut reader = raw.stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    });
    let before = resident();
    for at in 0..200_u32 {
        let one = [
            frame(SETTINGS, 0, 0, &setting(3, 100)),
            frame(PING, 0, 0, b"12345678"),
            frame(PRIORITY, 0, stream_of(at), &[0, 0, 0, 0, 16]),
        ];
        if !raw.try_write(&one.concat().repeat(50)) {
            break;
        }
    }
    assert!(resident() < before + (24 << 20), "{} grew to {}", before, resident());
    assert!(is_served(&gateway));
    drop(raw);
    drop(gateway);
    reading.join().unwrap();
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn answers_that_nobody_takes_hold_little_and_end() {
    let body: &str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let origin = Origin::start(move |_, stream| {
        use std::io::Write as _;
        stream.write_all(&answer(200, &[], body)).is_ok()
    });
    let patience = Patience { write: Duration::from_secs(3), ..Patience::default() };
    let gateway = Gateway::start_with(
        Options { patience, ..options() },
        &[("routes/1", json!({ "uri": "/*", "upstream": origin.upstream() }))],
    );
    let before = resident();
    let mut raw = Raw::connect(gateway.address, &setting(4, 0));
    for at in 0..100 {
        raw.write(&frame(HEADERS, END | END_HEADERS, stream_of(at), GET));
    }
    eventually("the origin to be asked", || origin.connections() >= 90);
    // What the kernel holds is not ours; what we hold is a small part of 100 MiB.
    assert!(resident() < before + (40 << 20), "{before} grew to {}", resident());
    assert!(is_served(&gateway), "others are served meanwhile");
    assert_eq!(raw.outcome(stream_of(99)), Outcome::Answer("200".to_owned()));
    assert!(matches!(raw.outcome(stream_of(99)), Outcome::Reset(_) | Outcome::Closed));
}

#[test]
fn one_stalled_stream_does_not_hold_up_its_neighbours() {
    let body: &str = Box::leak("x".repeat(4 << 20).into_boxed_str());
    let origin = Origin::fixed(body);
    let gateway = to(&origin);
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let mut stalled = Vec::new();
        for _ in 0..8 {
            let (answer, _) = peer.open(request("GET", "/"), true).await;
            stalled.push(answer.await.unwrap());
        }
        // Its window is all that they may fill; the connection's own is as large again.
        let mut small = Vec::new();
        for _ in 0..20 {
            small.push(peer.send(request("HEAD", "/"), b"").await.unwrap().status);
        }
        assert_eq!(small, [200; 20]);
    });
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let gateway = to(&Origin::start(|_, _| {
        std::thread::sleep(Duration::from_secs(5));
        false
    }));
    let mut raw = Raw::connect(gateway.address, b"");
    for at in 0..101 {
        raw.write(&frame(HEADERS, END | END_HEADERS, stream_of(at), GET));
    }
    assert_eq!(raw.outcome(stream_of(100)), Outcome::Reset(7));
}

#[test]
fn a_request_of_two_bytes_is_not_kept_waiting_for_a_preface() {
    let gateway = to(&Origin::fixed("fine"));
    let mut client = gateway.connect();
    client.write("PRI");
    client.write(" / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200, "PRI is a method like any other");
    let mut client = gateway.connect();
    client.write("P");
    client.write("OST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
}

#[test]
fn http2_can_be_switched_off() {
    let gateway = Gateway::start_with(Options { http2: false, ..options() }, &[]);
    let mut client = gateway.connect();
    client.write(super::frames::PREFACE);
    assert!(matches!(client.answer().unwrap().status, 400 | 505));
}

#[test]
fn literal_fields_of_many_kinds_pass_or_are_refused_whole() {
    let origin = Origin::fixed("fine");
    let gateway = to(&origin);
    let mut wrong = Vec::new();
    for (name, value, passes) in [
        (b"x-a".as_slice(), b"1".as_slice(), true),
        (b"x_a", b"1", true),
        (b"x-a", b"\xc3\xa9", true),
        (b"x-a", b"a\tb", true),
        (b"x-a", b"a\r\nb: c", false),
        (b"x-a", b"a\nb", false),
        (b"x-a", b"a\0b", false),
        (b"x:a", b"1", false),
        (b"x a", b"1", false),
        (b"x\r\na", b"1", false),
        (b"", b"1", false),
        (b"transfer-encoding", b"chunked", false),
        (b"transfer_encoding", b"chunked", false),
        (b"content_length", b"5", false),
        (b"content-length", b"5", false),
        (b"host", b"b", false),
        (b"upgrade", b"h2c", false),
        (b"http2-settings", b"AAMAAABkAARAAAAAAAIAAAAA", true),
    ] {
        let mut raw = Raw::connect(gateway.address, b"");
        let before = origin.seen().len();
        raw.write(&frame(HEADERS, END | END_HEADERS, 1, &[GET, &literal(name, value)].concat()));
        let outcome = raw.outcome(1);
        let passed = outcome == Outcome::Answer("200".to_owned());
        if passed != passes || (!passes && origin.seen().len() != before) {
            wrong.push(format!("{:?}: {:?}: {outcome:?}", String::from_utf8_lossy(name), value));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for seen in origin.seen() {
        assert!(seen.field("http2-settings").is_none() && seen.field("transfer-encoding").is_none());
    }
}

#[test]
fn pseudo_fields_of_many_kinds_pass_or_are_refused_whole() {
    let origin = Origin::fixed("fine");
    let gateway = to(&origin);
    let mut wrong = Vec::new();
    for (method, scheme, authority, path, passes) in [
        ("GET", "http", "a", "/x", true),
        ("GET", "http", "a", "/x?y=z", true),
        ("QUERY", "http", "a", "/", true),
        ("OPTIONS", "http", "a", "*", true),
        ("GET", "http", "a", "x", false),
        ("GET", "http", "a", "*", false),
        ("GET", "http", "a", "http://b/", false),
        ("GET", "http", "a", "/a b", false),
        ("GET", "http", "a", "/%00", false),
        ("GET", "http", "a", "/..%2f", false),
        ("GET", "http://x/?", "a", "/", false),
        ("GET", "ftp", "a", "/", false),
        ("GET?", "http", "a", "/", false),
        ("GET", "http", "u@a", "/", false),
        ("GET", "http", "a b", "/", false),
        ("GET", "http", "", "/", false),
        ("TRACE", "http", "a", "/", false),
        ("CONNECT", "http", "a", "/", false),
    ] {
        let mut raw = Raw::connect(gateway.address, b"");
        let before = origin.seen().len();
        let block: Vec<u8> =
            [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
                .iter()
                .flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes()))
                .collect();
        raw.write(&frame(HEADERS, END | END_HEADERS, 1, &block));
        let outcome = raw.outcome(1);
        let passed = outcome == Outcome::Answer("200".to_owned());
        if passed != passes || (!passes && origin.seen().len() != before) {
            wrong.push(format!("{method} {scheme} {authority} {path}: {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // CONNECT has neither scheme nor path.
    let mut raw = Raw::connect(gateway.address, b"");
    let block = [literal(b":method", b"CONNECT"), literal(b":authority", b"a:443")].concat();
    raw.write(&frame(HEADERS, END_HEADERS, 1, &block));
    assert!(matches!(raw.outcome(1), Outcome::Answer(status) if status != "200"));
}
