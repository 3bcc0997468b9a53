//! Plans that somebody else was faster than: they are refused together with the plan to apply instead.

use serde_json::{Value, json};
use usher_model::kind::Kind;

use crate::client::{Client, ERAS, Era, Person};
use crate::support::Side;

fn route(uri: &str) -> Value {
    json!({ "uri": uri, "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1 } } })
}

fn merge(body: Value) -> Value {
    json!([{ "op": "merge", "kind": "route", "id": "a", "body_json": body }])
}

/// The id of the plan that a refusal says to apply.
fn instead(refused: &str) -> String {
    let (_, rest) =
        refused.split_once("gateway_apply {\"plan_id\":\"").unwrap_or_else(|| panic!("{refused}"));
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_stale_plan_is_refused_with_the_same_wish_planned_anew() {
    for era in ERAS {
        let side = Side::start().await;
        side.put(Kind::Route, "a", route("/a")).await;
        let client = Client::open(&side, era, Person::Nobody).await;
        let first = client.plan(merge(json!({ "desc": "first" }))).await;
        let second = client.plan(merge(json!({ "priority": 7 }))).await;
        client.call("gateway_apply", json!({ "plan_id": first["plan_id"] })).await;
        let refused = client.refusal("gateway_apply", json!({ "plan_id": second["plan_id"] })).await;
        let fresh = instead(&refused);
        assert_ne!(second["plan_id"], fresh);
        for part in ["route a was changed", "nothing was applied", &format!("plan {fresh}"), "priority: 7"] {
            assert!(refused.contains(part), "{era:?}: {refused:?} lacks {part:?}");
        }
        assert!(!refused.contains("first"), "the other's change is no part of this plan: {refused}");
        client.call("gateway_apply", json!({ "plan_id": fresh })).await;
        let value = client.call("gateway_get", json!({ "kind": "route", "id": "a" })).await;
        assert_eq!((&value["value"]["desc"], &value["value"]["priority"]), (&json!("first"), &json!(7)));
    }
}

#[tokio::test]
async fn a_new_plan_can_go_stale_again() {
    let side = Side::start().await;
    side.put(Kind::Route, "a", route("/a")).await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let mut plan = client.plan(merge(json!({ "priority": 7 }))).await["plan_id"].as_str().unwrap().to_owned();
    for round in 0..3 {
        client.change(merge(json!({ "desc": format!("round {round}") }))).await;
        plan = instead(&client.refusal("gateway_apply", json!({ "plan_id": plan })).await);
    }
    client.call("gateway_apply", json!({ "plan_id": plan })).await;
}

#[tokio::test]
async fn what_cannot_be_planned_any_more_says_why() {
    let side = Side::start().await;
    side.put(Kind::Route, "a", route("/a")).await;
    let client = Client::open(&side, Era::Stateless, Person::Agrees).await;
    let plan = client.plan(merge(json!({ "desc": "late" }))).await;
    client.change(json!([{ "op": "delete", "kind": "route", "id": "a" }])).await;
    let refused = client.refusal("gateway_apply", json!({ "plan_id": plan["plan_id"] })).await;
    for part in ["route a was deleted", "can't be planned any more", "no route has the id or name"] {
        assert!(refused.contains(part), "{refused:?} lacks {part:?}");
    }
}

#[tokio::test]
async fn a_plan_that_is_too_long_to_be_shown_is_not_made() {
    let side = Side::start().await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let changes: Vec<Value> = (0..100)
        .map(|number| {
            let mut body = route(&format!("/{number}"));
            body["desc"] = "x".repeat(140).into();
            json!({ "op": "create", "kind": "route", "id": format!("r{number}"), "body_json": body })
        })
        .collect();
    let result = client.result("gateway_plan", json!({ "changes": changes, "intent": "" })).await;
    let text = crate::client::text(&result);
    // Either the whole of it is there, or none of it.
    assert_eq!(result.is_error, Some(true), "{text}");
    assert!(text.contains("too long to be shown whole") && text.contains("split it"), "{text}");
}
