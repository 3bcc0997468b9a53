//! Who has to agree: a person for what is dangerous, in both eras, and nobody instead of them.

use std::time::Duration;

use serde_json::{Value, json};
use usher_admin::service::Rules;
use usher_model::kind::{Key, Kind};

use crate::client::{Client, ERAS, Era, Person};
use crate::support::Side;

async fn with_a_route(rules: Rules) -> Side {
    let side = Side::with(rules).await;
    let value =
        json!({ "uri": "/a", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1 } } });
    side.put(Kind::Route, "a", value).await;
    side
}

fn delete() -> Value {
    json!([{ "op": "delete", "kind": "route", "id": "a" }])
}

#[tokio::test]
async fn high_risk_needs_the_yes_of_a_person_who_saw_the_plan() {
    for era in ERAS {
        for (person, goes) in [
            (Person::Nobody, false),
            (Person::Declines, false),
            (Person::OverlooksTheBox, false),
            (Person::Agrees, true),
        ] {
            let side = with_a_route(Rules::default()).await;
            let client = Client::open(&side, era, person).await;
            let plan = client.plan(delete()).await;
            assert_eq!((plan["risk"].as_str(), plan["needs_person"].as_bool()), (Some("high"), Some(true)));
            let apply = json!({ "plan_id": plan["plan_id"] });
            if goes {
                client.call("gateway_apply", apply).await;
                let history = side
                    .service
                    .history(&admin(), usher_admin::service::HistoryQuery::default())
                    .await
                    .unwrap();
                assert!(history[0].approval.contains("test-client"), "{era:?}: {:?}", history[0].approval);
            } else {
                let refused = client.refusal("gateway_apply", apply).await;
                assert!(refused.contains("person"), "{era:?} {person:?}: {refused}");
                // Whoever said no is not asked again, and nobody else is.
                let waits = side.service.waiting(&desk()).unwrap().len();
                assert_eq!(waits, usize::from(person == Person::Nobody), "{era:?} {person:?}");
            }
            let route = side.service.get(&admin(), &Key::new(Kind::Route, "a")).await.unwrap();
            assert_eq!(route.is_none(), goes, "{era:?} {person:?}");
            let questions = client.questions.lock().unwrap().clone();
            assert_eq!(questions.len(), usize::from(person != Person::Nobody), "{era:?} {person:?}");
            for question in questions {
                let id = plan["plan_id"].as_str().unwrap();
                assert!(
                    question.lines().next().unwrap().contains(id) && question.contains("route a"),
                    "{question}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_question_that_nobody_answers_ends_after_five_minutes() {
    let side = with_a_route(Rules::default()).await;
    let client = Client::open(&side, Era::Sessions, Person::Silent).await;
    let plan = client.plan(delete()).await;
    let before = side.revision();
    let call = client.refusal("gateway_apply", json!({ "plan_id": plan["plan_id"] }));
    let patience = async {
        while client.questions.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(5 * 60 + 1)).await;
        tokio::time::resume();
    };
    let (refused, ()) = tokio::join!(call, patience);
    assert!(refused.contains("nobody answered within 5 minutes"), "{refused}");
    assert!(refused.contains("gateway_apply"), "the plan can still be applied: {refused}");
    assert_eq!(side.revision(), before);
}

#[tokio::test]
async fn without_anybody_to_ask_the_refusal_names_the_ways_that_work() {
    let side = with_a_route(Rules::default()).await;
    for era in ERAS {
        let client = Client::open(&side, era, Person::Nobody).await;
        let plan = client.plan(delete()).await;
        let id = plan["plan_id"].as_str().unwrap();
        let refused = client.refusal("gateway_apply", json!({ "plan_id": id })).await;
        for part in [
            "say the same change in `usher chat`",
            "on the Admin API with an admin key",
            &format!("plan {id} itself can only be applied through a client that can ask a person"),
        ] {
            assert!(refused.contains(part), "{era:?}: {refused:?} lacks {part:?}");
        }
    }
}

#[tokio::test]
async fn low_risk_asks_nobody_unless_consent_is_wanted_for_all() {
    let create = json!([{ "op": "create", "kind": "route", "id": "b", "body_json": { "uri": "/b", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1 } } } }]);
    for (consent_all, asked) in [(false, 0), (true, 1)] {
        let side = with_a_route(Rules { consent_all, ..Rules::default() }).await;
        let client = Client::open(&side, Era::Sessions, Person::Agrees).await;
        client.change(create.clone()).await;
        assert_eq!(client.questions.lock().unwrap().len(), asked);
        if consent_all {
            let nobody = Client::open(&side, Era::Sessions, Person::Nobody).await;
            let plan = nobody
                .plan(json!([{ "op": "merge", "kind": "route", "id": "b", "body_json": { "desc": "x" } }]))
                .await;
            nobody.refusal("gateway_apply", json!({ "plan_id": plan["plan_id"] })).await;
        }
    }
}

/// A call without a handshake, as it goes over the wire.
async fn post(side: &Side, params: Value) -> Value {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "raw", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "form": {} } },
    });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client
        .post(format!("{}/mcp", side.url()))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "gateway_apply")
        .body(message.to_string())
        .send()
        .await
        .unwrap();
    let body = response.text().await.unwrap();
    let data = body.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&body);
    serde_json::from_str::<Value>(data).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[tokio::test]
async fn an_answer_counts_once_and_only_for_its_own_question() {
    let side = with_a_route(Rules::default()).await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let (plan, other) = (client.plan(delete()).await, client.plan(delete()).await);
    let yes = json!({ "agree": { "action": "accept", "content": { "agree": true } } });
    let call = |plan: &Value| json!({ "name": "gateway_apply", "arguments": { "plan_id": plan["plan_id"] } });
    let with = |plan: &Value, state: &Value| {
        let mut call = call(plan);
        call["inputResponses"] = yes.clone();
        call["requestState"] = state.clone();
        call
    };
    let before = side.revision();

    // An answer to a question that nobody asked.
    let forged = post(&side, with(&plan, &json!("0123456789abcdef0123456789abcdef"))).await;
    assert_eq!(forged["error"]["code"], -32602, "{forged}");
    // An answer without a handle is no answer: it is asked.
    let mut bare = call(&plan);
    bare["inputResponses"] = yes.clone();
    let asked = post(&side, bare).await["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let state = asked["requestState"].clone();
    assert!(
        asked["inputRequests"]["agree"]["params"]["message"].as_str().unwrap().contains("route a"),
        "{asked}"
    );

    // The answer about one plan is none about another, and is used up by the try.
    let swapped = post(&side, with(&other, &state)).await;
    assert_eq!(swapped["error"]["code"], -32602, "{swapped}");
    let replayed = post(&side, with(&plan, &state)).await;
    assert_eq!(replayed["error"]["code"], -32602, "{replayed}");
    assert_eq!(side.revision(), before, "nothing of that was applied");

    let state = post(&side, call(&plan)).await["result"]["requestState"].clone();
    let applied = post(&side, with(&plan, &state)).await["result"].clone();
    assert_eq!(applied["isError"], false, "{applied}");
    assert!(side.revision() > before);
}

/// Somebody who may agree to plans of others.
fn desk() -> usher_model::change::Principal {
    use usher_model::change::{Door, Principal, Role};
    Principal::new("desk", Role::Admin, Door::Console)
}

fn admin() -> usher_model::change::Principal {
    usher_model::change::Principal::new(
        "ops",
        usher_model::change::Role::Admin,
        usher_model::change::Door::AdminApi,
    )
}
