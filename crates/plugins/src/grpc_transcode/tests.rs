//! What clients and upstreams see of `grpc-transcode`.
#![cfg(test)]

use bytes::Bytes;
use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_model::protobuf::Definition;
use usher_pipeline::body::Body;
use usher_pipeline::env::Metadata;
use usher_pipeline::harness::{Harness, try_harness, try_harness_knowing};
use usher_pipeline::reply::Reply;

use super::PLUGIN;
use crate::grpc_frames::frame;

const PROTO: &str = r#"syntax = "proto3"; package hello;
    message Ask { string name = 1; int32 age = 2; repeated string tags = 3; Inner inner = 4; bool old = 5; }
    message Inner { string text = 1; }
    message Answer { string text = 1; int64 count = 2; }
    message Detail { int32 code = 1; string why = 2; }
    service Greeter { rpc Say(Ask) returns (Answer); rpc Tell(Ask) returns (stream Answer); rpc Gather(stream Ask) returns (Answer); }"#;

fn message(kind: &str, value: &Value) -> Vec<u8> {
    Definition::read(PROTO).unwrap().message(kind).unwrap().encode(value).unwrap()
}

fn framed(value: &Value) -> Bytes {
    frame(0, &message("hello.Answer", value))
}

fn bench(more: Value) -> Harness {
    let mut body = json!({ "proto_id": 7, "service": "hello.Greeter", "method": "Say" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut metadata = Metadata::default();
    metadata.set_proto("7", Some(Definition::read(PROTO).unwrap()));
    let bodies = Map::from_iter([("grpc-transcode".to_owned(), body)]);
    try_harness_knowing(&[&PLUGIN], &bodies, metadata).unwrap()
}

fn answering(head: Head, body: Bytes, more: Value) -> Harness {
    bench(more).upstream(move |_| Reply { head: head.clone(), body: Body::Full(body.clone()) })
}

fn asked(body: &[u8]) -> Value {
    let ask = Definition::read(PROTO).unwrap().message("hello.Ask").unwrap();
    ask.decode(&body[5..], Default::default()).unwrap()
}

#[test]
fn json_forms_and_arguments_become_the_message() {
    let wanted =
        json!({ "name": "a b", "age": 3, "tags": ["x", "y"], "inner": { "text": "t" }, "old": true });
    let without_inner = json!({ "name": "a b", "age": 3, "tags": ["x", "y"], "old": true });
    let form = "name=a+b&age=3&tags=x&tags=y&old=true&unknown=1";
    for (method, kind, target, sent, wanted) in [
        ("POST", "application/json; charset=utf-8", "/say", wanted.to_string(), &wanted),
        ("PUT", "application/json", "/say?name=other", wanted.to_string(), &wanted),
        ("POST", "application/x-www-form-urlencoded", "/say", form.to_owned(), &without_inner),
        ("GET", "text/plain", &*format!("/say?{form}"), String::new(), &without_inner),
    ] {
        let head = Head::response(200);
        let mut bench =
            answering(head, framed(&json!({ "text": "hi", "count": 5 })), json!({ "deadline": 1500.2 }));
        let fields = [("Content-Type", kind), ("grpc-accept-encoding", "gzip"), ("Accept-Encoding", "br")];
        let outcome = bench.send(method, target, &fields, sent);
        let seen = outcome.expect_status(200).seen();
        assert_eq!((seen.head.method(), seen.target.as_str()), ("POST", "/hello.Greeter/Say"));
        assert_eq!(asked(&seen.body), *wanted, "{method} {kind}");
        for (name, value) in [
            ("content-type", Some("application/grpc")),
            ("grpc-timeout", Some("1501m")),
            ("grpc-accept-encoding", None),
            ("accept-encoding", None),
        ] {
            assert_eq!(seen.head.get_str(name), value, "{name}");
        }
        assert_eq!(outcome.text(), r#"{"text":"hi","count":5}"#);
        assert_eq!(outcome.field("content-type"), Some("application/json"));
        assert_eq!(outcome.head.get_all("trailer").count(), 2);
    }
}

#[test]
fn what_is_no_message_is_refused_and_a_method_that_is_not_defined_is_503() {
    let mut one = bench(json!({}));
    let json = [("Content-Type", "application/json")];
    for sent in [
        r#"{"age": "x"}"#,
        "[]",
        "5",
        r#"{"inner": "text"}"#,
        &format!("{}{}", "[".repeat(100), "]".repeat(100)),
    ] {
        let outcome = one.send("POST", "/", &json, sent.to_owned());
        assert!(outcome.expect_status(400).upstream.is_none(), "{sent}");
    }
    one.get("/?age=many").expect_status(400);
    for more in [json!({ "method": "None" }), json!({ "service": "Greeter" }), json!({ "proto_id": "other" })]
    {
        assert!(bench(more).get("/").expect_status(503).upstream.is_none());
    }
}

#[test]
fn codes_of_failed_calls_become_statuses() {
    for (code, status) in [
        ("0", 200),
        ("1", 499),
        ("2", 500),
        ("3", 400),
        ("4", 504),
        ("5", 404),
        ("6", 409),
        ("7", 403),
        ("8", 429),
        ("9", 400),
        ("10", 409),
        ("11", 400),
        ("12", 501),
        ("13", 500),
        ("14", 503),
        ("15", 500),
        ("16", 401),
        ("17", 599),
    ] {
        let mut head = Head::response(200);
        head.set("grpc-status", code).unwrap();
        let body = if code == "0" { framed(&json!({})) } else { Bytes::new() };
        let outcome = answering(head, body, json!({})).get("/");
        assert_eq!(outcome.status(), status, "{code}");
        assert_eq!(outcome.text().is_empty(), code != "0");
    }
}

#[test]
fn details_of_a_failure_are_told_where_that_is_wanted() {
    use base64::Engine as _;
    let detail = message("hello.Detail", &json!({ "code": 9, "why": "because" }));
    let any = [&[0x0a, 1, b't', 0x12, u8::try_from(detail.len()).unwrap()], detail.as_slice()].concat();
    let status =
        [&[0x08, 5, 0x12, 4], b"gone".as_slice(), &[0x1a, u8::try_from(any.len()).unwrap()], &any].concat();
    let text = base64::engine::general_purpose::STANDARD.encode(status);
    let mut head = Head::response(200);
    head.set("grpc-status", "5").unwrap();
    head.set("grpc-status-details-bin", &text).unwrap();
    let told = |more: Value, head: &Head| {
        let outcome = answering(head.clone(), Bytes::new(), more).get("/");
        assert_eq!(outcome.status(), 404);
        outcome.text().to_owned()
    };
    assert_eq!(told(json!({}), &head), "");
    let named = json!({ "show_status_in_body": true, "status_detail_type": "hello.Detail" });
    let wanted =
        json!({ "error": { "code": 5, "message": "gone", "details": [{ "code": 9, "why": "because" }] } });
    assert_eq!(told(named.clone(), &head), wanted.to_string());
    let bare: Value = serde_json::from_str(&told(json!({ "show_status_in_body": true }), &head)).unwrap();
    assert_eq!(bare["error"]["details"][0]["type_url"], "t");
    for (text, wanted) in [
        ("***", "grpc-status-details-bin is not base64 format"),
        ("/////w==", "failed to decode grpc-status-details-bin"),
        ("GgMSAf8=", "failed to decode details in grpc-status-details-bin"),
    ] {
        head.set("grpc-status-details-bin", text).unwrap();
        assert_eq!(told(named.clone(), &head), wanted);
    }
}

#[test]
fn a_stream_is_a_line_of_json_for_each_message() {
    let body = [framed(&json!({ "text": "a" })), framed(&json!({ "text": "b", "count": 2 }))].concat();
    let outcome = answering(Head::response(200), body.into(), json!({ "method": "Tell" })).get("/?name=x");
    assert_eq!(outcome.text(), "{\"text\":\"a\",\"count\":0}\n{\"text\":\"b\",\"count\":2}\n");
    let gathered = json!({ "method": "Gather" });
    let mut bench = answering(Head::response(200), framed(&json!({})), gathered);
    let sent = json!([{ "name": "a" }, { "name": "b" }]).to_string();
    let outcome = bench.send("POST", "/", &[("Content-Type", "application/json")], sent);
    let both = [
        frame(0, &message("hello.Ask", &json!({ "name": "a" }))),
        frame(0, &message("hello.Ask", &json!({ "name": "b" }))),
    ];
    assert_eq!(outcome.seen().body, both.concat());
}

#[test]
fn options_say_how_messages_are_written() {
    let body = framed(&json!({ "count": 5_000_000_000_i64 }));
    for (options, wanted) in [
        (json!(["int64_as_string"]), r##"{"text":"","count":"#5000000000"}"##),
        (json!(["int64_as_hexstring", "no_default_values"]), r##"{"count":"#0x12A05F200"}"##),
    ] {
        let outcome = answering(Head::response(200), body.clone(), json!({ "pb_option": options })).get("/");
        assert_eq!(outcome.text(), wanted);
    }
}

#[test]
fn answers_of_the_gateway_and_of_other_statuses_stay_as_they_are() {
    let mut bench = answering(Head::response(502), Bytes::from_static(b"page"), json!({}));
    assert_eq!(bench.get("/").expect_status(502).text(), "page");
}

#[test]
fn refuses_bodies_that_can_not_work() {
    for (body, sentence) in [
        (json!({ "service": "a", "method": "b" }), "property \"proto_id\" is required"),
        (json!({ "proto_id": "1", "method": "b" }), "property \"service\" is required"),
        (
            json!({ "proto_id": "1", "service": "a", "method": "b", "pb_option": [] }),
            "expect array to have at least 1 items",
        ),
        (
            json!({ "proto_id": "1", "service": "a", "method": "b", "pb_option": ["x"] }),
            "property \"pb_option\" validation failed",
        ),
        (
            json!({ "proto_id": "1", "service": "a", "method": "b", "deadline": -1 }),
            "property \"deadline\" validation failed",
        ),
        (
            json!({ "proto_id": "a b", "service": "a", "method": "b" }),
            "property \"proto_id\" validation failed",
        ),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(error.message.contains(sentence), "{body}: {error}");
    }
}
