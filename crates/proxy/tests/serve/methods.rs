//! Plugins that change the method: who gets a body is decided by what each side said itself.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::origin::{Origin, nobody};
use crate::support::Gateway;

const BODY: &str = "a body of the origin's";

/// Answers as the method asks: HEAD with a length alone.
fn origin() -> Origin {
    Origin::start(|seen, stream| {
        let body = if seen.line().starts_with("HEAD ") { "" } else { BODY };
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", BODY.len()).is_ok()
    })
}

fn with_method(upstream: Value, method: &str) -> Gateway {
    Gateway::with_plugins(upstream, json!({ "trial": { "method": method } }))
}

#[test]
fn a_get_that_goes_up_as_head_has_an_empty_body_and_a_head_that_goes_up_as_get_has_none() {
    let length = BODY.len().to_string();
    for retried in [false, true] {
        for (method, sent, announced) in [("GET", "HEAD", "0"), ("HEAD", "GET", length.as_str())] {
            let origin = origin();
            let mut upstream = origin.upstream();
            if retried {
                upstream["nodes"][nobody().to_string()] = json!(1000);
            }
            let gateway = with_method(upstream, sent);
            let mut client = gateway.connect();
            let request = format!("{method} /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
            client.write(request.repeat(3));
            for _ in 0..3 {
                let answer = client.answer_to(method).unwrap();
                let said = (answer.status, answer.field("content-length"), answer.field("connection"));
                assert_eq!(said, (200, Some(announced), None), "{method} as {sent}");
                assert_eq!(answer.text(), "");
            }
            assert!(origin.seen().iter().all(|seen| seen.line().starts_with(sent)));
            // A body that nobody gets ends its connection where it hasn't come with its head.
            assert!(origin.connections() == 1 || sent == "GET", "nothing was left unread");
        }
    }
}

#[test]
fn a_body_without_end_that_nobody_gets_is_not_waited_for() {
    for framing in ["Content-Length: 100000000000\r\n", "Transfer-Encoding: chunked\r\n", ""] {
        let origin = Origin::start(move |_, stream| {
            write!(stream, "HTTP/1.1 200 OK\r\n{framing}\r\n").unwrap();
            let piece = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
            while stream.write_all(&piece).is_ok() {}
            false
        });
        let gateway = with_method(origin.upstream(), "GET");
        let mut client = gateway.connect();
        for _ in 0..3 {
            client.request("HEAD", "/", "", b"");
            assert_eq!(client.answer_to("HEAD").unwrap().status, 200, "{framing}");
        }
        assert_eq!(origin.connections(), 3, "each was closed");
    }
}

#[test]
fn answers_of_plugins_go_by_the_client_s_method_too() {
    let gateway = Gateway::start(&[
        (
            "routes/1",
            json!({ "uri": "/head", "plugins": { "trial": { "method": "HEAD", "reply": 200, "body": "own" } } }),
        ),
        (
            "routes/2",
            json!({ "uri": "/get", "plugins": { "trial": { "method": "GET", "reply": 200, "body": "own" } } }),
        ),
    ]);
    let mut client = gateway.connect();
    for (method, target, body) in [("GET", "/head", "own"), ("HEAD", "/get", ""), ("GET", "/head", "own")] {
        client.request(method, target, "", b"");
        let answer = client.answer_to(method).unwrap();
        assert_eq!((answer.field("content-length"), answer.text().as_str()), (Some("3"), body), "{method}");
    }
}

#[test]
fn the_length_of_a_body_that_would_be_changed_is_not_told_to_head() {
    let length = BODY.len().to_string();
    for (config, announced) in
        [(json!({ "shout": ["answer"] }), None), (json!({ "watch": true }), Some(length.as_str()))]
    {
        let gateway = Gateway::with_plugins(origin().upstream(), json!({ "trial": config }));
        let mut client = gateway.connect();
        for _ in 0..2 {
            client.request("HEAD", "/", "", b"");
            let answer = client.answer_to("HEAD").unwrap();
            assert_eq!((answer.status, answer.field("content-length")), (200, announced), "{config}");
        }
    }
}

#[test]
fn a_refused_head_gets_no_page() {
    let gateway = Gateway::start(&[]);
    let mut client = gateway.connect();
    client.request("HEAD", "/%", "", b"");
    let answer = client.answer_to("HEAD").unwrap();
    assert_eq!((answer.status, answer.field("connection")), (400, Some("close")));
    assert!(client.is_closed());
}
