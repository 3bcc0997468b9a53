//! Forty calls that a model gets wrong: each error names the place, what is allowed there and the call that comes next, in few tokens.

use serde_json::{Value, json};
use usher_model::kind::Kind;

use crate::client::{Client, Era, Person};
use crate::support::Side;

/// Tokens of an error at most.
const MOST: usize = 200;

fn tokens(text: &str) -> usize {
    tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len()
}

fn plan(change: Value) -> Value {
    json!({ "intent": "x", "changes": [change] })
}

fn create(kind: &str, id: &str, body: Value) -> Value {
    plan(json!({ "op": "create", "kind": kind, "id": id, "body_json": body }))
}

fn with_plugin(name: &str, body: Value) -> Value {
    create("route", "new", json!({ "uri": "/new", "upstream_id": "u", "plugins": { name: body } }))
}

/// Tool, arguments, and what the error has to hold beside the three: mostly the very repair.
fn cases() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("gateway_find", json!({}), "where: /kind"),
        ("gateway_find", json!({ "kind": "rotue" }), "did you mean: route"),
        ("gateway_find", json!({ "kind": "route", "limit": 0 }), "from 1 to 25"),
        ("gateway_find", json!({ "kind": "route", "limit": "5" }), "where: /limit"),
        ("gateway_find", json!({ "kind": "route", "search": "x" }), "allowed: kind, text, label"),
        ("gateway_find", json!({ "kind": "route", "text": 5 }), "where: /text"),
        ("gateway_get", json!({ "kind": "route" }), "where: /id"),
        ("gateway_get", json!({ "kind": "route", "id": "speakr" }), "did you mean: speaker"),
        ("gateway_get", json!({ "kind": "upstream", "id": "nope" }), "gateway_find {\"kind\":\"upstream\"}"),
        ("gateway_get", json!({ "kind": "credential", "id": "jack" }), "where: /id"),
        ("gateway_explain_request", json!({ "method": "GET" }), "where: /path"),
        ("gateway_explain_request", json!({ "method": "GET", "path": "speaker" }), "begins with /"),
        ("gateway_explain_request", json!({ "method": "GET", "path": "/", "client": "me" }), "IP address"),
        (
            "gateway_explain_request",
            json!({ "method": "GET", "path": "/", "headers": [{ "name": "a" }] }),
            "where: /headers/0/value",
        ),
        ("gateway_plugin_help", json!({ "plugin": "test-limt" }), "did you mean: test-limit"),
        ("gateway_plugin_help", json!({ "name": "test-limit" }), "allowed: plugin"),
        ("gateway_traffic", json!({ "by": "routes" }), "did you mean: route"),
        ("gateway_traffic", json!({ "range": "yesterday" }), "such as 10m"),
        ("gateway_traffic", json!({ "compare": "1 week" }), "where: /compare"),
        ("gateway_traffic", json!({ "status": "teapot" }), "such as 5xx"),
        ("gateway_traffic", json!({ "sort": "latency" }), "slowest"),
        ("gateway_requests", json!({ "status": "4x" }), "where: /status"),
        ("gateway_history", json!({ "kind": "route" }), "both, or both null"),
        ("gateway_history", json!({ "before": -1 }), "where: /before"),
        ("gateway_plan", json!({ "changes": [], "intent": "" }), "1 to 100 changes"),
        ("gateway_plan", json!({ "changes": {}, "intent": "" }), "where: /changes"),
        (
            "gateway_plan",
            plan(json!({ "op": "update", "kind": "route", "id": "speaker" })),
            "create, replace, merge, delete",
        ),
        ("gateway_plan", plan(json!({ "op": "delete", "kind": "route" })), "where: /changes/0/id"),
        (
            "gateway_plan",
            plan(json!({ "op": "delete", "kind": "route", "id": "speaker", "body_json": "{}" })),
            "allowed: null",
        ),
        (
            "gateway_plan",
            plan(json!({ "op": "merge", "kind": "route", "id": "speaker", "body_json": "{uri" })),
            "where: /changes/0/body_json",
        ),
        ("gateway_plan", create("route", "new", json!({ "upstream_id": "u" })), "`uri` or `uris`"),
        (
            "gateway_plan",
            create("route", "new", json!({ "uri": "/new", "upstreamid": "u" })),
            "did you mean: upstream_id",
        ),
        (
            "gateway_plan",
            create("route", "new", json!({ "uri": "/new", "upstream_id": "uu" })),
            "did you mean: u",
        ),
        (
            "gateway_plan",
            create("route", "new", json!({ "uri": "/new", "upstream_id": "u", "methods": ["FETCH"] })),
            "one of GET",
        ),
        (
            "gateway_plan",
            create("route", "speaker", json!({ "uri": "/new", "upstream_id": "u" })),
            "op merge",
        ),
        (
            "gateway_plan",
            create("upstream", "new", json!({ "nodes": { "a:1": 1 }, "type": "random" })),
            "roundrobin",
        ),
        ("gateway_plan", create("consumer", "", json!({})), "username"),
        ("gateway_plan", with_plugin("test-limti", json!({ "count": 1 })), "did you mean: test-limit"),
        ("gateway_plan", with_plugin("test-limit", json!({ "count": "many" })), "count: a whole number"),
        ("gateway_import_openapi", json!({ "document": "{", "intent": "" }), "where: /document"),
        ("gateway_apply", json!({ "plan_id": "0123456789" }), "next: gateway_plan"),
        ("gateway_apply", json!({ "plan": "0123456789" }), "allowed: plan_id"),
        ("gateway_undo", json!({ "revision": 999_999 }), "gateway_history"),
        ("gateway_undo", json!({ "revision": "last" }), "where: /revision"),
        ("gateway_probe", json!({ "method": "CONNECT", "path": "/" }), "where: /method"),
        ("gateway_probe", json!({ "method": "GET", "path": "http://other.test/" }), "begins with /"),
        (
            "gateway_probe",
            json!({ "method": "GET", "path": "/", "headers": [{ "name": "Host", "value": "x" }] }),
            "give it as host",
        ),
        ("gateway_probe", json!({ "method": "GET", "path": "/", "host": "a b\n" }), "where: /host"),
        ("gateway_delete", json!({}), "allowed: gateway_overview"),
    ]
}

#[tokio::test]
async fn each_of_forty_errors_holds_the_place_the_choice_and_the_next_call() {
    let side = Side::start().await;
    let node = json!({ "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1 } });
    side.put(Kind::Upstream, "u", node).await;
    side.put(Kind::Route, "speaker", json!({ "uri": "/speaker/*", "upstream_id": "u" })).await;
    side.live.listeners.lock().unwrap().push(side.address);
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let before = side.revision();
    let all = cases();
    assert!(all.len() >= 40);
    let mut poor = Vec::new();
    for (tool, arguments, wanted) in all {
        let refused = client.refusal(tool, arguments.clone()).await;
        let size = tokens(&refused);
        let missing: Vec<&str> = ["\nwhere: ", "\nallowed: ", "\nnext: ", wanted]
            .into_iter()
            .filter(|part| !refused.contains(part))
            .collect();
        if !missing.is_empty() || size > MOST {
            poor.push(format!("{tool} {arguments}: {size} tokens, lacks {missing:?}: {refused}"));
        }
    }
    // What only a person can agree to, where there is none.
    let plan =
        client.plan(json!([{ "op": "delete", "kind": "route", "id": "speaker", "body_json": null }])).await;
    let refused = client.refusal("gateway_apply", json!({ "plan_id": plan["plan_id"] })).await;
    let size = tokens(&refused);
    if size > MOST || !refused.contains("\nnext: ") {
        poor.push(format!("a plan of high risk: {size} tokens: {refused}"));
    }
    assert!(poor.is_empty(), "{} errors are poor:\n{}", poor.len(), poor.join("\n\n"));
    assert_eq!(side.revision(), before);
}
