//! What lines of loggers say, seen through `http-logger`.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_model::variables::Variables as _;
use usher_pipeline::harness::{Clock, Harness, harness};
use usher_pipeline::reply::Reply;
use usher_pipeline::worker::Answer;

use crate::http_logger::PLUGIN;

fn bench(more: Value) -> Harness {
    let mut body = json!({ "uri": "http://127.0.0.1:9/", "batch_max_size": 1 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let bench = harness(&PLUGIN, body).on_runtime(Clock::Paused);
    bench.fetches(|_| Ok(Answer { head: Head::response(200), body: bytes::Bytes::new() }))
}

/// The text of the last line that was sent.
fn last(bench: &Harness) -> String {
    bench.pass(Duration::from_millis(1));
    let calls = bench.worker().calls();
    String::from_utf8(calls.last().unwrap().body.to_vec()).unwrap()
}

fn line(bench: &Harness) -> Value {
    serde_json::from_str(&last(bench)).unwrap()
}

#[test]
fn an_answer_s_body_is_logged_as_text_whatever_its_coding() {
    let coded = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let long = "0123456789".repeat(20);
    for (body, coding, logged) in [
        (coded("hello"), "gzip", "hello".to_owned()),
        (coded(&long), "gzip", long[..100].to_owned()),
        (b"no gzip".to_vec(), "gzip", "no gzip".to_owned()),
        (b"as it is".to_vec(), "zstd", "as it is".to_owned()),
    ] {
        let sent = body.clone();
        let mut bench = bench(json!({ "include_resp_body": true, "max_resp_body_bytes": 100 }))
            .upstream(move |_| Reply::text(200, "text/plain", body.clone()).with("Content-Encoding", coding));
        assert_eq!(bench.get("/").body.to_vec(), sent, "the client gets what was sent");
        assert_eq!(line(&bench)["response"]["body"], json!(logged));
    }
}

#[test]
fn a_line_says_what_apisix_says() {
    let mut bench = bench(json!({})).from("192.0.2.1");
    let fields = [("X-A", "1"), ("x-a", "2"), ("Authorization", "Bearer secret"), ("Cookie", "s=secret")];
    bench.send("POST", "/a%20b?x=1&y=%26&x=2&z", &fields, "hello").expect_status(200);
    let line = line(&bench);
    assert!(!line.to_string().contains("secret"));
    for (pointer, wanted) in [
        ("/request/url", json!("http://a.test:9080/a%20b?x=1&y=%26&x=2&z")),
        ("/request/uri", json!("/a%20b?x=1&y=%26&x=2&z")),
        ("/request/method", json!("POST")),
        ("/request/headers/x-a", json!(["1", "2"])),
        ("/request/headers/host", json!("a.test")),
        ("/request/headers/authorization", json!("***")),
        ("/request/querystring", json!({ "x": ["1", "2"], "y": "&", "z": true })),
        ("/response/status", json!(200)),
        ("/response/headers/content-type", json!("text/plain")),
        ("/route_id", json!("1")),
        ("/service_id", json!("")),
        ("/client_ip", json!("192.0.2.1")),
        ("/start_time", json!(1_800_000_000_000_u64)),
        ("/latency", json!(0.0)),
        ("/upstream", json!("")),
    ] {
        assert_eq!(line.pointer(pointer), Some(&wanted), "{pointer} of {line}");
    }
    assert!(line.pointer("/request/body").is_none() && line.pointer("/response/body").is_none());
    assert!(line.pointer("/server/hostname").is_some_and(Value::is_string));
}

#[test]
fn bodies_are_cut_and_logged_where_they_are_asked_for() {
    let mut bench = bench(json!({
        "include_req_body": true, "max_req_body_bytes": 4, "include_resp_body": true,
        "include_req_body_expr": [["status", "==", 500]], "include_resp_body_expr": [["arg_log", "==", "1"]],
    }))
    .upstream(|exchange| {
        let status = if exchange.variable("arg_fail").is_some() { 500 } else { 200 };
        Reply::text(status, "text/plain", "the answer")
    });
    for (target, request, answer) in [
        ("/", None, None),
        ("/?fail=1", Some(json!("hell")), None),
        ("/?log=1", None, Some(json!("the answer"))),
        ("/?log=1&fail=1", Some(json!("hell")), Some(json!("the answer"))),
    ] {
        let outcome = bench.send("POST", target, &[], "hello");
        assert_eq!((outcome.seen().body.as_ref(), outcome.text()), (b"hello".as_slice(), "the answer"));
        let line = line(&bench);
        assert_eq!(line.pointer("/request/body"), request.as_ref(), "{target}");
        assert_eq!(line.pointer("/response/body"), answer.as_ref(), "{target}");
    }
}

#[test]
fn members_of_ones_own_are_texts_variables_and_objects() {
    let format = json!({ "fixed": "x", "n": 7, "who": "$remote_addr asks $host", "in": { "body": "$request_body", "none": "$nothing" } });
    let mut bench = bench(json!({ "log_format": format, "include_req_body": true }));
    bench.send("POST", "/", &[], "{\"a\":1}");
    let wanted = json!({
        "fixed": "x", "n": 7, "who": "127.0.0.1 asks a.test", "in": { "body": "{\"a\":1}" }, "route_id": "1"
    });
    assert_eq!(line(&bench), wanted);
    let mut more = self::bench(json!({ "log_format_extra": { "team": "$arg_team" } }));
    more.get("/?team=red");
    let line = line(&more);
    assert_eq!((&line["team"], &line["response"]["status"]), (&json!("red"), &json!(200)));
}

#[test]
fn times_and_numbers_are_what_they_are_and_what_is_absent_has_no_member() {
    let format = json!({
        "@timestamp": "$time_iso8601", "local": "$time_local", "status": "$status", "took": "$request_time", "got": "$request_length",
        "text": "$status of $arg_none", "arg": "$arg_n", "none": "$arg_none", "upstream": "$upstream_response_time", "id": "$request_id",
        "kind": "$upstream_http_content_type", "machine": "$hostname",
    });
    let mut bench = bench(json!({ "log_format": format }));
    bench.get("/?n=7");
    let mut line = line(&bench);
    let members = line.as_object_mut().unwrap();
    let mut text = |name: &str| members.remove(name).unwrap().as_str().unwrap().to_owned();
    let (at, local, id) = (text("@timestamp"), text("local"), text("id"));
    let at: jiff::Timestamp = at.parse().unwrap();
    assert_eq!(at.as_second(), 1_800_000_000);
    let read = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", &local).unwrap();
    assert_eq!(read.to_timestamp().unwrap(), at);
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert!(members.remove("got").unwrap().is_u64());
    assert_eq!(members.remove("machine").unwrap(), usher_pipeline::machine::name());
    assert_eq!(
        line,
        json!({ "status": 200, "took": 0.0, "text": "200 of ", "arg": "7", "kind": "text/plain", "route_id": "1" })
    );
}

#[test]
fn a_client_can_not_end_a_line_or_make_it_long() {
    let mut bench = bench(json!({ "log_format_extra": { "agent": "$http_user_agent" } }));
    let agent = format!("a\u{2028}b\u{85}c{}", "x".repeat(100_000));
    let fields = [("User-Agent", agent.as_str())];
    bench.send("GET", "/?q=%0A%0D%1B%00", &fields, "");
    let text = last(&bench);
    assert!(text.chars().all(|c| !c.is_control() && c != '\u{2028}'), "{}", &text[..200]);
    assert!(text.len() < 40_000, "{}", text.len());
    let line: Value = serde_json::from_str(&text).unwrap();
    assert!(line["agent"].as_str().unwrap().starts_with("a\u{2028}b\u{85}c"));
    assert_eq!(line["request"]["querystring"]["q"], "\n\r\u{1b}\0");
}

#[test]
fn metadata_is_for_uses_without_a_format_of_their_own() {
    use usher_model::compat::Compat;
    use usher_pipeline::compile::Pipeline;
    use usher_pipeline::env::{Env, Metadata, Process, Target, Targets};
    use usher_pipeline::registry::Registry;

    struct NoTargets;
    impl Targets for NoTargets {
        fn target(&self, _: &str, _: &Value, _: Compat) -> Result<std::sync::Arc<dyn Target>, String> {
            Err("there are none here".into())
        }
    }
    let process = Process::new(Map::new(), Compat::NONE, Box::new(NoTargets));
    let registry = Registry::new(&[&PLUGIN]);
    let mut metadata = Metadata::default();
    let mut deep = json!({ "a": 1 });
    for _ in 0..6 {
        deep = json!({ "a": deep });
    }
    metadata.set("http-logger", Some(json!({ "log_format": deep })));
    let compile = |body: Value| {
        let env = Env::new(&process, &registry, "/apisix/routes/1").with_metadata(&metadata);
        Pipeline::compile(&Map::from_iter([("http-logger".to_owned(), body)]), &env)
    };
    let error = compile(json!({ "uri": "http://a.test" })).err().unwrap();
    assert!(error.message.contains("log_format is nested more than 5 deep"), "{error}");
    assert!(compile(json!({ "uri": "http://a.test", "log_format": { "a": 1 } })).is_ok());
}
