//! Batches through `public-api`, with the gateway itself played by the bench.

use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_pipeline::env::Metadata;
use usher_pipeline::harness::{Harness, Outcome, try_harness_knowing};
use usher_pipeline::worker::{Answer, FetchError};

use super::PLUGIN;

fn bench(metadata: Option<Value>) -> Harness {
    let bodies = Map::from_iter([("public-api".to_owned(), json!({}))]);
    let mut known = Metadata::default();
    known.set("batch-requests", metadata);
    let bench = try_harness_knowing(&[&PLUGIN, &crate::public_api::PLUGIN], &bodies, known).unwrap();
    bench.from("192.0.2.7").fetches(|call| {
        let mut head = Head::response(200);
        head.append("Content-Type", "text/plain").unwrap();
        head.append("Set-Cookie", "a=1").unwrap();
        head.append("Set-Cookie", "b=2").unwrap();
        match call.url.as_str() {
            "inside:/slow" => Err(FetchError::TimedOut("the gateway itself".to_owned())),
            "inside:/large" => Err(FetchError::BadAnswer {
                peer: "the gateway itself".to_owned(),
                reason: format!("its body is larger than {} bytes", call.max_answer_bytes),
            }),
            "inside:/binary" => Ok(Answer { head, body: vec![0xff, 0].into() }),
            "inside:/empty" => Ok(Answer { head: Head::response(204), body: Vec::new().into() }),
            url => Ok(Answer { head, body: format!("{} {url}", call.method).into() }),
        }
    })
}

fn post(bench: &mut Harness, fields: &[(&str, &str)], batch: &Value) -> Outcome {
    bench.send("POST", "/apisix/batch-requests", fields, batch.to_string())
}

#[test]
fn answers_come_in_the_order_of_their_requests() {
    let batch = json!({ "pipeline": [
        { "path": "/a" },
        { "path": "/b?x=1", "method": "POST", "body": "hello" },
        { "path": "/slow" },
        { "path": "/large" },
        { "path": "/binary" },
        { "path": "/empty" },
    ] });
    let outcome = post(&mut bench(None), &[], &batch);
    outcome.expect_status(200);
    assert_eq!(outcome.field("content-type"), Some("text/plain; charset=utf-8"));
    let headers = json!({ "Content-Type": "text/plain", "Set-Cookie": ["a=1", "b=2"] });
    let ok = |body: &str| json!({ "status": 200, "reason": "OK", "headers": headers, "body": body });
    let mut binary = ok("/wA=");
    binary["body_encoding"] = "base64".into();
    let told: Value = serde_json::from_str(outcome.text()).unwrap();
    assert_eq!(
        told,
        json!([
            ok("GET inside:/a"),
            ok("POST inside:/b?x=1"),
            { "status": 504, "reason": "upstream timeout" },
            { "status": 502, "reason": "its body is larger than 1048576 bytes" },
            binary,
            { "status": 204, "reason": "No Content", "headers": {} },
        ])
    );
}

#[test]
fn what_is_said_for_all_is_said_for_each_unless_it_says_something_else() {
    let batch = json!({
        "headers": { "X-All": "all", "X-Both": "all", "Transfer-Encoding": "chunked", "Connection": "x-own" },
        "query": { "k": "v w", "own": "all", "list": [1, true] },
        "pipeline": [
            { "path": "/a?q=1", "query": { "own": "é&" }, "headers": { "x-both": "own", "X-List": ["1", 2] } },
            { "path": "/ä b" },
        ],
    });
    let mut bench = bench(None);
    let fields = [
        ("Authorization", "Bearer t"),
        ("X-Both", "client"),
        ("Content-Type", "application/json"),
        ("Content-Length", "1"),
        ("Accept-Encoding", "gzip"),
        ("Upgrade", "websocket"),
    ];
    post(&mut bench, &fields, &batch).expect_status(200);
    let calls = bench.worker().calls();
    let [first, second] = calls.as_slice() else { panic!("two requests, but {}", calls.len()) };
    assert_eq!(first.url, "inside:/a?q=1&own=%C3%A9%26&k=v%20w&list=1&list");
    assert_eq!(second.url, "inside:/%C3%A4%20b?k=v%20w&own=all&list=1&list");
    let fields =
        |name: &str| first.fields.get_all(name).map(String::from_utf8_lossy).collect::<Vec<_>>().join("|");
    for (name, wanted) in [
        ("x-all", "all"),
        ("x-both", "own"),
        ("x-list", "1|2"),
        ("authorization", "Bearer t"),
        ("host", "a.test"),
        ("content-type", ""),
        ("content-length", ""),
        ("transfer-encoding", ""),
        ("connection", ""),
        ("upgrade", ""),
        ("accept-encoding", ""),
    ] {
        assert_eq!(fields(name), wanted, "{name}");
    }
    assert_eq!(second.fields.get_str("x-both"), Some("all"));
}

#[test]
fn what_is_no_batch_runs_nothing_and_says_why() {
    let items = |count: usize| json!({ "pipeline": vec![json!({ "path": "/a" }); count] }).to_string();
    for (body, status, said) in [
        ("", 400, "no request body, you should give at least one pipeline setting"),
        ("{", 400, "invalid request body: "),
        ("{}", 400, "bad request body: object matches none of the required"),
        (
            r#"{"pipeline": []}"#,
            400,
            "property \\\"pipeline\\\" validation failed: expect array to have at least 1 items",
        ),
        (r#"{"pipeline": [{"path": 1}]}"#, 400, "wrong type: expected string, got number"),
        (r#"{"pipeline": [{"path": "/a"}, {"path": ""}]}"#, 400, "failed to validate item 2"),
        (r#"{"pipeline": [{"path": "/a", "method": "BREW"}]}"#, 400, "matches none of the enum values"),
        (r#"{"pipeline": [{"path": "/a", "version": 2}]}"#, 400, "matches none of the enum values"),
        (
            r#"{"pipeline": [{"path": "a"}]}"#,
            400,
            "item 1 of pipeline can't be sent: its path begins with a slash, \\\"a\\\" doesn't",
        ),
        (
            r#"{"pipeline": [{"path": "/a", "headers": {"a b": "c"}}]}"#,
            400,
            "item 1 of pipeline can't be sent: its header a b: ",
        ),
        (r#"{"pipeline": [{"path": "/a", "headers": {"a": "b\r\nc: d"}}]}"#, 400, "its header a: "),
        (r#"{"pipeline": [{"path": "/a", "headers": {"a": {}}}]}"#, 400, "its header a is a text"),
        (&items(101), 400, "expect array to have at most 100 items"),
        (&" ".repeat((1 << 20) + 1), 413, "larger than the 1048576 bytes"),
    ] {
        let mut bench = bench(None);
        let outcome = bench.send("POST", "/apisix/batch-requests", &[], body.to_owned());
        assert_eq!(outcome.status(), status, "{body:.80}: {}", outcome.text());
        assert!(outcome.text().starts_with("{\"error_msg\":"), "{}", outcome.text());
        assert!(outcome.text().contains(said), "{body:.80}: {}", outcome.text());
        assert_eq!(bench.worker().calls().len(), 0, "{body:.80}");
    }
    assert_eq!(bench(None).get("/apisix/batch-requests").status(), 404);
}

#[test]
fn the_metadata_sets_the_bounds() {
    let small = json!({ "max_body_size": 40, "max_pipeline_items": 1 });
    let one = json!({ "pipeline": [{ "path": "/a" }] });
    assert_eq!(post(&mut bench(Some(small.clone())), &[], &one).status(), 200);
    let two = json!({ "pipeline": [{ "path": "/a" }, { "path": "/b" }] });
    assert_eq!(post(&mut bench(Some(small)), &[], &two).status(), 413);
    let few = json!({ "max_pipeline_items": 1 });
    assert_eq!(post(&mut bench(Some(few)), &[], &two).status(), 400);
}

#[test]
fn a_batch_ends_in_time_whatever_its_requests_do() {
    let batch = json!({ "timeout": 3_600_000, "pipeline": vec![json!({ "path": "/a" }); 3] });
    let mut bench = bench(None);
    post(&mut bench, &[], &batch).expect_status(200);
    assert!(bench.worker().calls().iter().all(|call| call.timeout <= super::LONGEST_EACH));
}
