//! What a collector and an upstream see of `opentelemetry`.
#![cfg(test)]

use std::time::Duration;

use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_pipeline::env::Metadata;
use usher_pipeline::harness::{Clock, Harness, try_harness, try_harness_knowing};
use usher_pipeline::reply::Reply;
use usher_pipeline::worker::Answer;

use super::PLUGIN;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn bench(body: Value, metadata: Value) -> Harness {
    let mut known = Metadata::default();
    known.set("opentelemetry", Some(metadata));
    let bodies = Map::from_iter([("opentelemetry".to_owned(), body)]);
    try_harness_knowing(&[&PLUGIN], &bodies, known)
        .unwrap()
        .on_runtime(Clock::Paused)
        .fetches(|_| Ok(Answer { head: Head::response(200), body: bytes::Bytes::new() }))
}

fn spans(bench: &Harness) -> Vec<Value> {
    bench.pass(Duration::from_secs(10));
    let of = |body: &[u8]| {
        let batch: Value = serde_json::from_slice(body).unwrap();
        batch["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
    };
    bench.worker().calls().iter().flat_map(|call| of(&call.body)).collect()
}

fn attribute<'a>(span: &'a Value, name: &str) -> Option<&'a Value> {
    span["attributes"].as_array().unwrap().iter().find(|one| one["key"] == name).map(|one| &one["value"])
}

#[test]
fn a_trace_that_came_goes_on_and_the_collector_hears_of_it() {
    let metadata = json!({
        "resource": { "service.name": "door", "zone": 3, "live": true },
        "collector": { "address": "127.0.0.1:4999", "request_timeout": 7, "request_headers": { "X-Token": "secret" } },
        "set_ngx_var": true,
    });
    let body = json!({
        "sampler": { "name": "always_on" },
        "additional_attributes": ["arg_a", "nothing"],
        "additional_header_prefix_attributes": ["X-My-*", "x-one"],
    });
    let mut bench = bench(body, metadata).upstream(|_| Reply::new(503));
    let parent = format!("00-{TRACE}-b7ad6b7169203331-00");
    let fields = [
        ("traceparent", parent.as_str()),
        ("tracestate", "a=b"),
        ("X-My-B", "c"),
        ("x-one", "1"),
        ("x-other", "2"),
    ];
    let outcome = bench.send("GET", "/there?a=7", &fields, "");
    let seen = &outcome.seen().head;
    let said = seen.get_str("traceparent").unwrap();
    assert!(
        said.starts_with(&format!("00-{TRACE}-"))
            && said.ends_with("-01")
            && !said.contains("b7ad6b7169203331")
    );
    assert_eq!(seen.get_str("tracestate"), Some("a=b"));
    let told = spans(&bench);
    let [span] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!("b7ad6b7169203331")));
    assert_eq!(span["spanId"], said[36..52]);
    assert_eq!((&span["name"], &span["kind"]), (&json!("GET /*"), &json!(2)));
    assert_eq!(span["status"], json!({ "code": 2, "message": "upstream response status: 503" }));
    for (name, value) in [
        ("http.method", json!({ "stringValue": "GET" })),
        ("http.target", json!({ "stringValue": "/there?a=7" })),
        ("http.status_code", json!({ "intValue": "503" })),
        ("apisix.route_id", json!({ "stringValue": "1" })),
        ("arg_a", json!({ "stringValue": "7" })),
        ("x-my-b", json!({ "stringValue": "c" })),
        ("x-one", json!({ "stringValue": "1" })),
    ] {
        assert_eq!(attribute(span, name), Some(&value), "{name}");
    }
    assert_eq!((attribute(span, "nothing"), attribute(span, "x-other")), (None, None));
    let calls = bench.worker().calls();
    assert_eq!(
        (calls[0].url.as_str(), calls[0].timeout),
        ("http://127.0.0.1:4999/v1/traces", Duration::from_secs(7))
    );
    assert_eq!(
        (calls[0].fields.get_str("x-token"), calls[0].fields.get_str("content-type")),
        (Some("secret"), Some("application/json"))
    );
    let batch: Value = serde_json::from_slice(&calls[0].body).unwrap();
    let resource = batch["resourceSpans"][0]["resource"]["attributes"].as_array().unwrap();
    assert!(resource.contains(&json!({ "key": "service.name", "value": { "stringValue": "door" } })));
    assert!(resource.contains(&json!({ "key": "live", "value": { "boolValue": true } })));
    assert!(!resource.contains(&json!({ "key": "service.name", "value": { "stringValue": "APISIX" } })));
}

#[test]
fn samplers_decide_what_is_told() {
    let sampled = format!("00-{TRACE}-b7ad6b7169203331-01");
    let unsampled = format!("00-{TRACE}-b7ad6b7169203331-00");
    let parent = |root: &str| json!({ "name": "parent_base", "options": { "root": { "name": root } } });
    for (sampler, came, wanted) in [
        (json!({}), Some(&sampled), false),
        (json!({ "name": "always_off" }), Some(&sampled), false),
        (json!({ "name": "always_on" }), Some(&unsampled), true),
        (parent("always_off"), Some(&sampled), true),
        (parent("always_on"), Some(&unsampled), false),
        (parent("always_on"), None, true),
        (parent("always_off"), None, false),
        (json!({ "name": "trace_id_ratio", "options": { "fraction": 1 } }), None, true),
        (json!({ "name": "trace_id_ratio" }), None, false),
    ] {
        let mut bench = bench(json!({ "sampler": sampler }), json!({}));
        let fields: Vec<_> = came.iter().map(|came| ("traceparent", came.as_str())).collect();
        let outcome = bench.send("GET", "/", &fields, "");
        let said = outcome.seen().head.get_str("traceparent").unwrap().to_owned();
        assert_eq!(said.ends_with("-01"), wanted, "{sampler} {came:?}");
        assert_eq!(spans(&bench).len(), usize::from(wanted), "{sampler} {came:?}");
    }
    let mut half =
        bench(json!({ "sampler": { "name": "trace_id_ratio", "options": { "fraction": 0.5 } } }), json!({}));
    for _ in 0..200 {
        half.get("/");
    }
    assert!((60..140).contains(&spans(&half).len()));
}

#[test]
fn a_new_trace_may_be_named_by_the_request_and_variables_tell_of_it() {
    let mut bench = bench(json!({}), json!({ "trace_id_source": "x-request-id", "set_ngx_var": true }));
    for (id, kept) in [
        (TRACE, true),
        ("0af76519-16cd-43dd-8448-eb211c80319c", true),
        ("mine", false),
        (&"0".repeat(32), false),
    ] {
        let outcome = bench.send("GET", "/", &[("X-Request-Id", id), ("tracestate", "a=b")], "");
        let head = &outcome.seen().head;
        let said = head.get_str("traceparent").unwrap();
        assert_eq!(said[3..35] == *TRACE, kept, "{id}");
        assert_eq!(head.get_str("tracestate"), None);
        use usher_model::variables::Variables as _;
        let told = outcome.exchange.variable("opentelemetry_context_traceparent").unwrap().into_owned();
        assert_eq!(told, said.as_bytes());
    }
}

#[test]
fn refuses_bodies_that_can_not_work() {
    for (body, sentence) in [
        (json!({ "sampler": { "name": "some" } }), "matches none of the enum values"),
        (json!({ "additional_attributes": [""] }), "string too short"),
        (json!({ "sampler": { "name": "trace_id_ratio", "options": { "fraction": "x" } } }), "wrong type"),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(error.message.contains(sentence), "{body}: {error}");
    }
    let mut known = Metadata::default();
    known.set("opentelemetry", Some(json!({ "collector": { "address": "no host:x" } })));
    let bodies = Map::from_iter([("opentelemetry".to_owned(), json!({}))]);
    let error = try_harness_knowing(&[&PLUGIN], &bodies, known).err().unwrap();
    assert!(error.message.contains("collector.address"), "{error}");
}
