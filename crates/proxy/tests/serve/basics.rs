//! Plain proxying: connections that go on, the shapes of answers, and what the gateway answers by itself.

use serde_json::json;
use usher_proxy::options::Options;

use crate::origin::{Origin, answer, nobody};
use crate::support::{Gateway, apisix, options};

#[test]
fn a_request_and_its_answer_pass() {
    let origin = Origin::bytes(answer(
        201,
        &[("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Server", "origin"), ("X-Two", "1"), ("X-Two", "2")],
        "made",
    ));
    let gateway = Gateway::to(origin.upstream());
    let answer = gateway.send("PUT", "/thing?x=1&y=%20z", "X-Own: a, b\r\n", b"body");
    assert_eq!((answer.status, answer.text().as_str()), (201, "made"));
    assert_eq!(answer.field("server"), Some(concat!("Usher/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(answer.field("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(answer.head.matches("X-Two").count(), 2);
    let seen = origin.last();
    assert_eq!(seen.line(), "PUT /thing?x=1&y=%20z HTTP/1.1");
    assert_eq!((seen.text().as_str(), seen.field("x-own")), ("body", Some("a, b")));
}

#[test]
fn both_connections_are_used_again() {
    let origin = Origin::fixed("ok");
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    for _ in 0..5 {
        client.request("GET", "/", "", b"");
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.field("connection")), (200, None));
    }
    assert_eq!((origin.seen().len(), origin.connections()), (5, 1));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::echo();
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    let mut text = String::new();
    for at in 0..20 {
        text += &format!("POST /{at} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi");
    }
    client.write(text);
    for at in 0..20 {
        assert!(client.answer().unwrap().text().starts_with(&format!("POST /{at} ")));
    }
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks_and_keeps_its_connection_only_when_it_asks() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".as_slice();
    let gateway = Gateway::to(Origin::bytes(chunked).upstream());
    let mut client = gateway.connect();
    client.write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((answer.field("transfer-encoding"), answer.field("connection")), (None, Some("close")));
    assert_eq!(answer.text(), "abc");

    let gateway = Gateway::to(Origin::fixed("ok").upstream());
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer().unwrap();
        assert_eq!(
            (answer.field("connection"), answer.field("content-length")),
            (Some("keep-alive"), Some("2"))
        );
    }
    client.write("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().unwrap().field("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn answers_without_a_body_stay_without_one() {
    for (method, upstream, status, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 200, Some("7")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"x\"\r\n\r\n", 304, Some("7")),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", 304, None),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, Some("0")),
    ] {
        let gateway = Gateway::to(Origin::bytes(upstream).upstream());
        let mut client = gateway.connect();
        for _ in 0..2 {
            client.request(method, "/", "", b"");
            let answer = client.answer_to(method).unwrap();
            assert_eq!(
                (answer.status, answer.field("content-length")),
                (status, length),
                "{method} {upstream}"
            );
            assert_eq!(answer.field("transfer-encoding"), None);
        }
    }
}

#[test]
fn what_the_gateway_answers_by_itself() {
    let origin = Origin::fixed("ok");
    let gateway = Gateway::start(&[
        ("routes/1", json!({ "uri": "/here", "upstream": origin.upstream() })),
        ("routes/2", json!({ "uri": "/no-upstream", "plugins": {} })),
        ("routes/3", json!({ "uri": "/nobody", "upstream": { "nodes": { nobody().to_string(): 1 } } })),
        ("routes/4", json!({ "uri": "/no-node", "upstream": { "nodes": { "127.0.0.1:1": 0 } } })),
    ]);
    let html = Some("text/html; charset=utf-8");
    for (method, target, status, kind, part) in [
        (
            "GET",
            "/elsewhere",
            404,
            Some("text/plain; charset=utf-8"),
            "{\"error_msg\":\"404 Route Not Found\"}\n",
        ),
        ("GET", "/no-upstream", 503, html, "<center><h1>503 Service Temporarily Unavailable</h1></center>"),
        ("GET", "/no-node", 503, html, "503 Service Temporarily Unavailable"),
        ("GET", "/nobody", 502, html, "<hr><center>usher</center>"),
        ("OPTIONS", "*", 200, None, ""),
        ("TRACE", "/here", 405, html, "405 Not Allowed"),
    ] {
        let mut client = gateway.connect();
        for _ in 0..2 {
            client.request(method, target, "", b"");
            let answer = client.answer().unwrap();
            assert_eq!((answer.status, answer.field("content-type")), (status, kind), "{method} {target}");
            assert!(answer.text().contains(part), "{target}: {}", answer.text());
            assert!(answer.field("server").is_some() && answer.field("date").is_some(), "{}", answer.head);
        }
    }
    assert_eq!(gateway.get("/nobody").field("x-apisix-upstream-status"), Some("502"));
    let mut client = gateway.connect();
    client.write("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 405);
    assert!(client.is_closed());
    assert_eq!(origin.seen().len(), 0);
}

#[test]
fn a_body_that_nobody_reads_is_not_taken_for_the_next_request() {
    let gateway = Gateway::start(&[]);
    for request in [
        "TRACE / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 40\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a.test\r\nContent-Length: 40\r\n\r\n",
        "POST /nowhere HTTP/1.1\r\nHost: a.test\r\nContent-Length: 40\r\n\r\n",
    ] {
        let mut client = gateway.connect();
        client.write(request);
        let _ = client.answer().unwrap();
        client.write("GET /smuggled HTTP/1.1\r\nHost: b.test\r\n\r\n");
        client.write("DELETE /next HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        assert_eq!(client.answer().unwrap().status, 404, "{request}");
        assert!(client.is_closed(), "{request}");
    }
}

#[test]
fn names_are_apisix_s_only_when_asked_for() {
    let options = Options { server: "APISIX/3.18.0".to_owned(), ..apisix() };
    let gateway = Gateway::start_with(options, &[("routes/1", json!({ "uri": "/x", "plugins": {} }))]);
    let answer = gateway.get("/x");
    assert_eq!((answer.status, answer.field("server")), (503, Some("APISIX/3.18.0")));
    assert!(answer.text().contains("<center>openresty</center>"));
}

#[test]
fn several_workers_and_addresses_serve_the_same_routes() {
    let origin = Origin::fixed("ok");
    let options = Options {
        workers: 3,
        listen: vec!["127.0.0.1:0".parse().unwrap(), "127.0.0.2:0".parse().unwrap()],
        ..options()
    };
    let gateway =
        Gateway::start_with(options, &[("routes/1", json!({ "uri": "/*", "upstream": origin.upstream() }))]);
    let listeners = gateway.live().listeners();
    assert_eq!(listeners.len(), 2);
    for listener in listeners {
        for _ in 0..10 {
            let mut client = crate::support::Client::connect(listener);
            client.request("GET", "/", "", b"");
            assert_eq!(client.answer().unwrap().status, 200);
        }
    }
    assert_eq!(origin.seen().len(), 20);
    // A request is counted at its end, which is a moment after its answer was read.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let traffic = gateway.live().traffic(10);
        let seen = (traffic[0].route.as_str(), traffic[0].requests);
        if seen == ("1", 20) {
            break;
        }
        assert!(std::time::Instant::now() < end && seen.1 < 20, "{seen:?}");
        std::thread::yield_now();
    }
}
