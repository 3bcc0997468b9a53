//! etcd is away, stalled, or comes late.

use std::time::{Duration, Instant};

use usher_store::etcd::Etcd;
use usher_store::{Store, StoreError, Transaction};

use crate::{open, options, put, route, routes, server, until};

/// What a write that etcd doesn't answer may take.
const REFUSED_WITHIN: Duration = Duration::from_millis(3300);

async fn refused(store: &Etcd) -> StoreError {
    let begin = Instant::now();
    let error = store.commit(Transaction::default().put(route("new"), "x")).await.unwrap_err();
    assert!(begin.elapsed() < REFUSED_WITHIN, "{:?}: {error}", begin.elapsed());
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_etcd_takes_the_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let (etcd, snapshots) = (folder.path().join("etcd"), folder.path().join("snapshots"));
    let mut members = server::start(&etcd, 1, &[]);
    let store = open(&members, Some(&snapshots)).await;
    let mut newest = 0;
    for id in 0..50 {
        let both = Transaction::default()
            .put(route(id), format!("route {id}"))
            .put(format!("/usher/tokens/{id}"), "t");
        newest = store.commit(both).await.unwrap().revision;
    }
    let known = routes(&store).await;
    let holds = |name: &std::path::Path| {
        let files = std::fs::read_dir(name).into_iter().flatten().flatten();
        files.into_iter().any(|file| file.file_name().to_string_lossy().contains(&newest.to_string()))
    };
    until("the snapshots", async || holds(&snapshots) && holds(&snapshots.join("own"))).await;
    members[0].kill();
    drop(store);

    let begin = Instant::now();
    let store = open(&members, Some(&snapshots)).await;
    println!("a start without etcd took {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let health = store.health();
    assert!(health.away.is_some_and(|away| away.contains(&members[0].address())));
    assert!(health.away_since_unix_ms.is_some());
    assert!(routes(&store).await == known);
    assert_eq!(store.list("/usher/tokens/").await.unwrap().entries.len(), 50);
    assert!(matches!(refused(&store).await, StoreError::Unavailable(_)));
    let begin = Instant::now();
    assert!(matches!(store.get("/usher/history/1").await, Err(StoreError::Unavailable(_))));
    assert!(begin.elapsed() < REFUSED_WITHIN);

    members[0].restart();
    let back = Instant::now();
    until("coming back", async || store.health().away.is_none()).await;
    println!("caught up {:?} after etcd was back", back.elapsed());
    put(&store, &route("new"), "written again").await;
    assert_eq!(routes(&store).await.len(), 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_needs_etcd_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut members = server::start(&folder.path().join("etcd"), 1, &[]);
    members[0].kill();
    for snapshots in [None, Some(folder.path())] {
        let begin = Instant::now();
        let error = Etcd::open(options(&members, snapshots)).await.unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(4));
        let said = error.to_string();
        assert!(said.contains(&members[0].address()) && said.contains("snapshot"), "{said}");
    }
    let unknown = usher_store::etcd::Options::parse("etcd://no-such-name.invalid").unwrap();
    let said = Etcd::open(unknown).await.unwrap_err().to_string();
    assert!(said.contains("no-such-name.invalid"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_etcd_is_away_reads_are_served_and_writes_refused_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut members = server::start(folder.path(), 1, &[]);
    let store = open(&members, None).await;
    put(&store, &route(1), "here").await;
    for turn in 0..2 {
        members[0].kill();
        assert!(matches!(refused(&store).await, StoreError::Unavailable(_) | StoreError::Unknown(_)));
        assert!(matches!(refused(&store).await, StoreError::Unavailable(_)));
        assert_eq!(store.get(&route(1)).await.unwrap().unwrap().value, "here");
        until("noticing it", async || store.health().away.is_some()).await;
        members[0].restart();
        until("coming back", async || store.health().away.is_none()).await;
        put(&store, &route(2), &turn.to_string()).await;
        assert!(!routes(&store).await.iter().any(|entry| entry.key.ends_with("new")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_etcd_leaves_no_doubt_once_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let members = server::start(folder.path(), 1, &[]);
    let (store, other) = (open(&members, None).await, open(&members, None).await);
    put(&store, &route(1), "here").await;
    members[0].stall();
    // Its bytes lie in the member's socket, so it may be done later: that is said.
    assert!(matches!(refused(&store).await, StoreError::Unknown(_)));
    assert_eq!(store.get(&route(1)).await.unwrap().unwrap().value, "here");
    members[0].go_on();
    until("going on", async || store.health().away.is_none()).await;
    let revision = put(&store, &route(2), "after").await;
    // From the next write on nothing comes of the lost one any more: either it is there by now, or never.
    let there = store.get(&route("new")).await.unwrap();
    until("the other gateway", async || other.revision() >= revision).await;
    assert_eq!(other.get(&route("new")).await.unwrap(), there);
    for turn in 0..20 {
        put(&store, &route(3), &turn.to_string()).await;
        assert_eq!(store.get(&route("new")).await.unwrap(), there);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_noticed_without_a_write() {
    let folder = tempfile::tempdir().unwrap();
    let members = server::start(folder.path(), 3, &[]);
    let store = open(&members, None).await;
    put(&store, &route(1), "here").await;
    // One after another, until it was the one that it is connected to.
    for at in 0..3 {
        members[at].stall();
        let well = (at + 1) % 3;
        members[well].put(&route("seen"), &at.to_string());
        let (begin, value) = (Instant::now(), at.to_string());
        until("seeing it on another member", async || {
            store.get(&route("seen")).await.unwrap().is_some_and(|entry| entry.value == value)
        })
        .await;
        let unseen = begin.elapsed();
        members[at].go_on();
        if unseen > Duration::from_secs(3) {
            println!("the silence of a member was noticed within {unseen:?}");
            // 5 s and 10 s of HTTP/2, and what finding another takes.
            assert!(unseen < Duration::from_secs(18), "{unseen:?}");
            assert!(store.health().away.is_none());
            return;
        }
        members[at].wait();
    }
    panic!("no member's silence was noticed: it is connected to none");
}
