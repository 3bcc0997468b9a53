//! etcd's history isn't the known one any more: compacted, wiped, restored from a backup, gone another way.

use std::time::Duration;

use usher_store::{Batch, Store, StoreError, Transaction, Watch};

use crate::{open, put, route, routes, server, until};

async fn next(watch: &mut Watch) -> Batch {
    loop {
        let batch = tokio::time::timeout(Duration::from_secs(30), watch.next()).await.unwrap().unwrap();
        if !batch.events.is_empty() {
            return batch;
        }
    }
}

fn named(batch: &Batch) -> Vec<(&str, bool)> {
    let mut named: Vec<_> = batch.events.iter().map(|event| (&*event.key, event.after.is_some())).collect();
    named.sort_unstable();
    named
}

/// Waits until the folder has a snapshot of this revision or a later one.
async fn snapshot_of(folder: &std::path::Path, revision: u64) {
    until("the snapshot", async || {
        let files = std::fs::read_dir(folder).unwrap().flatten();
        let numbers = files.filter_map(|file| {
            let name = file.file_name().into_string().unwrap();
            name.strip_prefix("snapshot-")?.strip_suffix(".bin")?.parse::<u64>().ok()
        });
        numbers.max().is_some_and(|newest| newest >= revision)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_compaction_only_what_differs_is_told_and_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, snapshots) = (folder.path().join("etcd"), folder.path().join("snapshots"));
    let mut members = server::start(&etcd, 1, &[]);
    let store = open(&members, Some(&snapshots)).await;
    let mut newest = 0;
    for id in 0..20 {
        newest = put(&store, &route(id), "as it was").await;
    }
    snapshot_of(&snapshots, newest).await;
    drop(store);
    for turn in 0..50 {
        members[0].put(&route(1), &format!("changed {turn}"));
    }
    members[0].put(&route(2), "as it was");
    members[0].delete(&route(3));
    members[0].put(&route("new"), "new");
    members[0].compact();
    members[0].kill();

    let store = open(&members, Some(&snapshots)).await;
    let before = routes(&store).await;
    let mut watch = store.watch("", store.revision() + 1);
    members[0].restart();
    let batch = next(&mut watch).await;
    let (one, three, new) = (route(1), route(3), route("new"));
    assert_eq!(named(&batch), [(one.as_str(), true), (three.as_str(), false), (new.as_str(), true)]);
    assert_eq!(routes(&store).await.len(), 20);
    for entry in before.iter().filter(|entry| *entry.key != *one && *entry.key != *three) {
        let now = store.get(&entry.key).await.unwrap().unwrap();
        assert_eq!(now.value.as_ptr(), entry.value.as_ptr(), "{} was touched", entry.key);
    }
    // The same value was written to it, so a comparison has to know the newer revision.
    let two = store.get(&route(2)).await.unwrap().unwrap();
    assert!(two.modified > newest);
    let change = Transaction::default()
        .put(route(2), "x")
        .expect(route(2), usher_store::Compare::Modified(two.modified));
    store.commit(change).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_etcd_is_held_back_until_a_person_confirms_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut members = server::start(&folder.path().join("etcd"), 1, &[]);
    let snapshots = [folder.path().join("a"), folder.path().join("b")];
    let stores = [open(&members, Some(&snapshots[0])).await, open(&members, Some(&snapshots[1])).await];
    for id in 0..20 {
        put(&stores[0], &route(id), "x").await;
    }
    until("the other gateway", async || stores[1].revision() >= stores[0].revision()).await;
    let mut watches = stores.each_ref().map(|store| store.watch("/apisix/", store.revision() + 1));
    members[0].kill();
    members[0].wipe();
    members[0].restart();
    for store in &stores {
        until("holding it", async || store.health().held.is_some()).await;
        assert_eq!(routes(store).await.len(), 20);
        match store.commit(Transaction::default().put(route(1), "y")).await {
            Err(StoreError::Unavailable(said)) => assert!(said.contains("20 of 20"), "{said}"),
            other => panic!("{other:?}"),
        }
        assert!(store.get("/usher/history/1").await.is_ok());
    }
    // Confirmed at one gateway, it is confirmed for all that hold it.
    stores[0].accept().await.unwrap();
    for (store, watch) in stores.iter().zip(&mut watches) {
        until("letting it go", async || store.health().held.is_none()).await;
        let batch = next(watch).await;
        assert_eq!(batch.events.len(), 20);
        assert!(batch.events.iter().all(|event| event.after.is_none()));
        assert_eq!(routes(store).await.len(), 0);
    }
    // The new history is followed and written to.
    let revision = put(&stores[0], &route(1), "again").await;
    assert!(revision < 20);
    for (store, watch) in stores.iter().zip(&mut watches) {
        assert_eq!(next(watch).await.revision, revision);
        assert_eq!(store.get(&route(1)).await.unwrap().unwrap().value, "again");
    }
    assert_eq!(stores[0].accept().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_put_back_needs_no_person_where_little_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut members = server::start(&folder.path().join("etcd"), 1, &[]);
    let snapshots = folder.path().join("snapshots");
    let store = open(&members, Some(&snapshots)).await;
    for id in 0..10 {
        put(&store, &route(id), "before").await;
    }
    let backup = folder.path().join("backup");
    members[0].kill();
    members[0].back_up(&backup);
    members[0].restart();
    put(&store, &route(1), "after").await;
    store.commit(Transaction::default().delete(route(2))).await.unwrap();
    let newest = put(&store, &route(20), "after").await;
    let mut watch = store.watch("", newest + 1);

    members[0].kill();
    members[0].restore(&backup);
    members[0].restart();
    let batch = next(&mut watch).await;
    assert!(batch.revision < newest);
    let (one, two, twenty) = (route(1), route(2), route(20));
    assert_eq!(named(&batch), [(one.as_str(), true), (two.as_str(), true), (twenty.as_str(), false)]);
    assert_eq!(store.get(&one).await.unwrap().unwrap().value, "before");
    let revision = put(&store, &route(3), "on").await;
    assert_eq!(next(&mut watch).await.revision, revision);

    // The same once more, but it has gone on, past where the gateway was, before the gateway sees it.
    let newest = put(&store, &route(4), "lost by the backup").await;
    snapshot_of(&snapshots, newest).await;
    drop(store);
    members[0].kill();
    members[0].restore(&backup);
    members[0].restart();
    for turn in 0..newest {
        members[0].put(&route(5), &turn.to_string());
    }
    let store = open(&members, Some(&snapshots)).await;
    assert!(store.revision() > newest);
    assert_eq!(store.get(&route(4)).await.unwrap().unwrap().value, "before");
    assert_eq!(store.get(&route(5)).await.unwrap().unwrap().value, (newest - 1).to_string());
    let entries: Vec<_> =
        members[0].range("/apisix/routes/").into_iter().filter(|(key, ..)| !key.ends_with('/')).collect();
    let known: Vec<_> = routes(&store)
        .await
        .iter()
        .map(|entry| {
            (entry.key.to_string(), String::from_utf8_lossy(&entry.value).into_owned(), entry.modified)
        })
        .collect();
    assert_eq!(known, entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_is_noticed_by_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = folder.path().join("snapshots");
    let members = server::start(&folder.path().join("one"), 1, &[]);
    let store = open(&members, Some(&snapshots)).await;
    for id in 0..20 {
        put(&store, &route(id), "of the first").await;
    }
    snapshot_of(&snapshots, store.revision()).await;
    drop(store);
    let members = server::start(&folder.path().join("two"), 1, &[]);
    for turn in 0..100 {
        members[0].put(&route("x"), &turn.to_string());
    }
    let store = open(&members, Some(&snapshots)).await;
    assert!(store.health().held.is_some_and(|held| held.contains("20 of 20")));
    assert_eq!(routes(&store).await.len(), 20);
    store.accept().await.unwrap();
    until("letting it go", async || store.health().held.is_none()).await;
    assert_eq!(routes(&store).await.len(), 1);
    assert_eq!(put(&store, &route("y"), "on").await, store.revision());
}
