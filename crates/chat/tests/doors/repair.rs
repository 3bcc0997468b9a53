//! Errors of `gateway_plan` from which a model can repair its call: the place, what is allowed there, and what was meant.

use serde_json::{Value, json};
use usher_model::kind::Kind;

use crate::client::{Client, Era, Person};
use crate::support::Side;

fn nodes() -> Value {
    json!({ "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1 } })
}

fn create(kind: &str, id: &str, body: &Value) -> Value {
    json!({ "intent": "", "changes": [{ "op": "create", "kind": kind, "id": id, "body_json": body.to_string() }] })
}

async fn with_upstreams(number: usize) -> (Side, Client) {
    let side = Side::start().await;
    for number in 0..number {
        let mut value = nodes();
        value["name"] = format!("backend {number}").into();
        side.put(Kind::Upstream, &format!("u{number}"), value).await;
    }
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    (side, client)
}

#[tokio::test]
async fn a_body_that_is_refused_says_what_is_allowed_there() {
    let (side, client) = with_upstreams(7).await;
    let cases = [
        (
            create("route", "b", &json!({ "upstream": nodes() })),
            vec!["where: route b", "allowed: a route needs `uri` or `uris`", "`upstream_id`"],
        ),
        (
            create("route", "b", &json!({ "uri": "/b", "upstreamid": "u1" })),
            vec!["where: route b at /upstreamid", "did you mean: upstream_id", "allowed: id, name"],
        ),
        (
            create("route", "b/c", &json!({ "uri": "/b", "upstream_id": "u1" })),
            vec!["where: /changes/0/id", "allowed: an id: 1 to 64 letters, digits, - _ or ."],
        ),
        (
            create("consumer", "", &json!({ "username": "a b" })),
            vec!["where: /changes/0/id", "allowed: a username: 1 to 256 letters"],
        ),
        (
            create("route", "b", &json!({ "uri": "/b", "upstream_id": "zzz" })),
            vec!["upstream id [zzz]", "allowed: u0 (backend 0), u1", "2 more"],
        ),
        (
            create("route", "b", &json!({ "uri": "/b", "upstream_id": "backend_3" })),
            vec!["did you mean: backend 3"],
        ),
        (
            create(
                "route",
                "b",
                &json!({ "uri": "/b", "upstream": nodes(), "plugins": { "test-limit": { "count": -1 } } }),
            ),
            vec!["where: route b at /plugins/test-limit/count", "allowed: count: a whole number from 1 on"],
        ),
        (
            create(
                "route",
                "b",
                &json!({ "uri": "/b", "upstream": nodes(), "plugins": { "test-limit": {} } }),
            ),
            vec!["\"count\" is required", "allowed: count: a whole number from 1 on"],
        ),
        (
            create("credential", "jack/credentials/a", &json!({ "plugins": { "test-key": { "key": 1 } } })),
            vec!["where: credential jack/credentials/a at /plugins/test-key/key", "allowed: key: text"],
        ),
        (
            create("upstream", "b", &json!({ "nodes": { "a:1": 1 }, "retries": -1 })),
            vec!["allowed: retries: a whole number from 0 on"],
        ),
        (
            json!({ "intent": "", "changes": [{ "op": "create", "kind": "consumer", "body_json": "[]" }] }),
            vec!["such as \"{\\\"username\\\":\\\"jack\\\"}\""],
        ),
        (
            json!({ "intent": "", "changes": [{ "op": "create", "body_json": "{}" }] }),
            vec!["where: /changes/0/kind", "allowed: route, service, upstream, consumer"],
        ),
    ];
    let before = side.revision();
    for (arguments, wanted) in cases {
        let refused = client.refusal("gateway_plan", arguments.clone()).await;
        for part in wanted {
            assert!(refused.contains(part), "{arguments}: {refused:?} lacks {part:?}");
        }
        assert!(refused.len() <= 1_200, "{refused}");
    }
    assert_eq!(side.revision(), before);
}

#[tokio::test]
async fn names_work_inside_bodies_where_ids_do() {
    let (_side, client) = with_upstreams(2).await;
    client
        .change(json!([
            { "op": "create", "kind": "route", "id": "a", "body_json": { "uri": "/a", "service_id": "the service" } },
            { "op": "create", "kind": "service", "id": "s", "body_json": { "name": "the service", "upstream_id": "backend 1" } },
            { "op": "create", "kind": "route", "id": "b", "body_json": { "uri": "/b", "upstream_id": "u0" } },
        ]))
        .await;
    let member = async |kind: &str, id: &str, name: &str| {
        client.call("gateway_get", json!({ "kind": kind, "id": id })).await["value"][name].clone()
    };
    assert_eq!(member("route", "a", "service_id").await, "s");
    assert_eq!(member("service", "s", "upstream_id").await, "u1");
    assert_eq!(member("route", "b", "upstream_id").await, "u0");
}

#[tokio::test]
async fn a_name_that_several_have_is_asked_back_inside_bodies_too() {
    let (side, client) = with_upstreams(1).await;
    let mut value = nodes();
    value["name"] = "backend 0".into();
    side.put(Kind::Upstream, "other", value).await;
    let body = json!({ "uri": "/b", "upstream_id": "backend 0" });
    let refused = client.refusal("gateway_plan", create("route", "b", &body)).await;
    for part in ["2 objects are named", "where: /changes/0/body_json/upstream_id", "u0", "other"] {
        assert!(refused.contains(part), "{refused:?} lacks {part:?}");
    }
}

#[tokio::test]
async fn a_limit_of_nothing_is_refused() {
    let (_side, client) = with_upstreams(1).await;
    for tool in ["gateway_find", "gateway_history"] {
        let kind = if tool == "gateway_find" { json!("route") } else { Value::Null };
        for limit in [0, -1] {
            let arguments = match &kind {
                Value::Null => json!({ "limit": limit }),
                kind => json!({ "kind": kind, "limit": limit }),
            };
            let refused = client.refusal(tool, arguments).await;
            assert!(refused.contains("allowed: a whole number from 1 to 25"), "{tool} {limit}: {refused}");
        }
    }
}

#[tokio::test]
async fn a_path_that_differs_by_the_case_of_letters_is_named() {
    let (side, client) = with_upstreams(1).await;
    for (id, uri) in [("exact", "/Topics"), ("prefix", "/Talks/*"), ("other", "/other/*")] {
        side.put(Kind::Route, id, json!({ "uri": uri, "upstream_id": "u0" })).await;
    }
    for (path, id) in [("/topics?x=/Topics", Some("exact")), ("/talks/1", Some("prefix")), ("/speak", None)] {
        let arguments = json!({ "method": "GET", "path": path });
        let result = client.result("gateway_explain_request", arguments.clone()).await;
        let text = crate::client::text(&result);
        let lines: Vec<&str> =
            text.lines().filter(|line| line.contains("only the case of letters differs")).collect();
        match id {
            Some(id) => assert!(lines.len() == 1 && lines[0].starts_with(&format!("not {id}:")), "{text}"),
            None => assert!(lines.is_empty(), "{text}"),
        }
        client.call("gateway_explain_request", arguments).await;
    }
}
