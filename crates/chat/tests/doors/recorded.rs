//! Every call is recorded, with nothing of what it was called with, and a client that runs in a circle is stopped.

use serde_json::{Value, json};
use usher_admin::service::{AuditQuery, CallOutcome, CallRecord, Rules};
use usher_model::change::{Door, Principal, Role};
use usher_model::kind::Kind;

use crate::client::{Client, ERAS, Era, Person};
use crate::support::Side;

const SECRET: &str = "canary-7f3b2c";

fn admin() -> Principal {
    Principal::new("admin", Role::Admin, Door::AdminApi)
}

async fn records(side: &Side) -> Vec<CallRecord> {
    side.service.calls(&admin(), AuditQuery::default()).await.unwrap()
}

fn route() -> Value {
    json!({ "uri": "/a", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1 } } })
}

#[tokio::test]
async fn who_called_what_with_which_outcome_is_kept_and_nothing_else() {
    for era in ERAS {
        let side = Side::start().await;
        side.put(Kind::Route, "a", route()).await;
        let client = Client::open(&side, era, Person::Declines).await;
        let before = side.revision();
        client.call("gateway_overview", json!({})).await;
        client.refusal("gateway_get", json!({ "kind": "route", "id": SECRET })).await;
        let plan = client.plan(json!([{ "op": "delete", "kind": "route", "id": "a" }])).await;
        client.refusal("gateway_apply", json!({ "plan_id": plan["plan_id"] })).await;
        assert_eq!(
            side.revision(),
            before + 1,
            "a record is no change; the audit alone tells of the person's no"
        );
        let records = records(&side).await;
        let told: Vec<_> = records.iter().map(|record| (record.tool.as_str(), record.outcome)).collect();
        let mut wanted = vec![
            ("gateway_overview", CallOutcome::Done),
            ("gateway_get", CallOutcome::Refused),
            ("gateway_plan", CallOutcome::Done),
        ];
        if era == Era::Stateless {
            // The call ends with the question, and comes again with the answer.
            wanted.push(("gateway_apply", CallOutcome::Asked));
        }
        wanted.push(("gateway_apply", CallOutcome::Refused));
        assert_eq!(told, wanted, "{era:?}");
        for record in &records {
            assert_eq!(
                (record.principal.as_str(), record.door, record.role),
                ("local-agent", Door::Mcp, Role::Chat)
            );
            assert!(
                record.client.as_deref().is_some_and(|client| client.starts_with("test-client")),
                "{record:?}"
            );
            assert_eq!(record.conversation.is_some(), era == Era::Sessions, "{record:?}");
            assert_eq!((record.revision, record.arguments.len()), (before, 32));
        }
        let id = plan["plan_id"].as_str();
        assert_eq!(records[2].plan.as_deref(), id);
        assert_eq!(records[2].risk.as_deref(), Some("high"));
        assert_eq!(records.last().unwrap().plan.as_deref(), id);
        assert!(!serde_json::to_string(&records).unwrap().contains(SECRET));
        let verdict = side.service.verify_calls(&admin()).await.unwrap();
        assert_eq!((verdict.records, verdict.broken), (records.len() as u64, None));
        let viewer = Principal::new("viewer", Role::Viewer, Door::Api);
        assert!(side.service.calls(&viewer, AuditQuery::default()).await.is_err());
    }
}

#[tokio::test]
async fn a_change_is_recorded_with_who_agreed() {
    let side = Side::with(Rules { consent_all: true, ..Rules::default() }).await;
    let client = Client::open(&side, Era::Stateless, Person::Agrees).await;
    let create = json!([{ "op": "create", "kind": "route", "id": "a", "body_json": route() }]);
    let plan = client.plan(create).await;
    client.call("gateway_apply", json!({ "plan_id": plan["plan_id"] })).await;
    let records = records(&side).await;
    let last = records.last().unwrap();
    assert_eq!(
        (last.tool.as_str(), last.outcome, last.revision),
        ("gateway_apply", CallOutcome::Done, side.revision())
    );
    assert!(last.approval.as_deref().is_some_and(|who| who.contains("test-client")), "{last:?}");
}

#[tokio::test]
async fn the_same_failing_call_is_not_made_for_ever() {
    let side = Side::start().await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let wrong = json!({ "kind": "route", "id": "missing" });
    for _ in 0..4 {
        let refused = client.refusal("gateway_get", wrong.clone()).await;
        assert!(!refused.contains("not made again"), "{refused}");
    }
    let refused = client.refusal("gateway_get", wrong.clone()).await;
    assert!(refused.contains("has failed 4 times") && refused.contains("next: "), "{refused}");
    client.call("gateway_overview", json!({})).await;
    side.put(Kind::Route, "missing", route()).await;
    client.call("gateway_get", wrong).await;
}
