//! The history, and taking changes back.

use serde_json::json;
use usher_admin::service::{Approval, HistoryQuery, Plan, Rules, ServiceError, Wanted};
use usher_model::change::{Door, Risk, Role};
use usher_model::kind::Key;

use crate::bench::{Bench, admin, agent, consumer, gone, jack, nodes, put, route, upstream, viewer, wanted};

async fn undo(bench: &Bench, revision: Option<u64>) -> Result<Plan, ServiceError> {
    bench.service.plan_undo(&agent(), revision, Some("undo that".to_owned())).await
}

fn a_route(uri: &str) -> serde_json::Value {
    json!({ "uri": uri, "upstream": nodes() })
}

#[tokio::test]
async fn every_change_is_in_the_history_newest_first() {
    let bench = Bench::new().await;
    for at in 0..30 {
        let change = Wanted {
            intent: Some(format!("step {at}")),
            ..wanted([put(route(&(at % 3).to_string()), a_route("/a"))])
        };
        bench.service.write(&admin(), change).await.unwrap();
    }
    let all = |query| {
        let service = std::sync::Arc::clone(&bench.service);
        async move {
            let entries = service.history(&viewer(), query).await.unwrap();
            entries.into_iter().map(|entry| entry.revision).collect::<Vec<_>>()
        }
    };
    assert_eq!(all(HistoryQuery::default()).await, (11..=30).rev().collect::<Vec<_>>());
    assert_eq!(
        all(HistoryQuery { before: Some(11), limit: 200, ..Default::default() }).await,
        (1..=10).rev().collect::<Vec<_>>()
    );
    let of_one = HistoryQuery { key: Some(route("1")), before: Some(20), limit: 3 };
    assert_eq!(all(of_one).await, [17, 14, 11]);
    let entry = bench.service.history(&viewer(), HistoryQuery::default()).await.unwrap().remove(0);
    assert_eq!((entry.principal.as_str(), entry.role, entry.door), ("ops", Role::Admin, Door::AdminApi));
    assert_eq!((entry.intent.as_deref(), entry.risk, entry.undoes), (Some("step 29"), Risk::Low, None));
    assert_eq!(entry.changes[0].key, route("2"));
    assert!(entry.unix_ms > 1_600_000_000_000);
}

#[tokio::test]
async fn the_history_keeps_what_the_rules_say() {
    let bench = Bench::with_rules(Rules { history_kept: 5, ..Rules::default() }).await;
    for at in 0..12 {
        bench.put(route("1"), a_route(&format!("/{at}"))).await.unwrap();
    }
    let listing = bench.store.list("/usher/history/").await.unwrap();
    assert_eq!(listing.entries.len(), 5);
    assert_eq!(&*listing.entries[4].key, "/usher/history/00000000000000000012");
    assert_eq!(listing.entries[4].modified, 12, "the entry is written with its change");
}

#[tokio::test]
async fn undo_walks_back_and_can_itself_be_undone() {
    let bench = Bench::new().await;
    let mut states = vec![bench.bytes().await];
    bench.put(route("1"), a_route("/a")).await.unwrap();
    states.push(bench.bytes().await);
    bench.put(route("1"), a_route("/b")).await.unwrap();
    states.push(bench.bytes().await);
    let plan = undo(&bench, None).await.unwrap();
    assert_eq!(plan.undoes, Some(2));
    assert!(
        plan.text().contains("takes back revision 2") && plan.text().contains("~ uri: /b -> /a"),
        "{}",
        plan.text()
    );
    bench.agree(&plan).await.unwrap();
    assert_eq!(bench.bytes().await, states[1]);
    let plan = undo(&bench, None).await.unwrap();
    assert_eq!((plan.undoes, plan.risk), (Some(1), Risk::High));
    bench.agree(&plan).await.unwrap();
    assert_eq!(bench.bytes().await, states[0]);
    let error = undo(&bench, None).await.unwrap_err();
    assert!(matches!(error, ServiceError::NothingToUndo(_)), "{error}");
    // Undoing the undo brings the change back, and then it stands again.
    bench.agree(&undo(&bench, Some(4)).await.unwrap()).await.unwrap();
    assert_eq!(bench.bytes().await, states[1]);
    assert_eq!(undo(&bench, None).await.unwrap().undoes, Some(1));
    bench.agree(&undo(&bench, Some(3)).await.unwrap()).await.unwrap();
    assert_eq!(bench.bytes().await, states[2]);
    let entry = bench.service.history(&viewer(), HistoryQuery::default()).await.unwrap().remove(0);
    assert_eq!((entry.undoes, entry.intent.as_deref()), (Some(3), Some("undo that")));
}

#[tokio::test]
async fn an_undo_passes_by_later_changes_elsewhere_and_names_a_conflict() {
    let bench = Bench::new().await;
    bench.put(route("1"), a_route("/a")).await.unwrap();
    bench.put(route("2"), a_route("/b")).await.unwrap();
    bench.agree(&undo(&bench, Some(1)).await.unwrap()).await.unwrap();
    let error = undo(&bench, Some(1)).await.unwrap_err().to_string();
    assert_eq!(error, "revision 1 was taken back by revision 3 already; undo revision 3 to bring it back");
    bench.put(route("2"), a_route("/c")).await.unwrap();
    let error = undo(&bench, Some(2)).await.unwrap_err();
    assert!(matches!(error, ServiceError::Conflict(_)));
    assert_eq!(
        error.to_string(),
        "revision 2 can't be undone: route 2 was changed by revision 4 since; undo that first, or change route 2 by hand"
    );
    let error = undo(&bench, Some(99)).await.unwrap_err();
    assert!(matches!(error, ServiceError::NoSuch(_)), "{error}");
}

#[tokio::test]
async fn an_undo_that_would_break_others_is_refused() {
    let bench = Bench::new().await;
    bench.put(upstream("u"), nodes()).await.unwrap();
    bench.put(route("1"), json!({ "uri": "/1", "upstream_id": "u" })).await.unwrap();
    let error = undo(&bench, Some(1)).await.unwrap_err().to_string();
    assert_eq!(error, "can not delete this upstream, route [1] is still using it now");
    bench.service.write(&admin(), wanted([gone(route("1")), gone(upstream("u"))])).await.unwrap();
    bench.agree(&undo(&bench, None).await.unwrap()).await.unwrap();
    assert_eq!(bench.bytes().await.len(), 2);
}

#[tokio::test]
async fn an_undo_takes_nothing_along_that_came_later() {
    let bench = Bench::new().await;
    let (jack, credential) = (consumer("jack"), Key::credential("jack", "c1"));
    bench.put(jack.clone(), json!({ "username": "jack" })).await.unwrap();
    bench.put(credential.clone(), json!({ "plugins": {} })).await.unwrap();
    let error = undo(&bench, Some(1)).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "revision 1 can't be undone: consumer jack was given credential jack/credentials/c1 since; delete that first"
    );
    bench.delete(jack).await.unwrap();
    bench.agree(&undo(&bench, Some(3)).await.unwrap()).await.unwrap();
    assert_eq!(bench.bytes().await.len(), 2, "both are back");
}

#[tokio::test]
async fn a_stale_undo_is_refused() {
    let bench = Bench::new().await;
    bench.put(route("1"), a_route("/a")).await.unwrap();
    let plan = undo(&bench, None).await.unwrap();
    bench.put(route("1"), a_route("/b")).await.unwrap();
    let error = bench.agree(&plan).await.unwrap_err();
    assert!(matches!(error, ServiceError::Stale { fresh: None, .. }), "{error}");
    assert_eq!(bench.value(route("1")).await["uri"], "/b");
}

#[tokio::test]
async fn numbers_come_back_to_the_last_digit() {
    let bench = Bench::new().await;
    let value = r#"{"uri":"/a","upstream":{"nodes":{"a:1":1},"retry_timeout":0.12345678901234566,
        "timeout":{"connect":1.1e-7,"send":123456789.12345679,"read":0.30000000000000004}}}"#;
    bench.put(route("1"), serde_json::from_str(value).unwrap()).await.unwrap();
    let before = bench.bytes().await;
    bench.put(route("1"), a_route("/b")).await.unwrap();
    bench.agree(&undo(&bench, None).await.unwrap()).await.unwrap();
    assert_eq!(bench.bytes().await, before);
}

#[tokio::test]
async fn a_store_on_disk_keeps_secrets_history_and_the_way_back() {
    let folder = tempfile::tempdir().unwrap();
    let open = || std::sync::Arc::new(usher_store::embedded::Embedded::open(folder.path()).unwrap());
    let bench = Bench::with(open(), Rules::default()).await;
    bench.put(consumer("jack"), jack("jack", "jacks-key")).await.unwrap();
    let before = bench.bytes().await;
    bench.put(consumer("jack"), jack("jack", "other-key")).await.unwrap();
    let keyring = std::sync::Arc::clone(&bench.keyring);
    drop(bench);
    let bench = Bench::started(open(), Rules::default(), keyring).await;
    assert_eq!(bench.value(consumer("jack")).await["plugins"]["key-auth"]["key"], "other-key");
    bench.agree(&undo(&bench, None).await.unwrap()).await.unwrap();
    assert_eq!(bench.bytes().await, before);
    assert_eq!(bench.value(consumer("jack")).await["plugins"]["key-auth"]["key"], "jacks-key");
    let error = bench.refusal(consumer("jill"), jack("jill", "jacks-key")).await;
    assert_eq!(error, "duplicate key of plugin key-auth found with consumer: jack");
}

#[tokio::test]
async fn the_index_finds_its_way_again_after_more_than_the_watch_keeps() {
    let bench = Bench::new().await;
    bench.put(upstream("u"), nodes()).await.unwrap();
    for at in 0..5000 {
        let value = format!("{{\"id\":\"1\",\"uri\":\"/{at}\",\"upstream_id\":\"u\"}}");
        let transaction = usher_store::Transaction::default().put(route("1").path(), value.into_bytes());
        bench.store.commit(transaction).await.unwrap();
    }
    assert!(matches!(bench.delete(upstream("u")).await, Err(ServiceError::StillUsed(_))));
}

#[tokio::test]
async fn a_restart_keeps_history_and_what_is_known() {
    let bench = Bench::new().await;
    bench.put(upstream("u"), nodes()).await.unwrap();
    bench.put(route("1"), json!({ "uri": "/1", "upstream_id": "u", "name": "one" })).await.unwrap();
    let again = bench.restarted().await;
    assert!(matches!(again.delete(upstream("u")).await, Err(ServiceError::StillUsed(_))));
    assert_eq!(
        again.service.resolve(&admin(), usher_model::kind::Kind::Route, "one").await.unwrap().len(),
        1
    );
    let plan = again.service.plan_undo(&agent(), None, None).await.unwrap();
    again.service.apply(&agent(), &plan.id, Approval::Person("x".to_owned())).await.unwrap();
    // What one service writes, the other sees.
    bench.delete(upstream("u")).await.unwrap();
}
