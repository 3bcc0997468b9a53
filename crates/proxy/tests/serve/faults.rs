//! An upstream node that misbehaves in each way we know of, beside one that doesn't: never a wrong body, never a request that can't be repeated
//! sent twice (reliability figure B15).

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread;

use serde_json::{Value, json};
use socket2::SockRef;

use crate::origin::{Origin, Seen, answer, read_request};
use crate::support::Gateway;

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Got {
    /// The answer of the good node.
    Good,
    /// The gateway's own answer.
    Status(u16),
    /// What the bad node said, whole.
    Bad(u16, &'static str),
    /// An answer that is visibly cut.
    Cut,
}

use Got::{Bad, Cut, Good, Status};

/// A fault, and what comes of it for a request that may be repeated and for one that may not.
struct Fault {
    name: &'static str,
    origin: Origin,
    get: &'static [Got],
    post: &'static [Got],
}

fn fault(name: &'static str, origin: Origin, get: &'static [Got], post: &'static [Got]) -> Fault {
    Fault { name, origin, get, post }
}

/// The bytes of an answer, behind which the connection ends, is reset, or stays open in silence.
#[derive(Clone, Copy)]
enum End {
    Close,
    Reset,
    Silence,
    /// The next request is read.
    Next,
}

/// Reads whole requests and answers them with these bytes.
fn says(bytes: impl Into<Vec<u8>>, end: End) -> Origin {
    let bytes = bytes.into();
    Origin::raw(move |connection, stream, seen| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(request) = read_request(&mut reader, connection) {
            note(seen, request);
            if (&stream).write_all(&bytes).is_err() || !goes_on(&stream, end) {
                return;
            }
        }
    })
}

fn goes_on(stream: &TcpStream, end: End) -> bool {
    match end {
        End::Next => true,
        End::Close => false,
        End::Reset => {
            SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            false
        }
        End::Silence => {
            // Until the other side gives up.
            let _ = (&*stream).read(&mut [0; 64]);
            false
        }
    }
}

fn note(seen: &Mutex<Vec<Seen>>, request: Seen) {
    seen.lock().unwrap().push(request);
}

/// Does this with each connection, without reading a request.
fn meets(end: End) -> Origin {
    Origin::raw(move |_, stream, _| {
        if let End::Silence = end {
            let mut rest = Vec::new();
            let _ = (&stream).read_to_end(&mut rest);
            return;
        }
        goes_on(&stream, end);
    })
}

fn head(fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes()
}

fn faults() -> Vec<Fault> {
    let malformed: &[Got] = &[Status(502)];
    let many: String = (0..101).map(|n| format!("X-{n}: y\r\n")).collect();
    let mut all = vec![
        // The connection.
        fault("refuses", Origin::nowhere(), &[Good], &[Good]),
        // Where nothing was taken the request may go elsewhere, and that is a race here.
        fault("closes at once", meets(End::Close), &[Good], &[Good, Status(502)]),
        fault("resets at once", meets(End::Reset), &[Good], &[Good, Status(502)]),
        fault("hears and says nothing", meets(End::Silence), &[Good], &[Status(504)]),
        fault("reads and closes", says("", End::Close), &[Good], &[Status(502)]),
        fault("reads and resets", says("", End::Reset), &[Good], &[Status(502)]),
        fault("reads and hangs", says("", End::Silence), &[Good], &[Status(504)]),
        // The head.
        fault("half a head, closed", says("HTTP/1.1 200 OK\r\nCont", End::Close), &[Good], &[Status(502)]),
        fault("half a head, reset", says("HTTP/1.1 200 OK\r\nCont", End::Reset), &[Good], &[Status(502)]),
        fault("half a head, silent", says("HTTP/1.1 200 OK\r\nCont", End::Silence), &[Good], &[Status(504)]),
        fault(
            "100 Continue, reset",
            says("HTTP/1.1 100 Continue\r\n\r\n", End::Reset),
            &[Good],
            &[Status(502)],
        ),
    ];
    for (name, bytes) in [
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
        ("a status of 99", b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ("a status of 1000", b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ("bare line feeds", b"HTTP/1.1 200 OK\nContent-Length: 3\n\nbad".to_vec()),
        ("two framings", head("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n")),
        ("two lengths", head("Content-Length: 3\r\nContent-Length: 4\r\n")),
        ("a length that is none", head("Content-Length: +3\r\n")),
        ("another coding", head("Transfer-Encoding: gzip, chunked\r\n")),
        ("a folded field", head("X-A: b\r\n c\r\nContent-Length: 0\r\n")),
        ("NUL in a field", head("X-A: b\0c\r\nContent-Length: 0\r\n")),
        ("a field without a name", head(": b\r\nContent-Length: 0\r\n")),
        ("101 fields", head(&many)),
        ("a field of 100 KiB", head(&format!("X-A: {}\r\n", "y".repeat(100 << 10)))),
        (
            "chunks in HTTP/1.0",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n".to_vec(),
        ),
        (
            "a protocol nobody asked for",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_vec(),
        ),
        ("nine interim answers", b"HTTP/1.1 102 Processing\r\n\r\n".repeat(9)),
    ] {
        all.push(fault(name, says(bytes, End::Close), malformed, malformed));
    }
    let bad: &[Got] = &[Bad(200, "bad")];
    let body = |fields: &str, body: &str| [head(fields), body.as_bytes().to_vec()].concat();
    all.extend([
        // The body.
        fault(
            "a body cut short, closed",
            says(body("Content-Length: 9\r\n", "bad"), End::Close),
            &[Cut],
            &[Cut],
        ),
        fault(
            "a body cut short, reset",
            says(body("Content-Length: 9\r\n", "bad"), End::Reset),
            &[Cut],
            &[Cut],
        ),
        fault(
            "a body cut short, silent",
            says(body("Content-Length: 9\r\n", "bad"), End::Silence),
            &[Cut],
            &[Cut],
        ),
        fault(
            "chunks cut short",
            says(body("Transfer-Encoding: chunked\r\n", "3\r\nbad\r\n"), End::Close),
            &[Cut],
            &[Cut],
        ),
        fault(
            "a chunk of no size",
            says(body("Transfer-Encoding: chunked\r\n", "3\r\nbad\r\nxx\r\n"), End::Next),
            &[Cut],
            &[Cut],
        ),
        fault(
            "a chunk longer than it says",
            says(body("Transfer-Encoding: chunked\r\n", "2\r\nbad\r\n0\r\n\r\n"), End::Next),
            &[Cut],
            &[Cut],
        ),
        fault("more than it says", says(body("Content-Length: 3\r\n", "bad-and-more"), End::Next), bad, bad),
        fault(
            "an answer too many",
            says([body("Content-Length: 3\r\n", "bad"), answer(200, &[], "evil")].concat(), End::Next),
            bad,
            bad,
        ),
        fault(
            "an interim answer nobody asked for",
            says([b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), answer(200, &[], "bad")].concat(), End::Next),
            bad,
            bad,
        ),
        fault(
            "204 with a body",
            says(b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nbad".to_vec(), End::Next),
            &[Bad(204, ""), Status(502)],
            &[Bad(204, ""), Status(502)],
        ),
        fault(
            "an error of its own",
            says(answer(503, &[], "bad"), End::Next),
            &[Bad(503, "bad")],
            &[Bad(503, "bad")],
        ),
    ]);
    all
}

fn upstream(bad: &Origin, good: &Origin) -> Value {
    let node = |origin: &Origin, priority: i32| json!({ "host": "127.0.0.1", "port": origin.address.port(), "weight": 1, "priority": priority });
    json!({ "nodes": [node(bad, 1), node(good, 0)], "timeout": { "connect": 2, "send": 2, "read": 1.0 } })
}

/// Sends one request and says what came of it.
fn got(gateway: &Gateway, method: &str) -> Got {
    let mut client = gateway.connect();
    client.request(method, "/", "", if method == "POST" { b"body" } else { b"" });
    let mut answer = client.answer_to(method);
    while answer.as_ref().is_some_and(|answer| answer.status < 200) {
        answer = client.answer_to(method);
    }
    match answer {
        None => Cut,
        Some(answer) => match (answer.status, answer.text().as_str()) {
            (200, "good") => Good,
            (status, "bad") => Bad(status, "bad"),
            (status, "") => Bad(status, ""),
            (status, page) if page.starts_with("<html>") => Status(status),
            (status, other) => panic!("{status} with a body that nobody sent: {other:?}"),
        },
    }
}

#[test]
fn no_fault_of_a_node_brings_a_wrong_body_or_a_request_sent_twice() {
    let faults = faults();
    assert!(faults.len() >= 24);
    // A few at a time: what hangs costs time, not work, and what doesn't mustn't be late for want of it.
    for some in faults.chunks(6) {
        thread::scope(|scope| {
            let all: Vec<_> = some.iter().map(|fault| (fault.name, scope.spawn(|| check(fault)))).collect();
            for (name, one) in all {
                assert!(one.join().is_ok(), "{name}");
            }
        });
    }
}

fn check(fault: &Fault) {
    for (method, wanted) in [("GET", fault.get), ("POST", fault.post)] {
        let (good, before) = (Origin::fixed("good"), fault.origin.seen().len());
        let gateway = Gateway::to(upstream(&fault.origin, &good));
        let name = fault.name;
        let came = got(&gateway, method);
        assert!(wanted.contains(&came), "{name}: {method} got {came:?} instead of {wanted:?}");
        let (at_bad, at_good) = (fault.origin.seen().len() - before, good.seen().len());
        if method == "POST" {
            assert!(
                at_bad + at_good <= 1,
                "{name}: a POST came {at_bad} times here and {at_good} times there"
            );
        }
        assert_eq!(came == Good, at_good == 1, "{name}: {method}");
        // Whatever was left over, the next client gets nothing of it.
        let next = got(&gateway, method);
        assert!(wanted.contains(&next), "{name}: behind it, {method} got {next:?} instead of {wanted:?}");
    }
}

#[test]
fn an_answer_that_comes_before_the_request_was_read_is_passed_on() {
    let early = Origin::raw(|_, stream, _| {
        let mut stream = stream;
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(&answer(413, &[("Connection", "close")], "too large")).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let gateway = Gateway::to(early.upstream());
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n");
    client.write([b'x'; 20_000]);
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (413, "too large"));
}
