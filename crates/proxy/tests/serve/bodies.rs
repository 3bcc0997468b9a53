//! Bodies in both directions: framed anew, streamed, interrupted, refused.

use std::io::{BufReader, Write as _};
use std::time::Duration;

use serde_json::json;
use usher_proxy::options::{Bounds, Options};

use crate::origin::{Origin, answer, read_head, read_request};
use crate::support::{Gateway, options};

#[test]
fn chunks_pass_both_ways_with_the_trailers_that_may() {
    let origin = Origin::start(|seen, stream| {
        let size = seen.body.len();
        let text = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n{size:x}\r\n{}\r\n0\r\nDigest: yes\r\nSet-Cookie: no\r\n\r\n",
            seen.text()
        );
        stream.write_all(text.as_bytes()).is_ok()
    });
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.write("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        client.write("4;x=y\r\ndefg\r\n0\r\nDigest: there\r\nAuthorization: no\r\n\r\n");
        let answer = client.answer().unwrap();
        assert_eq!((answer.text().as_str(), answer.trailers.as_str()), ("abcdefg", "Digest: yes\r\n"));
        let seen = origin.last();
        assert_eq!((seen.text().as_str(), seen.trailers.as_str()), ("abcdefg", "Digest: there\r\n"));
        assert_eq!(seen.fields("content-length").len(), 0);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_chunked_body_that_has_come_whole_gets_a_length() {
    let origin = Origin::fixed("ok");
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
    let seen = origin.last();
    assert_eq!((seen.text().as_str(), seen.field("content-length")), ("abcde", Some("5")));
}

#[test]
fn large_bodies_pass_whole() {
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let wanted = body.clone();
    let origin = Origin::start(move |seen, stream| {
        assert_eq!(seen.body, wanted);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", seen.body.len());
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(&seen.body).is_ok()
    });
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    for _ in 0..2 {
        let mut sender = client.stream.try_clone().unwrap();
        let sent = body.clone();
        let sending = std::thread::spawn(move || {
            write!(sender, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", sent.len())
                .unwrap();
            sender.write_all(&sent).unwrap();
        });
        assert!(client.answer().unwrap().body == body);
        sending.join().unwrap();
    }
}

#[test]
fn a_body_that_fills_the_queue_to_the_brim_still_ends() {
    for size in [65_535, 65_536, 65_537, 131_072, 196_608] {
        for chunked in [false, true] {
            let origin = Origin::start(move |_, stream| {
                let framing = if chunked {
                    "Transfer-Encoding: chunked".to_owned()
                } else {
                    format!("Content-Length: {size}")
                };
                write!(stream, "HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").unwrap();
                // The head has to be read alone, so that the body begins at the start of a buffer.
                std::thread::sleep(Duration::from_millis(30));
                let body = vec![b'x'; size];
                if !chunked {
                    return stream.write_all(&body).is_ok();
                }
                let line = format!("{size:x}\r\n");
                stream.write_all(&[line.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()).is_ok()
            });
            let mut upstream = origin.upstream();
            upstream["timeout"] = json!({ "connect": 5, "send": 5, "read": 1 });
            let answer = Gateway::to(upstream).get("/");
            assert_eq!((answer.status, answer.body.len()), (200, size), "chunked: {chunked}");
        }
    }
}

#[test]
fn the_connection_is_closed_behind_the_last_byte_whatever_the_body_s_size() {
    let head = |size: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
    for size in [65_536 - head(65_000).len(), 65_536, 131_072, 200_000, 1 << 20] {
        let origin = Origin::start(move |_, stream| {
            stream.set_nodelay(true).unwrap();
            stream.write_all(head(size).as_bytes()).unwrap();
            vec![b'x'; size].chunks(64 << 10).all(|piece| stream.write_all(piece).is_ok())
        });
        let gateway = Gateway::to(origin.upstream());
        for request in [
            "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        ] {
            for _ in 0..40 {
                let mut client = gateway.connect();
                client.write(request);
                client.head().unwrap();
                let (body, orderly) = client.rest();
                assert!(orderly, "{size}: not closed after {} bytes of the body", body.len());
                assert_eq!(body.len(), size);
            }
        }
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_is_framed_for_the_client() {
    let origin = Origin::last_bytes("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.request("GET", "/", "", b"");
        let answer = client.answer().unwrap();
        assert_eq!(
            (answer.field("transfer-encoding"), answer.text().as_str()),
            (Some("chunked"), "until the end")
        );
    }
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_waiting_client_is_told_to_continue_once_its_body_is_wanted() {
    let origin = Origin::fixed("ok");
    let gateway = Gateway::start(&[
        ("routes/1", json!({ "uri": "/yes", "upstream": origin.upstream() })),
        (
            "routes/2",
            json!({ "uri": "/read", "upstream": origin.upstream(), "plugins": { "trial": { "read": 100 } } }),
        ),
        ("routes/3", json!({ "uri": "/no", "plugins": { "trial": { "reply": 401 } } })),
    ]);
    for target in ["/yes", "/read"] {
        let mut client = gateway.connect();
        client.write(format!(
            "POST {target} HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        ));
        assert_eq!(client.answer().unwrap().status, 100, "{target}");
        client.write("hello");
        assert_eq!(client.answer().unwrap().status, 200, "{target}");
        assert_eq!((origin.last().text().as_str(), origin.last().field("expect")), ("hello", None));
    }
    let mut client = gateway.connect();
    client.write("POST /no HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.field("connection")), (401, Some("close")), "no 100 before it");
    let mut client = gateway.connect();
    client.write(
        "POST /yes HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!((client.answer().unwrap().status, client.answer().unwrap().status), (100, 200));
}

#[test]
fn an_answer_may_come_before_the_body_was_read() {
    // Answers 413 as soon as the head is there, and never reads the body.
    let origin = Origin::raw(|_, stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = read_head(&mut reader);
        (&stream).write_all(&answer(413, &[], "too much")).unwrap();
        // Kept open: only the answer itself tells the gateway that it is at its end.
        let _ = read_head(&mut reader);
    });
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\nsome");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (413, "too much"));
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(client.is_closed());
    assert_eq!(origin.connections(), 1);
    gateway.get("/");
    assert_eq!(origin.connections(), 2, "a connection whose request was not sent whole is not used again");
}

#[test]
fn an_early_answer_reaches_a_client_that_sends_its_whole_body_first() {
    let gateway =
        Gateway::start(&[("routes/no", json!({ "uri": "/no", "plugins": { "trial": { "reply": 401 } } }))]);
    let piece = vec![b'x'; 1 << 20];
    for framing in ["Content-Length: 31457280", "Transfer-Encoding: chunked"] {
        let mut client = gateway.connect();
        client.write(format!("POST /no HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n"));
        for _ in 0..30 {
            if framing.ends_with("chunked") {
                client.write("100000\r\n");
                client.write(&piece);
                client.write("\r\n");
            } else {
                client.write(&piece);
            }
        }
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.field("connection")), (401, Some("close")), "{framing}");
        assert!(client.is_closed(), "{framing}");
    }
}

#[test]
fn request_and_answer_may_stream_at_once() {
    // Sends back each chunk as it comes.
    let origin = Origin::raw(|_, stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_head(&mut reader).unwrap();
        (&stream).write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        std::io::copy(&mut reader, &mut &stream).unwrap();
    });
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    for piece in ["4\r\nping\r\n", "4\r\npong\r\n", "0\r\n\r\n"] {
        client.write(piece);
        assert_eq!(client.bytes(piece.len()), piece.as_bytes());
    }
}

#[test]
fn a_body_that_breaks_off_is_never_passed_on_as_a_whole_one() {
    let raw = |bytes: &'static str| Origin::last_bytes(bytes);
    let gateway = Gateway::to(raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").upstream());
    let mut client = gateway.connect();
    client.request("GET", "/", "", b"");
    assert!(client.head().unwrap().contains("Content-Length: 10"));
    assert_eq!(client.rest().0, b"half");

    let gateway =
        Gateway::to(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").upstream());
    let mut client = gateway.connect();
    client.request("GET", "/", "", b"");
    client.head().unwrap();
    assert_eq!(client.rest().0, b"4\r\nhalf\r\n", "without the last chunk");

    // An old client would take the end of the connection for the end of the body.
    let mut client = gateway.connect();
    client.write("GET / HTTP/1.0\r\n\r\n");
    client.head().unwrap();
    let (_, orderly) = client.rest();
    assert!(!orderly, "the end has to be a reset");
}

#[test]
fn a_malformed_body_is_answered_with_400_and_never_reaches_its_end() {
    let origin = Origin::fixed("ok");
    let gateway = Gateway::to(origin.upstream());
    for (first, second) in [
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "zz\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n", "5\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n0x5\r\n", ""),
    ] {
        let mut client = gateway.connect();
        client.write(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{first}"));
        client.write(second);
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.field("connection")), (400, Some("close")), "{first}{second}");
        assert!(client.is_closed());
    }
    assert_eq!(origin.seen().len(), 0);
}

#[test]
fn bodies_beyond_the_bound_are_refused_with_413() {
    let origin = Origin::fixed("ok");
    let bounds = Bounds { body_bytes: Some(10), ..Bounds::default() };
    let route = json!({ "uri": "/*", "upstream": origin.upstream() });
    let gateway = Gateway::start_with(Options { bounds, ..options() }, &[("routes/1", route)]);
    assert_eq!(gateway.send("POST", "/", "", b"0123456789").status, 200);
    assert_eq!(gateway.send("POST", "/", "Expect: 100-continue\r\n", b"0123456789a").status, 413);
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n");
    client.write("3\r\n89a\r\n0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 413);
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn interim_answers_pass_and_100_does_not() {
    let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let origin = Origin::bytes(format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.request("GET", "/", "", b"");
        let hint = client.answer().unwrap();
        assert_eq!((hint.status, hint.field("link")), (103, Some("</a.css>")));
        assert_eq!(client.answer().unwrap().text(), "ok");
    }
    client.write("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200, "an old client knows no interim answers");

    let many = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(9);
    let gateway =
        Gateway::to(Origin::bytes(format!("{many}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).upstream());
    let mut client = gateway.connect();
    client.request("GET", "/", "", b"");
    // The connection stays, so that nothing behind the answer is waited for.
    let last = std::iter::from_fn(|| client.answer()).find(|answer| answer.status >= 200).unwrap();
    assert_eq!(last.status, 502);
}

#[test]
fn a_client_that_reads_nothing_holds_up_the_upstream_and_not_the_memory() {
    const LENGTH: usize = 64 << 20;
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&sent);
    let origin = Origin::raw(move |_, stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = read_request(&mut reader, 0);
        write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let piece = vec![b'x'; 64 << 10];
        while let Ok(written) = (&stream).write(&piece) {
            counted.fetch_add(written, std::sync::atomic::Ordering::SeqCst);
        }
        stream.set_write_timeout(None).unwrap();
        let left = LENGTH - counted.load(std::sync::atomic::Ordering::SeqCst);
        (&stream).write_all(&vec![b'x'; left]).unwrap();
        counted.fetch_add(left, std::sync::atomic::Ordering::SeqCst);
    });
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    client.request("GET", "/", "", b"");
    client.head().unwrap();
    // The origin writes until nobody takes more: what the kernel buffers of two connections hold.
    crate::support::eventually("the stall", || {
        let before = sent.load(std::sync::atomic::Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        before > 0 && before == sent.load(std::sync::atomic::Ordering::SeqCst)
    });
    assert!(sent.load(std::sync::atomic::Ordering::SeqCst) < LENGTH / 2);
    assert_eq!(client.bytes(LENGTH).len(), LENGTH);
}
