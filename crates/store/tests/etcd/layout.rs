//! The keys, beside an APISIX.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use usher_store::archive;
use usher_store::etcd::{Etcd, Options};
use usher_store::{Compare, Store, StoreError, Transaction};

use crate::trouble::coded;
use crate::{open, options, put, route, routes, server, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_an_apisix_wrote_is_served_and_its_marks_are_no_entries() {
    let folder = tempfile::tempdir().unwrap();
    let members = server::start(folder.path(), 1, &[]);
    members[0].put("/apisix/routes/", "init_dir");
    members[0].put("/apisix/routes/1", r#"{"uri":"/a"}"#);
    members[0].put("/other/routes/1", "not ours");
    let store = open(&members, None).await;
    let entries = store.list("/apisix/").await.unwrap().entries;
    assert_eq!(entries.iter().map(|entry| &*entry.key).collect::<Vec<_>>(), ["/apisix/routes/1"]);
    until("making the marks", async || members[0].range("/apisix/").len() == 14).await;
    for (key, value, _) in members[0].range("/apisix/") {
        assert_eq!(value == "init_dir", key.ends_with('/'), "{key}");
    }
    assert_eq!(routes(&store).await.len(), 1);
    // A change of the APISIX's is seen soon, and one of ours is there for it.
    members[0].put("/apisix/routes/2", r#"{"uri":"/b"}"#);
    until("seeing a change", async || routes(&store).await.len() == 2).await;
    members[0].delete("/apisix/routes/1");
    until("seeing a deletion", async || routes(&store).await.len() == 1).await;
    put(&store, "/usher/head", "1").await;
    assert_eq!(members[0].range("/usher/")[0].0, "/usher/head");
    assert!(store.health().away.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ends_that_others_gave_are_known_and_are_in_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let members = server::start(folder.path(), 1, &[]);
    members[0].put_for("/apisix/routes/old", r#"{"uri":"/old"}"#, 600);
    let store = open(&members, None).await;
    members[0].put_for("/apisix/routes/new", r#"{"uri":"/new"}"#, 900);
    until("seeing it", async || routes(&store).await.len() == 2).await;
    put(&store, &route("stays"), r#"{"uri":"/stays"}"#).await;
    put(&store, "/usher/head", "1").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let left = |leases: Vec<usher_store::Lease>| {
        let mut left: Vec<_> = leases
            .iter()
            .map(|lease| (lease.key.to_string(), (lease.until_unix_ms / 1000).saturating_sub(now) / 100))
            .collect();
        left.sort();
        left
    };
    // A second or two may have gone by, which is no hundred.
    let wanted = [("/apisix/routes/new".to_owned(), 8), ("/apisix/routes/old".to_owned(), 5)];
    let all = left(store.leases().await.unwrap());
    assert!(all == wanted || all == [(route("new"), 9), (route("old"), 6)], "{all:?}");
    let some = store.leases_of(&[route("new").into(), route("stays").into()]).await.unwrap();
    assert_eq!(left(some).len(), 1);

    let mut bytes = Vec::new();
    let info = archive::write(&store, &mut bytes).await.unwrap();
    assert!(info.one_revision);
    let read = archive::read(&*bytes).unwrap();
    let kept: Vec<_> =
        read.entries.iter().map(|one| (&*one.entry.key, one.until_unix_ms.is_some())).collect();
    assert_eq!(
        kept,
        [
            ("/apisix/routes/new", true),
            ("/apisix/routes/old", true),
            ("/apisix/routes/stays", false),
            ("/usher/head", false)
        ]
    );
    // Written without a lease it stays, and written anew with one it ends.
    members[0].put("/apisix/routes/old", r#"{"uri":"/old"}"#);
    members[0].put_for(&route("stays"), r#"{"uri":"/ends"}"#, 5);
    until("seeing both", async || {
        let leases = store.leases().await.unwrap();
        let keys: Vec<_> = leases.iter().map(|lease| &*lease.key).collect();
        keys.len() == 2 && !keys.contains(&"/apisix/routes/old")
    })
    .await;
    until("its end", async || routes(&store).await.len() == 2).await;
    assert_eq!(store.leases().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_etcd_is_of_one_revision_however_many_pages_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let members = server::start(folder.path(), 1, &[]);
    let store = open(&members, None).await;
    // More than a page, and one value that is most of one.
    for some in 0..20 {
        let put = (0..100)
            .fold(Transaction::default(), |put, at| put.put(route(some * 100 + at), "x".repeat(2000)));
        store.commit(put).await.unwrap();
    }
    put(&store, "/apisix/protos/1", &"y".repeat(1 << 20)).await;
    let revision = put(&store, "/usher/head", "1").await;
    let mut pieces = archive::pieces(&store).await.unwrap();
    let mut bytes = pieces.next().await.unwrap().unwrap();
    // What is written meanwhile is not in it.
    put(&store, &route("zzz"), "later").await;
    members[0].delete(&route(1999));
    while let Some(piece) = pieces.next().await {
        bytes.extend(piece.unwrap());
    }
    let read = archive::read(&*bytes).unwrap();
    assert_eq!((read.info.revision, read.info.entries), (revision, 2002));
    assert!(read.entries.iter().any(|one| *one.entry.key == *route(1999)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_prefix_is_another_store() {
    let folder = tempfile::tempdir().unwrap();
    let members = server::start(folder.path(), 1, &[]);
    let first = open(&members, None).await;
    let second =
        Etcd::open(Options { prefix: "/team/a".to_owned(), ..options(&members, None) }).await.unwrap();
    put(&first, &route(1), "first").await;
    let both = Transaction::default().put(route(1), "second").put("/usher/tokens/1", "token");
    second.commit(both).await.unwrap();
    assert_eq!(first.get(&route(1)).await.unwrap().unwrap().value, "first");
    assert_eq!(second.get(&route(1)).await.unwrap().unwrap().value, "second");
    assert_eq!(members[0].range("/team/a/routes/1")[0].1, "second");
    assert_eq!(members[0].range("/usher/team/a/tokens/")[0].1, "token");
    assert_eq!(first.get("/usher/tokens/1").await.unwrap(), None);
    assert_eq!(first.list("/usher/tokens/").await.unwrap().entries.len(), 0);
    assert_eq!(second.list("/usher/tokens/").await.unwrap().entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_see_each_others_changes_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let members = server::start(folder.path(), 1, &[]);
    let (first, second) = (open(&members, None).await, open(&members, None).await);
    let mut watch = second.watch("/apisix/", second.revision() + 1);
    let mut slowest = std::time::Duration::ZERO;
    for turn in 0..100 {
        let revision = put(&first, &route(turn % 7), &turn.to_string()).await;
        let begin = std::time::Instant::now();
        while watch.next().await.unwrap().revision < revision {}
        slowest = slowest.max(begin.elapsed());
    }
    println!("slowest of 100 changes on the other gateway: {slowest:?} behind its acknowledgement");
    assert!(slowest.as_millis() < 1000, "{slowest:?}");
    // Two that read the same can't both write.
    let read = first.get(&route(1)).await.unwrap().unwrap().modified;
    let change = |value: &str| {
        Transaction::default().put(route(1), value.to_owned()).expect(route(1), Compare::Modified(read))
    };
    let (one, other) = tokio::join!(first.commit(change("one")), second.commit(change("other")));
    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1, "{one:?} {other:?}");
    let lost = one.err().or(other.err()).unwrap();
    assert!(matches!(&lost, StoreError::Conflict { key, .. } if *key == route(1)), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_sets_are_read_in_pages_of_one_revision() {
    let folder = tempfile::tempdir().unwrap();
    let members = server::start(folder.path(), 1, &[]);
    let store = open(&members, None).await;
    // Few large values, many small ones, and a journal that is read from its end.
    for id in 0..30 {
        put(&store, &route(format!("large-{id:02}")), &"x".repeat(900_000)).await;
    }
    for chunk in (0..3000).collect::<Vec<_>>().chunks(100) {
        let transaction = chunk
            .iter()
            .fold(Transaction::default(), |all, id| all.put(route(format!("small-{id:05}")), "x"));
        store.commit(transaction).await.unwrap();
    }
    for number in 0..120 {
        put(&store, &format!("/usher/history/{number:020}"), &format!("entry {number}")).await;
    }
    let second = open(&members, None).await;
    let (first, again) = (store.list("/apisix/").await.unwrap(), second.list("/apisix/").await.unwrap());
    assert_eq!(first.entries.len(), 3030);
    assert!(first.entries == again.entries);
    let page = second.list_page("/usher/history/", None, 50, true).await.unwrap();
    let values: Vec<_> =
        page.entries.iter().map(|entry| String::from_utf8_lossy(&entry.value).into_owned()).collect();
    assert_eq!(values, (70..120).rev().map(|number| format!("entry {number}")).collect::<Vec<_>>());
    let last = page.entries.last().unwrap();
    let page = second.list_page("/usher/history/", Some(&last.key), 50, true).await.unwrap();
    assert_eq!(page.entries[0].value, "entry 69");
    // What the mirror last heard of is forgotten by etcd; what is there stays.
    members[0].put("/other/1", "x");
    members[0].compact();
    let page = second.list_page("/usher/history/", None, 1, true).await.unwrap();
    assert_eq!(page.entries[0].value, "entry 119");
    assert_eq!(second.list("/usher/history/").await.unwrap().entries.len(), 120);
    let whole = second.list("").await.unwrap();
    assert_eq!(whole.entries.len(), 3030 + 120);
    assert_eq!(whole.revision, members[0].revision());
    assert_eq!(members[0].ask("kv/range", &json!({"key": coded("/apisix/none")}))["count"], json!(null));
}
