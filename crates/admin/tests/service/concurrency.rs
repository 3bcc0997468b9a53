//! Many writers at once: nothing is lost, nothing dangles.

use std::sync::Arc;

use serde_json::json;
use usher_admin::service::{Approval, HistoryQuery, Rules, ServiceError, Wanted};
use usher_model::kind::{Key, Kind};
use usher_store::embedded::Embedded;
use usher_store::memory::Memory;
use usher_store::{Store, StoreError};

use crate::bench::{Bench, admin, agent, gone, nodes, put, route, upstream, viewer, wanted};

async fn loses_nothing(store: Arc<dyn Store>, writers: u64) {
    let bench = Arc::new(Bench::with(store, Rules::default()).await);
    let mut tasks = Vec::new();
    for at in 0..writers {
        let bench = Arc::clone(&bench);
        tasks.push(tokio::spawn(async move {
            let own = put(route(&format!("r{at}")), json!({ "uri": format!("/{at}"), "plugins": {} }));
            let shared = put(upstream("shared"), json!({ "nodes": {}, "desc": at.to_string() }));
            bench.service.write(&admin(), wanted([own, shared])).await.unwrap().revision
        }));
    }
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.push(task.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=writers).collect::<Vec<_>>());
    assert_eq!(bench.service.list(&viewer(), Kind::Route).await.unwrap().len() as u64, writers);
    // Each write of the shared object is in the history, each upon the one before it.
    let (mut before, mut seen) = (None, 0);
    while let entries = bench
        .service
        .history(&viewer(), HistoryQuery { before, limit: 200, key: Some(upstream("shared")) })
        .await
        .unwrap()
        && !entries.is_empty()
    {
        seen += entries.len() as u64;
        for pair in entries.windows(2) {
            assert_eq!(pair[0].changes[0].before, pair[1].changes[0].after);
        }
        before = entries.last().map(|entry| entry.revision);
    }
    assert_eq!(seen, writers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_writers_in_memory_lose_nothing() {
    loses_nothing(Arc::new(Memory::new()), 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_writers_on_disk_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    loses_nothing(Arc::new(Embedded::open(folder.path()).unwrap()), 100).await;
}

/// Each reads the object, adds its own label, and writes it back unless somebody was faster; then once more, as a PATCH does.
async fn adds_its_own(bench: &Bench, at: u64) -> u32 {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut stored = bench.service.get(&admin(), &route("shared")).await.unwrap().unwrap();
        stored.value["labels"][format!("l{at}")] = "x".into();
        let change = Wanted {
            expect: vec![(stored.key.clone(), Some(stored.modified))],
            keep_times: true,
            ..wanted([put(stored.key, stored.value)])
        };
        match bench.service.write(&admin(), change).await {
            Ok(_) => return tries,
            Err(ServiceError::Conflict(_) | ServiceError::Store(StoreError::Conflict { .. })) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn loses_no_patch(store: Arc<dyn Store>, what: &str) {
    const PATCHES: u64 = 1000;
    let bench = Arc::new(Bench::with(store, Rules::default()).await);
    bench
        .put(route("shared"), json!({ "uri": "/a", "plugins": {}, "labels": { "own": "x" } }))
        .await
        .unwrap();
    // As the HTTP layer lets them through: one object's patches take turns.
    let turns = Arc::new(tokio::sync::Semaphore::new(1));
    let begun = std::time::Instant::now();
    let mut tasks = Vec::new();
    for at in 0..PATCHES {
        let (bench, turns) = (Arc::clone(&bench), Arc::clone(&turns));
        tasks.push(tokio::spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            adds_its_own(&bench, at).await
        }));
    }
    let mut tries = 0;
    for task in tasks {
        tries += task.await.unwrap();
    }
    let took = begun.elapsed();
    println!("{PATCHES} patches of one object {what}: {tries} tries in {took:?}, {:?} each", took / 1000);
    let labels = bench.value(route("shared")).await["labels"].as_object().unwrap().len();
    assert_eq!(labels as u64, PATCHES + 1);
    assert_eq!(u64::from(tries), PATCHES, "nobody tries in vain");
    assert_eq!(bench.service.revision(), PATCHES + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_patches_of_one_object_in_memory_are_all_there() {
    loses_no_patch(Arc::new(Memory::new()), "in memory").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_patches_of_one_object_on_disk_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    loses_no_patch(Arc::new(Embedded::open(folder.path()).unwrap()), "on disk").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_that_do_not_take_turns_lose_nothing_either() {
    let bench = Arc::new(Bench::new().await);
    bench
        .put(route("shared"), json!({ "uri": "/a", "plugins": {}, "labels": { "own": "x" } }))
        .await
        .unwrap();
    let mut tasks = Vec::new();
    for at in 0..100 {
        let bench = Arc::clone(&bench);
        tasks.push(tokio::spawn(async move { adds_its_own(&bench, at).await }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(bench.value(route("shared")).await["labels"].as_object().unwrap().len(), 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_services_on_one_store_do_not_overwrite_each_other() {
    let one = Arc::new(Bench::new().await);
    let two = Arc::new(one.restarted().await);
    let mut tasks = Vec::new();
    for at in 0..100_u32 {
        let bench = Arc::clone(if at % 2 == 0 { &one } else { &two });
        tasks.push(tokio::spawn(async move {
            loop {
                let outcome = bench.put(route(&at.to_string()), json!({ "uri": "/a", "plugins": {} })).await;
                match outcome {
                    Ok(applied) => return applied.revision,
                    // Refused after a few tries, and nothing written.
                    Err(ServiceError::Store(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(one.bytes().await.len(), 100);
    assert_eq!(one.service.revision(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_and_a_write_at_the_same_moment_do_not_overwrite_each_other() {
    let one = Arc::new(Bench::new().await);
    let two = Arc::new(one.restarted().await);
    let value = |uri: String| json!({ "uri": uri, "plugins": {} });
    one.put(route("1"), value("/0".to_owned())).await.unwrap();
    for turn in 0..300 {
        let plan = one.plan([put(route("1"), value(format!("/a{turn}")))]).await.unwrap();
        let (planner, writer) = (Arc::clone(&one), Arc::clone(&two));
        let planned = tokio::spawn(async move { planner.agree(&plan).await });
        let written = tokio::spawn(async move { writer.put(route("1"), value(format!("/b{turn}"))).await });
        written.await.unwrap().unwrap();
        match planned.await.unwrap() {
            Ok(_) | Err(ServiceError::Stale { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    // Each change goes on from the one before it.
    let (mut before, mut later) = (None, None);
    while let entries =
        one.service.history(&viewer(), HistoryQuery { before, limit: 200, key: None }).await.unwrap()
        && !entries.is_empty()
    {
        for entry in &entries {
            let change = &entry.changes[0];
            if let Some(later) = later.replace(change.before.clone()) {
                assert_eq!(later, change.after, "revision {}", entry.revision);
            }
        }
        before = entries.last().map(|entry| entry.revision);
    }
    assert_eq!(later, Some(None), "back to where there was nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_and_a_deletion_at_once_leave_nothing_dangling() {
    let bench = Arc::new(Bench::new().await);
    for turn in 0..100 {
        bench.put(upstream("u"), nodes()).await.unwrap();
        let (user, used) = (Arc::clone(&bench), Arc::clone(&bench));
        let user = tokio::spawn(async move {
            let plan = user.plan([put(route("1"), json!({ "uri": "/1", "upstream_id": "u" }))]).await?;
            user.service.apply(&agent(), &plan.id, Approval::Client).await
        });
        let used = tokio::spawn(async move { used.delete(upstream("u")).await });
        let (user, used) = (user.await.unwrap(), used.await.unwrap());
        assert!(user.is_ok() != used.is_ok(), "turn {turn}: {user:?} {used:?}");
        if user.is_ok() {
            bench.service.write(&admin(), wanted([gone(route("1")), gone(upstream("u"))])).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_plan_applied_many_times_at_once_is_applied_once() {
    let bench = Arc::new(Bench::new().await);
    let plan = bench.plan([put(route("1"), json!({ "uri": "/1", "plugins": {} }))]).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let (bench, id) = (Arc::clone(&bench), plan.id.clone());
        tasks.push(tokio::spawn(async move {
            bench.service.apply(&agent(), &id, Approval::Client).await.is_ok()
        }));
    }
    let mut applied = 0;
    for task in tasks {
        applied += u32::from(task.await.unwrap());
    }
    assert_eq!((applied, bench.service.revision()), (1, 1));
}

#[tokio::test]
async fn a_hundred_thousand_routes_are_known_and_a_check_costs_what_it_touches() {
    let store = Arc::new(Memory::new());
    for chunk in 0..100 {
        let mut transaction = usher_store::Transaction::default();
        for at in 0..1000 {
            let id = chunk * 1000 + at;
            let value = json!({ "id": id.to_string(), "uri": format!("/r/{id}/*"), "name": format!("n{id}"), "upstream_id": "u" });
            transaction = transaction.put(route(&id.to_string()).path(), value.to_string().into_bytes());
        }
        store.commit(transaction).await.unwrap();
    }
    store
        .commit(usher_store::Transaction::default().put(upstream("u").path(), r#"{"id":"u","nodes":{}}"#))
        .await
        .unwrap();
    let bench = Bench::with(store, Rules::default()).await;
    let plan = bench.plan([put(upstream("u"), nodes())]).await.unwrap();
    assert_eq!(plan.affected.last().unwrap(), "99950 more routes");
    assert_eq!(
        bench.service.resolve(&viewer(), Kind::Route, "n77777").await.unwrap(),
        [Key::new(Kind::Route, "77777")]
    );
    let begun = std::time::Instant::now();
    for at in 0..1000 {
        bench.put(route("new"), json!({ "uri": format!("/r/{at}/x"), "upstream_id": "u" })).await.unwrap();
    }
    // Reading the table once a write would take many minutes.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}
