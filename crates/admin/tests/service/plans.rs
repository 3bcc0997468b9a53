//! Plans: whose they are, how long they hold, when they are stale, and who has to agree.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use usher_admin::service::{Approval, Rules, ServiceError};
use usher_model::change::{Door, Principal, Role};
use usher_model::live::Problem;

use crate::bench::{Bench, admin, agent, gone, nodes, plugin, put, route, upstream, viewer, wanted};

fn a_route(uri: &str) -> serde_json::Value {
    json!({ "uri": uri, "upstream": nodes() })
}

#[tokio::test]
async fn a_plan_changes_nothing_until_it_is_applied_and_applies_once() {
    let bench = Bench::new().await;
    let plan = bench.plan([put(route("1"), a_route("/a"))]).await.unwrap();
    assert_eq!((bench.service.revision(), bench.bytes().await.len()), (0, 0));
    assert_eq!(plan.id.len(), 10);
    assert!(
        plan.text().starts_with(&format!("plan {}  risk low\n+ route 1\n    uri: /a\n", plan.id)),
        "{}",
        plan.text()
    );
    let applied = bench.service.apply(&agent(), &plan.id, Approval::Client).await.unwrap();
    assert_eq!((applied.revision, applied.in_force), (1, true));
    let again = bench.service.apply(&agent(), &plan.id, Approval::Client).await;
    let Err(ServiceError::UnknownPlan(sentence)) = again else { panic!("applied twice") };
    assert!(sentence.contains("was applied already, as revision 1"), "{sentence}");
    let empty = bench.service.find_plan(&agent(), "").unwrap_err().to_string();
    assert!(empty.starts_with("no plan is named: the id is empty"), "{empty}");
    assert!(bench.service.find_plan(&agent(), &plan.id).is_err());
}

#[tokio::test]
async fn a_plan_belongs_to_who_made_it_at_the_door_it_was_made() {
    let bench = Bench::new().await;
    let plan = bench.plan([put(route("1"), a_route("/a"))]).await.unwrap();
    for other in [
        admin(),
        plugin(),
        Principal::new("local-plugin", Role::Chat, Door::Chat),
        Principal::new("mallory", Role::Chat, Door::Mcp),
    ] {
        let outcome = bench.service.apply(&other, &plan.id, Approval::Person("x".to_owned())).await;
        let Err(ServiceError::UnknownPlan(sentence)) = outcome else { panic!("{other:?}") };
        assert!(
            sentence.contains("never existed") && sentence.contains("belongs to somebody else"),
            "{sentence}"
        );
        assert!(bench.service.find_plan(&other, &plan.id).is_err());
    }
    let reader = Principal::new("local-plugin", Role::Viewer, Door::Mcp);
    let outcome = bench.service.apply(&reader, &plan.id, Approval::Client).await;
    assert!(matches!(outcome, Err(ServiceError::Forbidden(_))));
    bench.agree(&plan).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_plan_ends_after_its_time() {
    let bench = Bench::new().await;
    let plan = bench.plan([put(route("1"), a_route("/a"))]).await.unwrap();
    tokio::time::advance(Duration::from_secs(14 * 60)).await;
    assert_eq!(bench.service.find_plan(&agent(), &plan.id).unwrap().expires_in_secs, 60);
    tokio::time::advance(Duration::from_secs(60)).await;
    let error = bench.agree(&plan).await.unwrap_err();
    assert_eq!(error.to_string(), format!("plan {} has expired; plan again", plan.id));
}

#[tokio::test]
async fn the_oldest_plan_makes_room() {
    let bench = Bench::with_rules(Rules { max_plans: 3, ..Rules::default() }).await;
    let mut plans = Vec::new();
    for _ in 0..5 {
        plans.push(bench.plan([put(route("1"), a_route("/a"))]).await.unwrap());
    }
    let kept: Vec<bool> =
        plans.iter().map(|plan| bench.service.find_plan(&agent(), &plan.id).is_ok()).collect();
    assert_eq!(kept, [false, false, true, true, true]);
    let error = bench.service.find_plan(&agent(), &plans[0].id).unwrap_err().to_string();
    assert!(error.contains("dropped to make room for newer plans"), "{error}");
}

#[tokio::test]
async fn a_stale_plan_is_refused_with_the_fresh_one() {
    let bench = Bench::new().await;
    bench.put(route("1"), a_route("/a")).await.unwrap();
    let plan = bench.plan([put(route("1"), a_route("/b"))]).await.unwrap();
    bench.put(route("1"), a_route("/c")).await.unwrap();
    let error = bench.agree(&plan).await.unwrap_err();
    let ServiceError::Stale { sentence, fresh } = error else { panic!("{error}") };
    assert!(sentence.starts_with("route 1 was changed by revision 2"), "{sentence}");
    let fresh = fresh.unwrap();
    assert_ne!(fresh.id, plan.id);
    let again = bench.agree(&plan).await.unwrap_err().to_string();
    assert!(again.contains("what it was made for had changed"), "{again}");
    assert!(fresh.text().contains("~ uri: /c -> /b"), "{}", fresh.text());
    bench.agree(&fresh).await.unwrap();
    assert_eq!(bench.value(route("1")).await["uri"], "/b");
}

#[tokio::test]
async fn a_plan_is_stale_too_when_what_it_leans_on_changed() {
    let bench = Bench::new().await;
    bench.put(upstream("u"), nodes()).await.unwrap();
    bench.put(upstream("v"), nodes()).await.unwrap();
    let plan = bench.plan([put(route("1"), json!({ "uri": "/a", "upstream_id": "u" }))]).await.unwrap();
    bench.put(upstream("v"), json!({ "nodes": {} })).await.unwrap();
    bench.delete(upstream("u")).await.unwrap();
    let error = bench.agree(&plan).await.unwrap_err();
    let ServiceError::Stale { sentence, fresh } = error else { panic!("{error}") };
    assert!(sentence.starts_with("upstream u was deleted") && fresh.is_none(), "{sentence}");
    // A change elsewhere doesn't matter.
    let plan = bench.plan([put(route("1"), json!({ "uri": "/a", "upstream_id": "v" }))]).await.unwrap();
    bench.put(upstream("u"), nodes()).await.unwrap();
    bench.agree(&plan).await.unwrap();
}

#[tokio::test]
async fn a_plan_that_would_do_more_than_it_said_is_stale() {
    let bench = Bench::with_rules(Rules { many_routes: 2, ..Rules::default() }).await;
    bench.put(upstream("u"), nodes()).await.unwrap();
    bench.put(route("0"), json!({ "uri": "/0", "upstream_id": "u" })).await.unwrap();
    let plan = bench.plan([put(upstream("u"), json!({ "nodes": { "127.0.0.1:1": 1 } }))]).await.unwrap();
    assert!(!plan.needs_person);
    for id in ["1", "2"] {
        bench.put(route(id), json!({ "uri": format!("/{id}"), "upstream_id": "u" })).await.unwrap();
    }
    let error = bench.service.apply(&agent(), &plan.id, Approval::Client).await.unwrap_err();
    let ServiceError::Stale { fresh, .. } = error else { panic!("{error}") };
    assert!(fresh.unwrap().needs_person);
    let jack = crate::bench::consumer("jack");
    bench.put(jack.clone(), json!({ "username": "jack" })).await.unwrap();
    let plan = bench.plan([gone(jack)]).await.unwrap();
    let credential = usher_model::kind::Key::credential("jack", "c1");
    bench.put(credential, json!({ "plugins": {} })).await.unwrap();
    let error = bench.agree(&plan).await.unwrap_err();
    assert!(matches!(error, ServiceError::Stale { fresh: Some(_), .. }), "{error}");
}

#[tokio::test]
async fn high_risk_over_mcp_needs_a_person_and_is_denied_without() {
    let bench = Bench::new().await;
    bench.put(route("1"), a_route("/a")).await.unwrap();
    let plan = bench.plan([gone(route("1"))]).await.unwrap();
    assert!(plan.needs_person);
    let error = bench.service.apply(&agent(), &plan.id, Approval::Client).await.unwrap_err();
    let ServiceError::NeedsPerson { plan: id, reasons, .. } = error else { panic!("{error}") };
    assert_eq!((id, reasons), (plan.id.clone(), vec!["deletes route 1".to_owned()]));
    // The refusal doesn't use the plan up.
    bench.agree(&plan).await.unwrap();
    let entries = bench.service.history(&viewer(), Default::default()).await.unwrap();
    assert_eq!(
        (entries[0].approval.as_str(), entries[1].approval.as_str()),
        ("person: asked in a test", "direct")
    );
}

#[tokio::test]
async fn only_who_may_write_directly_does() {
    let bench = Bench::new().await;
    bench.service.write(&plugin(), wanted([put(route("1"), a_route("/a"))])).await.unwrap();
    bench.service.write(&plugin(), wanted([gone(route("1"))])).await.unwrap();
    for who in [agent(), viewer(), Principal::new("x", Role::Chat, Door::Chat)] {
        let outcome = bench.service.write(&who, wanted([put(route("1"), a_route("/a"))])).await;
        assert!(matches!(outcome, Err(ServiceError::Forbidden(_))), "{who:?}");
    }
    assert!(matches!(
        bench.service.plan(&viewer(), wanted([put(route("1"), a_route("/a"))])).await,
        Err(ServiceError::Forbidden(_))
    ));
    assert!(matches!(bench.service.plan_undo(&viewer(), None, None).await, Err(ServiceError::Forbidden(_))));
}

#[tokio::test]
async fn consent_all_asks_a_person_for_everything_that_comes_through_a_chat() {
    let bench = Bench::with_rules(Rules { consent_all: true, ..Rules::default() }).await;
    let error = bench.service.write(&plugin(), wanted([put(route("1"), a_route("/a"))])).await.unwrap_err();
    let ServiceError::NeedsPerson { plan, reasons, .. } = error else { panic!("{error}") };
    assert!(reasons[0].contains("consent: all"));
    assert!(bench.bytes().await.is_empty());
    let agreed = Approval::Person("at the terminal".to_owned());
    bench.service.apply(&plugin(), &plan, agreed).await.unwrap();
    let plan = bench.plan([put(route("2"), a_route("/b"))]).await.unwrap();
    assert!(plan.needs_person);
    bench.put(route("3"), a_route("/c")).await.unwrap();
}

#[tokio::test]
async fn what_does_not_come_into_force_is_said() {
    let bench = Bench::new().await;
    bench.live.stuck.store(true, Ordering::Relaxed);
    let error = bench.put(route("1"), a_route("/a")).await.unwrap_err();
    assert_eq!(error.to_string(), "revision 1 is stored, but the proxy still serves revision 0");
    bench.live.stuck.store(false, Ordering::Relaxed);
    let problem =
        |key: &str, revision| Problem { key: key.to_owned(), revision, reason: "no such file".to_owned() };
    *bench.live.problems.lock().unwrap() =
        vec![problem("/apisix/routes/1", 2), problem("/apisix/routes/9", 1)];
    let applied = bench.put(route("1"), a_route("/b")).await.unwrap();
    assert!(!applied.in_force);
    assert_eq!(
        applied.warnings,
        ["/apisix/routes/1 can't be used by the gateway, its last good version serves: no such file"]
    );
}
