//! What other plugins log of a request whose secrets are hidden.

use serde_json::{Map, Value, json};
use usher_model::variables::Variables as _;
use usher_pipeline::harness::{Harness, Outcome, harness, try_harness, try_harness_of};

use super::PLUGIN;

fn bench(items: &Value) -> Harness {
    harness(&PLUGIN, json!({ "request": items }))
}

fn variable(outcome: &Outcome, name: &str) -> String {
    let value = outcome.exchange.variable(name).unwrap_or_default();
    String::from_utf8_lossy(&value).into_owned()
}

#[test]
fn arguments_are_hidden_in_everything_that_says_them() {
    let items = json!([
        { "type": "query", "name": "token", "action": "replace", "value": "*" },
        { "type": "query", "name": "card", "action": "regex", "regex": "^\\d+(\\d{4})$", "value": "-$1" },
        { "type": "query", "name": "pass word", "action": "remove" },
    ]);
    let outcome = bench(&items).get(
        "/p?a=1&token=s3cret&card=4111111111111111&pass+word=s3cret&tok%65n=s3cret&pass%20word=s3cret&token",
    );
    // The upstream has seen what the client sent.
    assert!(outcome.seen().target.contains("token=s3cret"));
    let hidden = "a=1&token=%2A&card=-1111&token=%2A&token=%2A";
    for (name, wanted) in [
        ("args", hidden.to_owned()),
        ("request_uri", format!("/p?{hidden}")),
        ("real_request_uri", format!("/p?{hidden}")),
        ("request", format!("GET /p?{hidden} HTTP/1.1")),
        ("upstream_uri", format!("/p?{hidden}")),
        ("arg_token", "*".to_owned()),
    ] {
        assert_eq!(variable(&outcome, name), wanted, "{name}");
    }
    let outcome = bench(&json!([{ "type": "query", "name": "t", "action": "remove" }])).get("/p?t=1");
    assert_eq!(
        (variable(&outcome, "request_uri"), variable(&outcome, "request")),
        ("/p".into(), "GET /p HTTP/1.1".into())
    );
}

#[test]
fn header_fields_are_hidden_whoever_answers() {
    let items = json!([
        { "type": "header", "name": "X-Token", "action": "replace", "value": "*" },
        { "type": "header", "name": "X-Id", "action": "regex", "regex": "\\d", "value": "#" },
        { "type": "header", "name": "X-Gone", "action": "remove" },
    ]);
    let fields = [("x-token", "s3cret"), ("X-TOKEN", "s3cret"), ("X-Id", "a1b2"), ("X-Gone", "s3cret")];
    let bodies = Map::from_iter([
        ("data-mask".to_owned(), json!({ "request": items })),
        ("mocking".to_owned(), json!({ "response_example": "no", "response_status": 400 })),
    ]);
    for mut bench in [bench(&items), try_harness_of(&[&PLUGIN, &crate::mocking::PLUGIN], bodies).unwrap()] {
        let outcome = bench.send("GET", "/", &fields, "");
        let head = &outcome.exchange.request.head;
        assert_eq!(head.get_all("x-token").collect::<Vec<_>>(), [b"*", b"*"]);
        assert_eq!((head.get_str("x-id"), head.get_str("x-gone")), (Some("a#b2"), None));
    }
}

/// What `http-logger` says of a request's body behind these.
fn logged(items: &Value, more: &Value, kind: &str, body: &str) -> String {
    let mut conf = json!({ "request": items });
    conf.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let format = json!({ "body": "$request_body", "form": "$post_arg_pw", "json": "$post_arg.pw" });
    let logger = json!({
        "uri": "http://log.test/", "batch_max_size": 1, "include_req_body": true,
        "log_format": format, "max_req_body_bytes": 100,
    });
    let bodies = Map::from_iter([("data-mask".to_owned(), conf), ("http-logger".to_owned(), logger)]);
    let bench = try_harness_of(&[&PLUGIN, &crate::http_logger::PLUGIN], bodies).unwrap();
    let mut bench = bench.fetches(|_| {
        Ok(usher_pipeline::worker::Answer { head: usher_http1::head::Head::response(200), body: "".into() })
    });
    bench.send("POST", "/", &[("Content-Type", kind)], body.to_owned());
    let calls = bench.worker().calls();
    let line: Value = serde_json::from_slice(&calls.first().expect("a line").body).unwrap();
    assert!(
        line.to_string().matches("s3cret").count()
            == line["body"].as_str().unwrap().matches("s3cret").count()
    );
    line["body"].as_str().unwrap().to_owned()
}

#[test]
fn bodies_are_hidden_from_loggers() {
    let json_items = json!([
        { "type": "body", "body_format": "json", "name": "$..pw", "action": "replace", "value": "*" },
        { "type": "body", "body_format": "json", "name": "$.n", "action": "regex", "regex": "^\\d", "value": "#" },
    ]);
    let form_items =
        json!([{ "type": "body", "body_format": "urlencoded", "name": "pw", "action": "remove" }]);
    let both = json!([json_items[0], form_items[0]]);
    let (json_kind, form_kind) = ("application/json", "application/x-www-form-urlencoded; charset=utf-8");
    let none = json!({});
    let long = format!("{{\"pw\":\"s3cret\",\"x\":\"{}\"}}", "x".repeat(100));
    for (items, more, kind, body, wanted) in [
        (
            &json_items,
            &none,
            json_kind,
            r#"{"a":[{"pw":"s3cret"}],"n":42}"#,
            r##"{"a":[{"pw":"*"}],"n":"#2"}"##,
        ),
        (&json_items, &none, json_kind, r#"{"b":1.50}"#, r#"{"b":1.50}"#),
        // What can't be looked through is not logged.
        (&json_items, &none, json_kind, r#"{"pw":"s3cret""#, "***"),
        (&json_items, &none, "text/plain", "pw is s3cret", "***"),
        (&json_items, &none, json_kind, &long, "***"),
        (&json_items, &json!({ "max_body_size": 10 }), json_kind, r#"{"pw":"s3cret"}"#, "***"),
        (&form_items, &none, form_kind, "a=1&pw=s3cret&b=2&p%77=s3cret", "a=1&b=2"),
        (&form_items, &json!({ "max_req_post_args": 1 }), form_kind, "a=1&b=2", "a=1"),
        (&form_items, &json!({ "max_req_post_args": 0 }), form_kind, "a=1&b=2", "a=1&b=2"),
        (&both, &none, form_kind, "a=1&pw=s3cret", "a=1"),
        (&both, &none, json_kind, r#"{"pw":"s3cret"}"#, r#"{"pw":"*"}"#),
    ] {
        assert_eq!(logged(items, more, kind, body), wanted, "{body}");
    }
}

#[test]
fn what_can_not_work_is_refused() {
    for (item, said) in [
        (
            json!({ "type": "query", "name": "a", "action": "replace" }),
            "failed to validate item 1: allOf 3 failed: then clause did not match",
        ),
        (
            json!({ "type": "query", "name": "a", "action": "regex", "value": "" }),
            "failed to validate item 1: allOf 2 failed: then clause did not match",
        ),
        (
            json!({ "type": "body", "name": "$.a", "action": "remove" }),
            "failed to validate item 1: allOf 1 failed: then clause did not match",
        ),
        (
            json!({ "type": "query", "name": "a", "action": "regex", "regex": "(", "value": "" }),
            "request[0]: regex \"(\": ",
        ),
        (
            json!({ "type": "body", "body_format": "json", "name": "$", "action": "remove" }),
            "request[0]: name \"$\" is no path that is understood",
        ),
    ] {
        let refused = try_harness(&PLUGIN, json!({ "request": [item] })).err().unwrap().message;
        assert!(refused.contains(said), "{item}: {refused}");
    }
}
