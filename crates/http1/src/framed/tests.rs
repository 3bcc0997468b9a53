//! Tests of heads that came in frames.

use super::{Pseudo, admit, admit_answer, admit_trailers};
use crate::head::Head;
use crate::limits::Limits;
use crate::request::{Framing, Upgrade};

type Fields<'a> = &'a [(&'a str, &'a str)];

const GET: Pseudo<'static> = Pseudo {
    method: b"GET",
    path: b"/",
    scheme: Some(b"http"),
    authority: Some(b"a.test"),
    protocol: None,
    ended: true,
};

fn bytes<'a>(fields: Fields<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

fn verdict(pseudo: Pseudo<'_>, fields: Fields<'_>) -> u16 {
    let mut head = Head::empty();
    admit(pseudo, bytes(fields), &Limits::default(), &mut head).map_or_else(|reject| reject.status, |_| 200)
}

#[test]
fn pseudo_fields_are_held_to_the_rules_of_the_text() {
    let path = |path: &'static str| Pseudo { path: path.as_bytes(), ..GET };
    let method = |method: &'static str| Pseudo { method: method.as_bytes(), ..GET };
    let long = format!("/{}", "x".repeat(8 << 10));
    for (pseudo, status) in [
        (GET, 200),
        (path("/a?b=c"), 200),
        (path("x"), 400),
        (path("*"), 400),
        (path(""), 400),
        (path("http://a.test/"), 400),
        (path("/a b"), 400),
        (path("/a#b"), 400),
        (path("/a\r\nx: y"), 400),
        (path("/a\"b"), 400),
        (Pseudo { path: long.as_bytes(), ..GET }, 414),
        (method("GET?"), 400),
        (method(""), 400),
        (method("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"), 400),
        (method("CONNECT"), 405),
        (method("QUERY"), 200),
        (Pseudo { scheme: Some(b"ftp"), ..GET }, 400),
        (Pseudo { scheme: None, ..GET }, 200),
        (Pseudo { authority: None, ..GET }, 400),
        (Pseudo { authority: Some(b""), ..GET }, 400),
        (Pseudo { authority: Some(b"u@a.test"), ..GET }, 400),
        (Pseudo { authority: Some(b"a.test:99999"), ..GET }, 400),
        (Pseudo { method: b"OPTIONS", path: b"*", ..GET }, 200),
        (Pseudo { method: b"CONNECT", protocol: Some(b"websocket"), ended: false, ..GET }, 200),
        (Pseudo { method: b"CONNECT", protocol: Some(b"ftp"), ended: false, ..GET }, 501),
        (Pseudo { protocol: Some(b"websocket"), ..GET }, 501),
    ] {
        assert_eq!(verdict(pseudo, &[]), status, "{pseudo:?}");
    }
}

#[test]
fn fields_are_held_to_the_rules_of_the_text() {
    let many: Vec<(&str, &str)> = vec![("cookie", "a"); 101];
    let wide = "x".repeat(17 << 10);
    for (fields, status) in [
        (&[("host", "A.TEST")] as Fields<'_>, 200),
        (&[("host", "b.test")], 400),
        (&[("te", "trailers")], 200),
        (&[("te", "trailers, deflate")], 400),
        (&[("connection", "close")], 400),
        (&[("upgrade", "websocket")], 400),
        (&[("keep-alive", "1")], 400),
        (&[("proxy-connection", "close")], 400),
        (&[("transfer-encoding", "chunked")], 400),
        (&[("transfer_encoding", "chunked")], 400),
        (&[("content-length", "0")], 200),
        (&[("content-length", "1")], 400),
        (&[("content-length", "0"), ("content-length", "0")], 400),
        (&[("content-length", "+1")], 400),
        (&[("X-Upper", "1")], 400),
        (&[("", "1")], 400),
        (&[("a:b", "1")], 400),
        (&[("a", "1\r\nb: 2")], 400),
        (&[("a", "1\0")], 400),
        (&[("expect", "200-ok")], 417),
        (&many, 431),
        (&[("a", &wide)], 431),
    ] {
        assert_eq!(verdict(GET, fields), status, "{fields:?}");
    }
    assert_eq!(verdict(Pseudo { authority: None, ..GET }, &[("host", "a.test")]), 200);
    assert_eq!(verdict(Pseudo { authority: None, ..GET }, &[("host", "a"), ("host", "b")]), 400);
}

#[test]
fn what_is_admitted_reads_as_a_request_of_its_own() {
    let mut head = Head::empty();
    let fields: Fields<'_> =
        &[("cookie", "a=1"), ("x-a", "b"), ("cookie", "c=2"), ("te", "trailers"), ("content-length", "7")];
    let pseudo = Pseudo { method: b"POST", path: b"/x?y", ended: false, ..GET };
    let wants = admit(pseudo, bytes(fields), &Limits::default(), &mut head).unwrap();
    assert_eq!((head.method(), head.target(), wants.framing), ("POST", "/x?y", Framing::Length(7)));
    let found: Vec<(&str, &[u8])> = head.iter().collect();
    assert_eq!(found, [("host", b"a.test".as_slice()), ("x-a", b"b"), ("cookie", b"a=1; c=2")]);

    let wants = admit(Pseudo { ended: false, ..pseudo }, bytes(&[]), &Limits::default(), &mut head).unwrap();
    assert_eq!(wants.framing, Framing::Chunked);
    let tunnel = Pseudo { method: b"CONNECT", protocol: Some(b"websocket"), ended: false, ..GET };
    let wants = admit(tunnel, bytes(&[]), &Limits::default(), &mut head).unwrap();
    assert_eq!((head.method(), wants.upgrade, wants.framing), ("GET", Upgrade::WebSocket, Framing::None));
}

#[test]
fn answers_and_trailers_are_checked_too() {
    let limits = Limits::for_answers();
    let mut head = Head::empty();
    let fields: Fields<'_> = &[("content-length", "3"), ("x-a", "1"), ("connection", "close")];
    assert_eq!(admit_answer(200, bytes(fields), &limits, &mut head), Ok(Some(3)));
    assert_eq!(head.iter().collect::<Vec<_>>(), [("x-a", b"1".as_slice())]);
    assert!(admit_answer(200, bytes(&[("content-length", "x")]), &limits, &mut head).is_err());
    assert!(admit_answer(200, bytes(&[("a", "\n")]), &limits, &mut head).is_err());

    let fields: Fields<'_> =
        &[("grpc-status", "0"), ("x-own", "1"), ("content-length", "9"), ("transfer-encoding", "chunked")];
    let names = |any| {
        let trailers = admit_trailers(bytes(fields), &limits, any).unwrap();
        trailers.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(true), ["grpc-status", "x-own"]);
    assert_eq!(names(false), ["grpc-status"]);
    assert!(admit_trailers(bytes(&[("a", "1"); 33]), &limits, true).is_err());
}
