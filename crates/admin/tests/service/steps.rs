//! Plans of several steps: in order, in the history, resumable after a crash, and taken back as one.

use std::sync::Arc;

use serde_json::json;
use usher_admin::service::{Approval, HistoryQuery, Plan, Rules, ServiceError, Wanted};
use usher_model::change::{Door, Edit, Principal, Role};
use usher_model::scope::Scope;
use usher_store::{Store, Transaction};

use crate::bench::{Bench, admin, gone, nodes, put, route, service, upstream, viewer, wanted};
use crate::stores::Odd;

/// Forty routes on a service on an upstream, with the upstream last.
fn table() -> Vec<Edit> {
    let routes = (0..40)
        .map(|at| put(route(&format!("r{at:02}")), json!({ "uri": format!("/{at}"), "service_id": "s" })));
    routes.chain([put(service("s"), json!({ "upstream_id": "u" })), put(upstream("u"), nodes())]).collect()
}

async fn narrow() -> (Arc<Odd>, Bench) {
    let store = Odd::narrow(16);
    let bench = Bench::with(Arc::clone(&store) as Arc<dyn Store>, Rules::default()).await;
    bench.put(route("old"), json!({ "uri": "/old", "plugins": {} })).await.unwrap();
    (store, bench)
}

async fn undo(bench: &Bench) -> Result<Plan, ServiceError> {
    let plan = bench.service.plan_undo(&admin(), None, None).await?;
    bench.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await?;
    Ok(plan)
}

#[tokio::test]
async fn steps_are_in_the_history_and_are_taken_back_as_one() {
    let (_, bench) = narrow().await;
    let before = bench.bytes().await;
    let change = Wanted { in_steps: true, intent: Some("the table".to_owned()), ..wanted(table()) };
    let applied = bench.service.write(&admin(), change).await.unwrap();
    assert_eq!(applied.total, 42);
    let after = bench.bytes().await;
    assert_eq!(after.len(), 43);
    let entries = bench.service.history(&viewer(), HistoryQuery::default()).await.unwrap();
    let steps: Vec<_> = entries.iter().filter_map(|entry| entry.step).collect();
    assert_eq!(steps, [(5, 5), (4, 5), (3, 5), (2, 5), (1, 5)]);
    assert!(
        entries
            .iter()
            .take(5)
            .all(|entry| entry.plan == entries[0].plan && entry.intent.as_deref() == Some("the table"))
    );
    assert_eq!(entries[4].changes[0].key, upstream("u"), "what others lean on comes first");
    // Any of the steps stands for all.
    for revision in [None, Some(entries[4].revision), Some(entries[0].revision)] {
        let plan = bench.service.plan_undo(&admin(), revision, None).await.unwrap();
        assert_eq!((plan.undoes, plan.total), (Some(entries[0].revision), 42));
    }
    undo(&bench).await.unwrap();
    assert_eq!(bench.bytes().await, before);
    let again = bench.service.plan_undo(&admin(), Some(entries[2].revision), None).await.unwrap_err();
    assert!(again.to_string().contains("was taken back by revision"), "{again}");
    // The next one is the change before the steps, and the undo itself can be undone.
    assert_eq!(bench.service.plan_undo(&admin(), None, None).await.unwrap().undoes, Some(1));
    let newest = bench.service.history(&viewer(), HistoryQuery::default()).await.unwrap()[1].revision;
    let redo = bench.service.plan_undo(&admin(), Some(newest), None).await.unwrap();
    bench.service.apply_in_steps(&admin(), &redo.id, Approval::Client).await.unwrap();
    assert_eq!(bench.bytes().await, after);
    assert!(bench.service.unfinished(&admin()).await.unwrap().is_empty());
    assert!(bench.store.list("/usher/steps/").await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn steps_that_reach_outside_of_a_scope_are_passed_by_as_a_whole() {
    let (_, bench) = narrow().await;
    let who = Principal::new("a", Role::Editor, Door::Cli)
        .within(Scope { labels: vec!["team=a".to_owned()], ..Scope::ALL });
    let of = |team: &str, at: usize| {
        let value =
            json!({ "uri": format!("/{team}/{at}"), "labels": { "team": team }, "upstream": nodes() });
        put(route(&format!("{team}{at:02}")), value)
    };
    let own = bench.service.write(&who, wanted([of("a", 99)])).await.unwrap();
    // The last step holds objects of the scope alone, the first ones those of others.
    let both = (0..20).map(|at| of("Z", at)).chain((0..20).map(|at| of("a", at)));
    let change = Wanted { in_steps: true, ..wanted(both) };
    bench.service.write(&admin(), change).await.unwrap();
    let plan = bench.service.plan_undo(&who, None, None).await.unwrap();
    assert_eq!((plan.undoes, plan.total), (Some(own.revision), 1));
    // All of a plan inside is one's own to take back.
    let inside = Wanted { in_steps: true, ..wanted((20..60).map(|at| of("a", at))) };
    bench.service.write(&admin(), inside).await.unwrap();
    assert_eq!(bench.service.plan_undo(&who, None, None).await.unwrap().total, 40);
}

#[tokio::test]
async fn steps_go_on_after_a_crash() {
    for done in 0..5 {
        let (store, bench) = narrow().await;
        let before = bench.bytes().await;
        let plan = bench.service.plan(&admin(), wanted(table())).await.unwrap();
        assert_eq!(plan.steps, 5);
        store.fail_after(done);
        let error = bench.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await.unwrap_err();
        let ServiceError::Partial { done: objects, total: 42, sentence } = &error else { panic!("{error}") };
        assert_eq!(*objects as i64, done * 10);
        assert!(sentence.contains(&format!("step {} of 5 of plan {}", done + 1, plan.id)), "{sentence}");
        store.fail_after(-1);
        // Another process, which knows nothing but the store.
        let again = bench.restarted().await;
        let open = again.service.unfinished(&viewer()).await.unwrap();
        assert_eq!((open.len(), open[0].done as i64, open[0].of), (1, done, 5));
        if done % 2 == 0 {
            let applied = again.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await.unwrap();
            assert_eq!((applied.total, again.bytes().await.len()), (42, 43));
            undo(&again).await.unwrap();
        } else {
            again.service.give_up_steps(&admin(), &plan.id).await.unwrap();
            undo(&again).await.unwrap();
        }
        assert_eq!(again.bytes().await, before);
        assert!(again.store.list("/usher/steps/").await.unwrap().entries.is_empty());
        let unknown = again.service.give_up_steps(&admin(), &plan.id).await.unwrap_err();
        assert!(matches!(unknown, ServiceError::NoSuch(_)), "{unknown}");
    }
}

#[tokio::test]
async fn a_step_that_somebody_spoiled_ends_the_plan_and_what_was_done_can_be_taken_back() {
    let (store, bench) = narrow().await;
    let before = bench.bytes().await;
    let plan = bench.service.plan(&admin(), wanted(table())).await.unwrap();
    store.fail_after(2);
    bench.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await.unwrap_err();
    store.fail_after(-1);
    let value = r#"{"id":"r39","uri":"/theirs","plugins":{}}"#;
    store.commit(Transaction::default().put(route("r39").path(), value)).await.unwrap();
    let error = bench.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await.unwrap_err();
    assert!(matches!(&error, ServiceError::Partial { done: 40, .. }), "{error}");
    assert!(error.to_string().contains("route r39 was made by revision"), "{error}");
    assert!(bench.service.unfinished(&admin()).await.unwrap().is_empty());
    undo(&bench).await.unwrap();
    bench.delete(route("r39")).await.unwrap();
    assert_eq!(bench.bytes().await, before);
}

#[tokio::test]
async fn deletions_in_steps_leave_nothing_dangling_on_the_way() {
    let (_, bench) = narrow().await;
    bench.service.write(&admin(), Wanted { in_steps: true, ..wanted(table()) }).await.unwrap();
    let everything = table().into_iter().rev().map(|edit| gone(edit.key));
    bench.service.write(&admin(), Wanted { in_steps: true, ..wanted(everything) }).await.unwrap();
    assert_eq!(bench.bytes().await.len(), 1);
    let entries = bench.service.history(&viewer(), HistoryQuery::default()).await.unwrap();
    assert_eq!(entries[0].changes.last().unwrap().key, upstream("u"));
}

#[tokio::test]
async fn unfinished_plans_belong_to_who_made_them() {
    let (store, bench) = narrow().await;
    let plan = bench.service.plan(&admin(), wanted(table())).await.unwrap();
    store.fail_after(1);
    bench.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await.unwrap_err();
    store.fail_after(-1);
    let other = Principal::new("x", Role::Editor, Door::Cli);
    let error = bench.service.apply_in_steps(&other, &plan.id, Approval::Client).await.unwrap_err();
    assert!(matches!(error, ServiceError::Forbidden(_)), "{error}");
    bench.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await.unwrap();
}

#[tokio::test]
async fn what_was_taken_back_or_overtaken_is_not_unfinished_any_more() {
    for undone in [true, false] {
        let (store, bench) = narrow().await;
        let plan = bench.service.plan(&admin(), wanted(table())).await.unwrap();
        store.fail_after(2);
        bench.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await.unwrap_err();
        store.fail_after(-1);
        assert_eq!(bench.service.unfinished(&viewer()).await.unwrap().len(), 1);
        if undone {
            undo(&bench).await.unwrap();
            assert!(bench.store.list("/usher/steps/").await.unwrap().entries.is_empty());
        } else {
            // The same set is planned and applied anew, as somebody does who lost the plan's id.
            bench.service.write(&admin(), Wanted { in_steps: true, ..wanted(table()) }).await.unwrap();
        }
        assert!(bench.service.unfinished(&viewer()).await.unwrap().is_empty(), "undone: {undone}");
        let error = bench.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await.unwrap_err();
        assert!(matches!(error, ServiceError::UnknownPlan(_) | ServiceError::Partial { .. }), "{error}");
        let left = if undone { 1 } else { 43 };
        assert_eq!(bench.bytes().await.len(), left);
        assert!(bench.store.list("/usher/steps/").await.unwrap().entries.is_empty());
    }
}

#[tokio::test]
async fn a_plan_whose_taking_back_was_broken_off_does_not_go_on() {
    let (store, bench) = narrow().await;
    let plan = bench.service.plan(&admin(), wanted(table())).await.unwrap();
    store.fail_after(4);
    bench.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await.unwrap_err();
    store.fail_after(1);
    let back = bench.service.plan_undo(&admin(), None, None).await.unwrap();
    bench.service.apply_in_steps(&admin(), &back.id, Approval::Client).await.unwrap_err();
    store.fail_after(-1);
    let open = bench.service.unfinished(&viewer()).await.unwrap();
    assert_eq!(open.iter().map(|open| open.plan.as_str()).collect::<Vec<_>>(), [back.id.as_str()]);
    let error = bench.service.apply_in_steps(&admin(), &plan.id, Approval::Client).await.unwrap_err();
    assert!(error.to_string().contains("were taken back since"), "{error}");
    bench.service.apply_in_steps(&admin(), &back.id, Approval::Client).await.unwrap();
    assert_eq!(bench.bytes().await.len(), 1);
    assert!(bench.service.unfinished(&viewer()).await.unwrap().is_empty());
}
