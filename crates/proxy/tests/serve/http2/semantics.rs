//! What a request and its answer mean does not depend on how they travel.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::peer::{Peer, collect, push, request, run, with};
use crate::origin::{Origin, answer};
use crate::support::{Gateway, eventually};

#[test]
fn a_request_reaches_an_http1_upstream_as_one_of_its_own() {
    let origin = Origin::fixed("hello");
    let gateway = Gateway::to(origin.upstream());
    let reply = run(async {
        let peer = Peer::connect(gateway.address).await;
        let fields = [
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("te", "trailers"),
            ("x-consumer-username", "root"),
            ("x-forwarded-for", "9.9.9.9"),
            ("x-own", "1"),
        ];
        peer.send(with("GET", "/a/../b?c=d", &fields), b"").await.unwrap()
    });
    assert_eq!((reply.status, reply.text().as_str()), (200, "hello"));
    assert_eq!(reply.field("content-length"), Some("5"));
    assert!(reply.field("server").is_some_and(|server| server.starts_with("Usher/")), "{:?}", reply.fields);
    assert!(reply.field("date").is_some() && reply.field("connection").is_none());
    let seen = origin.last();
    assert_eq!(seen.line(), "GET /b?c=d HTTP/1.1");
    assert_eq!(seen.fields("host"), ["a.test"]);
    assert_eq!(seen.fields("cookie"), ["a=1; b=2"]);
    assert_eq!(seen.fields("x-own"), ["1"]);
    assert_eq!(seen.fields("x-forwarded-for"), ["9.9.9.9, 127.0.0.1"]);
    assert_eq!(seen.fields("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.fields("x-forwarded-host"), ["a.test"]);
    for gone in ["te", "x-consumer-username", "connection", "upgrade", "transfer-encoding"] {
        assert_eq!(seen.fields(gone), [""; 0], "{gone}");
    }
}

#[test]
fn bodies_arrive_whole_with_and_without_a_length() {
    let origin = Origin::start(|seen, stream| {
        stream.write_all(&answer(200, &[], &format!("{} bytes", seen.body.len()))).is_ok()
    });
    let gateway = Gateway::to(origin.upstream());
    let large = vec![b'x'; 3 << 20];
    run(async {
        let peer = Peer::connect(gateway.address).await;
        for length in [1, 5_000, 70_000, large.len()] {
            let body = &large[..length];
            let said = length.to_string();
            for fields in [&[][..], &[("content-length", said.as_str())]] {
                let reply = peer.send(with("POST", "/", fields), body).await.unwrap();
                assert_eq!(reply.text(), format!("{length} bytes"));
                let seen = origin.last();
                let chunked = seen.field("transfer-encoding") == Some("chunked");
                assert_eq!(chunked, fields.is_empty(), "{}", seen.head);
            }
        }
        peer.send(request("POST", "/"), b"").await.unwrap();
        assert_eq!(origin.last().fields("content-length"), ["0"]);
    });
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let origin = Origin::start(|seen, stream| {
        let status = seen.line().split('/').nth(1).unwrap().split(' ').next().unwrap();
        let text = match status {
            "204" => "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n".to_owned(),
            "304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n".to_owned(),
            "head" => "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".to_owned(),
            "0" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            _ => "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end".to_owned(),
        };
        stream.write_all(text.as_bytes()).is_ok() && status != "close"
    });
    let gateway = Gateway::to(origin.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        for (method, path, status, length, body) in [
            ("GET", "/204", 204, None, ""),
            ("GET", "/304", 304, Some("7"), ""),
            ("HEAD", "/head", 200, Some("7"), ""),
            ("GET", "/0", 200, Some("0"), ""),
            ("GET", "/close", 200, None, "to the end"),
        ] {
            let reply = peer.send(request(method, path), b"").await.unwrap();
            assert_eq!((reply.status, reply.text().as_str()), (status, body), "{path}");
            assert_eq!(reply.field("content-length"), length, "{path}");
        }
    });
}

#[test]
fn the_gateways_own_answers_look_as_over_http1() {
    let gateway = Gateway::start(&[(
        "routes/1",
        json!({ "uri": "/gone", "upstream": { "type": "roundrobin", "nodes": { crate::origin::nobody().to_string(): 1 } } }),
    )]);
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let reply = peer.get("/nowhere").await;
        assert_eq!((reply.status, reply.text().as_str()), (404, "{\"error_msg\":\"404 Route Not Found\"}\n"));
        let reply = peer.get("/gone").await;
        assert_eq!(reply.status, 502);
        assert!(reply.text().contains("<center>usher</center>"), "{}", reply.text());
        assert_eq!(reply.field("x-apisix-upstream-status"), Some("502"));
        // A path that is refused is refused by its stream alone.
        let reply = peer.get("/%00").await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains("400 Bad Request"), "{}", reply.text());
        assert_eq!(peer.get("/nowhere").await.status, 404);
        let options = http::Request::builder().method("OPTIONS").uri("*").header("host", "a.test").body(());
        // h2's client can't say it without an authority; the server's side is tested by hand-written frames.
        drop(options);
    });
}

#[test]
fn interim_answers_pass_and_a_hundred_is_ours() {
    let origin = Origin::start(|_, stream| {
        let text = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
        stream.write_all(text.as_bytes()).is_ok() && stream.write_all(&answer(200, &[], "late")).is_ok()
    });
    let gateway = Gateway::to(origin.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let (mut reply, mut stream) =
            peer.open(with("POST", "/", &[("expect", "100-continue")]), false).await;
        let first = std::future::poll_fn(|context| reply.poll_informational(context)).await;
        assert_eq!(first.unwrap().unwrap().status(), 100);
        push(&mut stream, Bytes::from_static(b"body"), true).await.unwrap();
        let second = std::future::poll_fn(|context| reply.poll_informational(context)).await;
        let second = second.unwrap().unwrap();
        assert_eq!(
            (second.status().as_u16(), &second.headers()["link"]),
            (103, &"</a.css>".parse::<http::HeaderValue>().unwrap())
        );
        assert_eq!(collect(reply.await.unwrap()).await.unwrap().text(), "late");
    });
    assert_eq!(origin.last().text(), "body");
    assert!(origin.last().field("expect").is_none());
}

#[test]
fn trailers_pass_where_they_are_harmless() {
    let origin = Origin::bytes(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Checksum: 9\r\nHost: b\r\n\r\n",
    );
    let gateway = Gateway::to(origin.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let (reply, mut stream) = peer.open(request("POST", "/"), false).await;
        push(&mut stream, Bytes::from_static(b"body"), false).await.unwrap();
        let mut trailers = http::HeaderMap::new();
        for (name, value) in [
            ("x-checksum", "7"),
            ("content-length", "9"),
            ("host", "b"),
            ("authorization", "x"),
            ("x-consumer-username", "root"),
        ] {
            trailers.insert(name, value.parse().unwrap());
        }
        stream.send_trailers(trailers).unwrap();
        let reply = collect(reply.await.unwrap()).await.unwrap();
        assert_eq!((reply.text().as_str(), reply.trailer("x-checksum")), ("body", Some("9")));
        assert_eq!(reply.trailers.unwrap().len(), 1);
    });
    let seen = origin.last();
    assert_eq!((seen.text().as_str(), seen.trailers.as_str()), ("body", "x-checksum: 7\r\n"));
}

#[test]
fn a_client_that_goes_takes_its_request_with_it() {
    let origin = Origin::raw(|_, stream, seen| {
        let mut reader = std::io::BufReader::new(stream);
        let Some(head) = crate::origin::read_head(&mut reader) else { return };
        seen.lock().unwrap().push(crate::origin::Seen { head, ..crate::origin::Seen::default() });
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut reader, &mut rest);
        seen.lock().unwrap().push(crate::origin::Seen::default());
    });
    let gateway = Gateway::to(origin.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let (reply, mut stream) = peer.open(request("GET", "/slow"), true).await;
        while origin.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stream.send_reset(h2::Reason::CANCEL);
        drop(reply);
        // Others of the same connection go on.
        assert_eq!(gateway.get("/%00").status, 400);
        while origin.seen().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn a_body_that_breaks_off_never_ends_well() {
    // The client's.
    let origin = Origin::fixed("fine");
    let gateway = Gateway::to(origin.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let (reply, mut stream) = peer.open(with("POST", "/", &[("content-length", "100000")]), false).await;
        push(&mut stream, Bytes::from(vec![b'x'; 20_000]), false).await.unwrap();
        stream.send_reset(h2::Reason::CANCEL);
        assert!(reply.await.is_err());
    });
    assert_eq!(origin.seen().len(), 0, "no whole request came");
    // The upstream's.
    let origin = Origin::last_bytes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    let gateway = Gateway::to(origin.upstream());
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let error = peer.send(request("GET", "/"), b"").await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
        assert_eq!(peer.get("/%00").await.status, 400, "its neighbours go on");
    });
}

#[test]
fn plugins_see_the_same_request() {
    let origin = Origin::echo();
    let gateway = Gateway::with_plugins(origin.upstream(), json!({}));
    run(async {
        let peer = Peer::connect(gateway.address).await;
        let mut all = Vec::new();
        for _ in 0..50 {
            let peer = peer.clone();
            all.push(tokio::spawn(async move { peer.get("/many").await.status }));
        }
        for one in all {
            assert_eq!(one.await.unwrap(), 200);
        }
    });
    eventually("fifty requests", || origin.seen().len() == 50);
}
