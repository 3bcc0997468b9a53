//! What comes from elsewhere: other programs on the same store, and stores that the first version of Usher wrote.

use serde_json::json;
use usher_admin::service::{Approval, Extent, HistoryQuery, Rules, ServiceError};
use usher_model::change::Door;
use usher_model::kind::{Key, Kind};
use usher_store::{Capabilities, Transaction};

use crate::bench::{Bench, admin, agent, consumer, jack, put, route, viewer, wanted};
use crate::stores::Odd;

async fn theirs(bench: &Bench, key: &Key, value: Option<&str>) {
    let transaction = Transaction::default();
    let transaction = match value {
        Some(value) => transaction.put(key.path(), value.to_owned()),
        None => transaction.delete(key.path()),
    };
    bench.store.commit(transaction).await.unwrap();
}

fn on(uri: &str) -> serde_json::Value {
    json!({ "uri": uri, "plugins": {} })
}

#[tokio::test]
async fn an_undo_names_what_another_program_did() {
    let bench = Bench::new().await;
    let undo = async || bench.service.plan_undo(&agent(), Some(1), None).await;
    bench
        .service
        .write(&admin(), wanted([put(route("1"), on("/a")), put(route("2"), on("/b"))]))
        .await
        .unwrap();
    theirs(&bench, &route("2"), Some(r#"{"id":"2","uri":"/c","plugins":{}}"#)).await;
    let error = undo().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "revision 1 can't be undone: route 2 was changed since from outside, by a program that writes to the same store (revision 2); \
         look at it, or change route 2 by hand"
    );
    theirs(&bench, &route("2"), None).await;
    let error = undo().await.unwrap_err().to_string();
    assert!(error.contains("route 2 was deleted since from outside"), "{error}");
    bench.put(route("2"), on("/b")).await.unwrap();
    bench.delete(route("2")).await.unwrap();
    let error = undo().await.unwrap_err().to_string();
    assert!(error.contains("route 2 was deleted by revision 5 since; undo that first"), "{error}");
}

#[tokio::test]
async fn a_deletion_from_outside_is_not_laid_at_the_door_of_our_own_newest_change() {
    let bench = Bench::new().await;
    bench.put(route("1"), on("/a")).await.unwrap();
    bench.put(route("1"), on("/b")).await.unwrap();
    theirs(&bench, &route("1"), None).await;
    let undo = async |revision| bench.service.plan_undo(&agent(), revision, None).await.unwrap_err();
    for revision in [None, Some(1), Some(2)] {
        let error = undo(revision).await;
        assert!(matches!(error, ServiceError::Conflict(_)), "{error}");
        let told = error.to_string();
        assert!(told.contains("route 1 was deleted since from outside"), "{told}");
    }
    // The same of a change: revision 2 is ours, what is there now isn't.
    theirs(&bench, &route("1"), Some(r#"{"id":"1","uri":"/c","plugins":{}}"#)).await;
    let told = undo(Some(1)).await.to_string();
    assert!(told.contains("route 1 was changed since from outside"), "{told}");
}

#[tokio::test]
async fn a_resource_says_through_which_door_it_became_what_it_is() {
    let bench = Bench::new().await;
    let door = async |id: &str| {
        let stored = bench.service.get(&viewer(), &route(id)).await.unwrap().unwrap();
        bench.service.changed_through(&viewer(), &stored).await.unwrap()
    };
    theirs(&bench, &route("0"), Some(r#"{"id":"0","uri":"/c","plugins":{}}"#)).await;
    assert_eq!(door("0").await, None, "before the history began nobody knows");
    bench.put(route("1"), on("/a")).await.unwrap();
    theirs(&bench, &route("2"), Some(r#"{"id":"2","uri":"/c","plugins":{}}"#)).await;
    assert_eq!((door("1").await, door("2").await), (Some(Door::AdminApi), Some(Door::Outside)));
}

#[tokio::test]
async fn a_change_from_outside_between_plan_and_apply_makes_the_plan_stale() {
    let bench = Bench::new().await;
    bench.put(route("1"), on("/a")).await.unwrap();
    let plan = bench.plan([put(route("1"), on("/b"))]).await.unwrap();
    theirs(&bench, &route("1"), Some(r#"{"id":"1","uri":"/c","plugins":{}}"#)).await;
    assert!(matches!(bench.agree(&plan).await, Err(ServiceError::Stale { fresh: Some(_), .. })));
}

/// Moves the history into the form of the first version: keys are revisions, no head, no audit.
async fn as_the_first_version(bench: &Bench) {
    let listing = bench.store.list("/usher/").await.unwrap();
    let mut transaction = Transaction::default();
    for entry in &listing.entries {
        if !entry.key.starts_with("/usher/history/") {
            transaction = transaction.delete(&*entry.key);
        }
    }
    bench.store.commit(transaction).await.unwrap();
}

#[tokio::test]
async fn a_store_of_the_first_version_goes_on() {
    let bench = Bench::new().await;
    bench.put(route("1"), on("/a")).await.unwrap();
    bench.put(consumer("jack"), jack("jack", "jacks-key")).await.unwrap();
    bench.put(route("1"), on("/b")).await.unwrap();
    let listing = bench.store.list("/usher/history/").await.unwrap();
    for (entry, revision) in listing.entries.iter().zip(1..) {
        assert_eq!(
            (entry.created, &*entry.key),
            (revision, format!("/usher/history/{revision:020}").as_str())
        );
        let text = std::str::from_utf8(&entry.value).unwrap();
        assert!(
            !text.contains("\"parts\"") && !text.contains("\"step\"") && !text.contains("\"total\""),
            "{text}"
        );
    }
    as_the_first_version(&bench).await;
    let bench = bench.restarted().await;
    let entries = bench.service.history(&viewer(), HistoryQuery::default()).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.revision).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(bench.service.plan_undo(&agent(), None, None).await.unwrap().undoes, Some(3));
    // Revision 4 took the rest away, so that numbers and revisions part here.
    bench.put(route("2"), on("/c")).await.unwrap();
    let entries = bench.service.history(&viewer(), HistoryQuery::default()).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.revision).collect::<Vec<_>>(), [5, 3, 2, 1]);
    assert!(bench.store.get("/usher/history/00000000000000000004").await.unwrap().is_some());
    for revision in [5, 3] {
        let plan = bench.service.plan_undo(&agent(), Some(revision), None).await.unwrap();
        assert_eq!(plan.undoes, Some(revision));
        bench.agree(&plan).await.unwrap();
    }
    assert_eq!(bench.value(route("1")).await["uri"], "/a");
    let of_one = HistoryQuery { before: Some(6), key: Some(route("2")), limit: 9 };
    let entries = bench.service.history(&viewer(), of_one).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.revision).collect::<Vec<_>>(), [5]);
    let verdict = bench.service.verify_audit(&admin()).await.unwrap();
    assert_eq!((verdict.records, verdict.broken), (3, None));
}

/// What the status would list, once a service has looked at everything.
async fn problems(bench: &Bench) -> Vec<(String, String)> {
    let attended = std::sync::Arc::clone(&bench.service);
    let attending = tokio::spawn(async move { attended.attend().await });
    let mut last = Vec::new();
    // It is at rest once nothing is added any more.
    for _ in 0..200 {
        tokio::task::yield_now().await;
        last = bench.service.problems();
    }
    attending.abort();
    last.into_iter().map(|problem| (problem.key, problem.reason)).collect()
}

#[tokio::test]
async fn what_other_programs_wrote_is_listed_where_it_breaks_a_rule() {
    let able = Capabilities { alone: false, ..Capabilities::OWN };
    let bench = Bench::with(Odd::new(able), Rules::default()).await;
    bench.put(route("good"), on("/good")).await.unwrap();
    for (id, value) in [
        ("1", r#"{"id":"2","uri":"/a","plugins":{}}"#),
        ("list", "[]"),
        ("text", "no JSON"),
        ("uri", r#"{"id":"uri","uri":7}"#),
        ("plugin", r#"{"id":"plugin","uri":"/a","plugins":{"limit-count":{"count":0,"time_window":1}}}"#),
        ("fine", r#"{"id":"fine","uri":"/a","plugins":{}}"#),
    ] {
        theirs(&bench, &route(id), Some(value)).await;
    }
    theirs(&bench, &Key::new(Kind::Proto, "p"), Some(r#"{"id":"p"}"#)).await;
    let found = problems(&bench).await;
    let keys: Vec<&str> = found.iter().map(|(key, _)| key.rsplit('/').next().unwrap()).collect();
    assert_eq!(keys, ["p", "1", "list", "plugin", "text", "uri"], "{found:?}");
    assert!(found[1].1.contains("wrong route id") && found[1].1.contains("not written through Usher"));
    assert!(found[2].1.contains("it is no JSON object"), "{found:?}");
    // Once it is mended, by whomever, it is no problem any more.
    theirs(&bench, &route("1"), Some(r#"{"id":"1","uri":"/a","plugins":{}}"#)).await;
    theirs(&bench, &route("text"), None).await;
    bench.put(route("list"), on("/list")).await.unwrap();
    let keys: Vec<String> = problems(&bench).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["/apisix/protos/p", "/apisix/routes/plugin", "/apisix/routes/uri"]);
}

#[tokio::test]
async fn an_object_that_can_t_be_read_does_not_lock_its_collection() {
    let bench = Bench::new().await;
    bench.put(route("good"), on("/good")).await.unwrap();
    for (id, value) in [("a", "[]"), ("b", "no JSON"), ("c", "7")] {
        theirs(&bench, &route(id), Some(value)).await;
    }
    let listed = bench.service.list(&viewer(), Kind::Route).await.unwrap();
    assert_eq!(listed.iter().map(|stored| stored.key.id.as_str()).collect::<Vec<_>>(), ["good"]);
    assert!(bench.service.get(&viewer(), &route("good")).await.unwrap().is_some());
    let told = bench.service.get(&viewer(), &route("a")).await.unwrap_err().to_string();
    assert!(told.contains("put a good one in its place, or delete it"), "{told}");
    // A whole document can still be planned, and each of them be replaced and deleted.
    bench.put(route("a"), on("/a")).await.unwrap();
    bench.delete(route("b")).await.unwrap();
    let objects = vec![(route("good"), on("/good")), (route("d"), on("/d"))];
    let extent = Extent { delete: true, ..Extent::default() };
    let plan = bench.service.plan_document(&admin(), objects, extent, None).await.unwrap();
    assert_eq!(plan.total, 3, "d comes, a and c go: {:?}", plan.changes);
    bench.service.apply(&admin(), &plan.id, Approval::Client).await.unwrap();
    assert_eq!(bench.bytes().await.len(), 2);
}
