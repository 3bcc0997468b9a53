//! What clients, the policy agent and the upstream see of `opa`.
#![cfg(test)]

use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_pipeline::harness::{Harness, harness, try_harness, try_harness_of};
use usher_pipeline::worker::{Answer, FetchError};

use super::PLUGIN;
use crate::key_auth;

fn body(more: &Value) -> Value {
    let mut body = json!({ "host": "http://127.0.0.1:8181", "policy": "gateway/allow" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn answering(bench: Harness, status: u16, text: String) -> Harness {
    bench.fetches(move |_| Ok(Answer { head: Head::response(status), body: text.clone().into() }))
}

fn deciding(more: &Value, decision: &Value) -> Harness {
    answering(harness(&PLUGIN, body(more)), 200, json!({ "result": decision }).to_string())
}

#[test]
fn the_agent_sees_the_request_and_never_a_credential() {
    let more = json!({ "with_route": true, "with_service": true, "with_consumer": true });
    let bodies = Map::from_iter([("opa".to_owned(), body(&more)), ("key-auth".to_owned(), json!({}))]);
    let bench = try_harness_of(&[&key_auth::PLUGIN, &PLUGIN], bodies).unwrap();
    let labels = Map::from_iter([("team".to_owned(), json!("a"))]);
    let bench = bench.consumer("jack", "key-auth", &json!({ "key": "jacks-secret-key" }), labels);
    let mut bench =
        answering(bench, 200, json!({ "result": { "allow": true } }).to_string()).from("10.0.0.9");
    let fields = [("apikey", "jacks-secret-key"), ("X-Many", "1"), ("X-Many", "2")];
    bench.send("POST", "/a?b=1%20&b=2&c", &fields, "").expect_status(200);
    let call = bench.worker().calls().remove(0);
    assert_eq!(
        (call.method.as_str(), call.url.as_str()),
        ("POST", "http://127.0.0.1:8181/v1/data/gateway/allow")
    );
    assert_eq!((call.timeout.as_millis(), call.verify), (3000, true));
    let input: Value = serde_json::from_slice(&call.body).unwrap();
    let request = &input["input"]["request"];
    assert_eq!(request["method"], "POST");
    assert_eq!((&request["path"], &request["port"]), (&json!("/a"), &json!(9080)));
    assert_eq!(request["query"], json!({ "b": ["1 ", "2"], "c": true }));
    assert_eq!(request["headers"]["x-many"], json!(["1", "2"]));
    assert_eq!(input["input"]["var"]["remote_addr"], "10.0.0.9");
    assert_eq!(input["input"]["var"]["timestamp"], 1_800_000_000);
    assert_eq!(input["input"]["route"], json!({ "id": "1", "uri": "/*" }));
    assert_eq!(input["input"].get("service"), None, "the route has none");
    let consumer = json!({ "username": "jack", "consumer_name": "jack", "labels": { "team": "a" } });
    assert_eq!(input["input"]["consumer"], consumer);
}

#[test]
fn a_refusal_is_the_agents_own() {
    let decision = json!({
        "allow": false, "status_code": 302, "reason": "go there",
        "headers": { "Location": "https://login.test", "X-Many": ["1", "2"], "X-Torn": "a\r\nX-Admin: 1" }
    });
    let outcome = deciding(&json!({}), &decision).get("/");
    assert_eq!((outcome.status(), outcome.text()), (302, "go there"));
    assert_eq!(outcome.field("location"), Some("https://login.test"));
    assert_eq!(outcome.head.get_all("x-many").count(), 2);
    assert!(!outcome.head.contains("x-torn") && !outcome.head.contains("x-admin"));
    let outcome = deciding(&json!({}), &json!({ "allow": false, "reason": { "code": 7 } })).get("/");
    assert_eq!((outcome.status(), outcome.text()), (403, "{\"code\":7}\n"));
    assert_eq!(deciding(&json!({}), &json!({ "allow": false })).get("/").status(), 403);
    assert_eq!(deciding(&json!({}), &json!({ "allow": false, "status_code": 7 })).get("/").status(), 403);
}

/// CVE-2026-49231: a header that the decision doesn't have passed from the client.
#[test]
fn the_upstream_gets_the_agents_headers_and_never_the_clients() {
    let more = json!({
        "send_headers_upstream": ["X-User", "X-Role"],
        "_meta": { "filter": [["arg_off", "~=", "1"]] }
    });
    let decision = json!({ "allow": true, "headers": { "x-user": "ann", "X-Other": "1" } });
    let spoofed = [("X-User", "root"), ("X_User", "root"), ("X-Role", "admin"), ("X-Other", "stays")];
    for (target, user) in [("/", Some("ann")), ("/?off=1", None)] {
        let outcome = deciding(&more, &decision).send("GET", target, &spoofed, "");
        let head = &outcome.seen().head;
        assert_eq!((head.get_str("x-user"), head.get_str("x-other")), (user, Some("stays")), "{target}");
        assert!(!head.contains("x-role") && !head.contains("x_user"));
    }
}

#[test]
fn an_agent_that_fails_refuses() {
    for failure in [
        FetchError::Unreachable { peer: "a".into(), reason: "refused".into() },
        FetchError::TimedOut("a".into()),
        FetchError::BadAnswer { peer: "a".into(), reason: "nonsense".into() },
        FetchError::Forbidden("169.254.169.254".into()),
    ] {
        harness(&PLUGIN, body(&json!({}))).fetches(move |_| Err(failure.clone())).get("/").expect_status(403);
    }
    for (status, text) in [
        (200, ""),
        (200, "nonsense"),
        (200, "{}"),
        (200, r#"{"result":null}"#),
        (200, r#"{"result":true}"#),
        (200, r#"{"result":{"allow":"yes"}}"#),
        (500, r#"{"result":{"allow":true}}"#),
        (302, r#"{"result":{"allow":true}}"#),
    ] {
        let outcome = answering(harness(&PLUGIN, body(&json!({}))), status, text.to_owned()).get("/");
        assert_eq!(outcome.status(), 503, "{status} {text}");
    }
    deciding(&json!({}), &json!({})).get("/").expect_status(403);
}

#[test]
fn bodies_that_can_not_work_are_refused_by_name() {
    for (more, wanted) in [
        (json!({ "host": "a.test" }), "property \"host\" validation failed"),
        (json!({ "host": "http://u:p@a.test" }), "property \"host\" validation failed"),
        (json!({ "policy": "a b" }), "property \"policy\" validation failed"),
        (json!({ "timeout": 0 }), "property \"timeout\""),
        (json!({ "send_headers_upstream": [] }), "property \"send_headers_upstream\""),
        (json!({ "send_headers_upstream": ["a b"] }), "property \"send_headers_upstream\""),
    ] {
        let error = try_harness(&PLUGIN, body(&more)).err().map(|error| error.message).unwrap_or_default();
        assert!(error.contains(wanted), "{more}: {error}");
    }
    assert!(try_harness(&PLUGIN, json!({ "host": "http://a.test" })).is_err());
}
