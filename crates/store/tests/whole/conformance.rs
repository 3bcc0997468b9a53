//! One suite for every kind of store. Where a store can't do something, its capabilities say so, and only that is left out.

#[path = "../etcd/server.rs"]
mod server;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use usher_store::embedded::Embedded;
use usher_store::etcd::{Etcd, Options};
use usher_store::memory::Memory;
use usher_store::{
    Batch, Capabilities, Compare, Revision, Store, StoreError, Transaction, Watch, WatchError,
};

/// Runs a test against every kind, each on an empty store of its own.
fn against_every_kind<F: Future<Output = ()>>(test: impl Fn(Arc<dyn Store>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(Arc::new(Memory::new())));
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(test(Arc::new(Embedded::open(folder.path()).unwrap())));
    let folder = tempfile::tempdir().unwrap();
    let members = server::start(folder.path(), 1, &[]);
    let options = Options::parse(&format!("etcd://{}", members[0].address())).unwrap();
    runtime.block_on(async { test(Arc::new(Etcd::open(options).await.unwrap())).await });
}

fn put(key: &str, value: &str) -> Transaction {
    Transaction::default().put(key, Bytes::from(value.to_owned()))
}

async fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().entries.iter().map(|entry| entry.key.to_string()).collect()
}

/// The next transaction that did something.
async fn next(watch: &mut Watch) -> Result<Batch, WatchError> {
    loop {
        let batch =
            tokio::time::timeout(Duration::from_secs(20), watch.next()).await.expect("a transaction")?;
        if !batch.events.is_empty() {
            return Ok(batch);
        }
    }
}

#[test]
fn what_is_written_is_read() {
    against_every_kind(|store| async move {
        for at in ["/apisix/routes/1", "/usher/head", "/usher/history/1"] {
            let begin = store.revision();
            assert_eq!(store.get(at).await.unwrap(), None);
            let first = store.commit(put(at, "one")).await.unwrap().revision;
            let second = store.commit(put(at, "two")).await.unwrap().revision;
            assert!(begin < first && first < second);
            let entry = store.get(at).await.unwrap().unwrap();
            assert_eq!((&*entry.value, entry.created, entry.modified), (&b"two"[..], first, second));
            store.commit(Transaction::default().delete(at)).await.unwrap();
            assert_eq!(store.get(at).await.unwrap(), None);
            let third = store.commit(put(at, "three")).await.unwrap().revision;
            let entry = store.get(at).await.unwrap().unwrap();
            assert_eq!((entry.created, entry.modified), (third, third));
            assert_eq!(store.revision(), third);
            if store.capabilities().alone {
                assert_eq!([first, second, third], [begin + 1, begin + 2, begin + 4]);
            }
        }
    });
}

#[test]
fn lists_are_sorted_and_end_with_their_prefix() {
    against_every_kind(|store| async move {
        for space in ["/apisix", "/usher"] {
            let before = keys(&*store, "").await.len();
            for key in ["/b/2", "/b/10", "/b/1", "/a/9", "/c", "/b", "/b0"] {
                store.commit(put(&format!("{space}{key}"), key)).await.unwrap();
            }
            let named = |keys: &[&str]| keys.iter().map(|key| format!("{space}{key}")).collect::<Vec<_>>();
            assert_eq!(keys(&*store, &format!("{space}/b/")).await, named(&["/b/1", "/b/10", "/b/2"]));
            assert_eq!(keys(&*store, "").await.len(), before + 7);
            assert_eq!(keys(&*store, "/x").await, Vec::<String>::new());
            let page = |after: Option<&'static str>, reverse| {
                let store = Arc::clone(&store);
                async move {
                    let (prefix, after) =
                        (format!("{space}/b/"), after.map(|after| format!("{space}{after}")));
                    let page = store.list_page(&prefix, after.as_deref(), 2, reverse).await.unwrap();
                    for entry in &page.entries {
                        assert_eq!(format!("{space}{}", String::from_utf8_lossy(&entry.value)), *entry.key);
                    }
                    page.entries.iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>()
                }
            };
            assert_eq!(page(None, false).await, named(&["/b/1", "/b/10"]));
            assert_eq!(page(Some("/b/10"), false).await, named(&["/b/2"]));
            assert_eq!(page(None, true).await, named(&["/b/2", "/b/10"]));
            assert_eq!(page(Some("/b/10"), true).await, named(&["/b/1"]));
        }
    });
}

#[test]
fn a_transaction_is_all_or_nothing() {
    against_every_kind(|store| async move {
        let [a, b, c, x] = ["/apisix/a/1", "/usher/b", "/apisix/c/1", "/apisix/x/1"];
        let first = store.commit(put(a, "1")).await.unwrap().revision;
        for (refused, expected) in [
            (put(b, "2").put(c, "3").expect(a, Compare::Absent), "nothing".to_owned()),
            (put(b, "2").expect(x, Compare::Exists), "something".to_owned()),
            (put(b, "2").expect(a, Compare::Modified(first + 6)), format!("revision {}", first + 6)),
            (put(b, "2").expect(a, Compare::Exists).expect(b, Compare::Exists), "something".to_owned()),
        ] {
            match store.commit(refused).await {
                Err(StoreError::Conflict { expected: said, .. }) => assert_eq!(said, expected),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(keys(&*store, "").await, [a]);
        if store.capabilities().alone {
            assert_eq!(store.revision(), first);
        }
        let good = put(b, "2").delete(a).expect(a, Compare::Modified(first)).expect(b, Compare::Absent);
        assert!(store.commit(good).await.unwrap().revision > first);
        assert_eq!(keys(&*store, "").await, [b]);
        // The last write of a key is the one that counts.
        store.commit(put(a, "x").delete(b).put(b, "3").put(a, "y").delete(a)).await.unwrap();
        assert_eq!(keys(&*store, "").await, [b]);
    });
}

#[test]
fn a_transaction_that_is_too_large_is_refused_whole() {
    against_every_kind(|store| async move {
        let Capabilities { most_bytes, most_writes, .. } = store.capabilities();
        let before = store.revision();
        let large = put("/apisix/small/1", "1").put("/apisix/large/1", vec![0_u8; most_bytes]);
        assert!(matches!(store.commit(large).await, Err(StoreError::TooLarge { .. })));
        if most_writes < 100_000 {
            let many = |count: usize| {
                (0..count).fold(Transaction::default(), |all, id| {
                    let key = format!("/apisix/r/{id}");
                    all.put(key.clone(), "x").expect(key, Compare::Absent)
                })
            };
            assert!(matches!(
                store.commit(many(most_writes + 1)).await,
                Err(StoreError::TooManyWrites { .. })
            ));
            assert_eq!(keys(&*store, "").await, Vec::<String>::new());
            store.commit(many(most_writes)).await.unwrap();
        } else {
            assert_eq!(store.revision(), before);
        }
        let fitting = vec![b'x'; most_bytes.min(4 << 20) - 100];
        store.commit(Transaction::default().put("/apisix/large/1", fitting)).await.unwrap();
    });
}

#[test]
fn a_watch_sees_every_transaction_from_its_revision_on() {
    against_every_kind(|store| async move {
        let begin = store.revision();
        let first = store.commit(put("/apisix/r/1", "a")).await.unwrap().revision;
        let other = store.commit(put("/apisix/x/1", "other")).await.unwrap().revision;
        let mut early = store.watch("/apisix/r/", begin + 1);
        let mut late = store.watch("/apisix/r/", other + 1);
        let mut whole = store.watch("", other + 1);
        let change = put("/apisix/r/2", "b").put("/apisix/x/2", "other").delete("/apisix/r/1");
        let third = store.commit(change).await.unwrap().revision;
        let seen = next(&mut early).await.unwrap();
        assert_eq!((seen.revision, seen.events.len()), (first, 1));
        let seen = next(&mut early).await.unwrap();
        assert_eq!((seen.revision, seen.events.len()), (third, 2));
        assert_eq!(seen.events[1].before.as_ref().unwrap().value, "a");
        assert_eq!(seen.events[1].after, None);
        assert_eq!(next(&mut late).await.unwrap(), seen);
        // Whoever watches everything hears of every revision, also of one that touches no resource.
        assert_eq!(whole.next().await.unwrap().revision, third);
        let mut own = store.watch("/usher/", third + 1);
        let head =
            store.commit(put("/usher/head", "1").put("/usher/history/1", "one")).await.unwrap().revision;
        assert_eq!(whole.next().await.unwrap().revision, head);
        let seen = next(&mut own).await.unwrap();
        assert_eq!((seen.revision, seen.events.len()), (head, 2));
        assert_eq!(seen.events[1].after.as_ref().unwrap().value, "one");
        store.commit(put("/usher/history/1", "two")).await.unwrap();
        assert_eq!(next(&mut own).await.unwrap().events[0].before.as_ref().unwrap().value, "one");
    });
}

#[test]
fn nothing_is_lost_or_doubled_between_a_list_and_its_watch() {
    against_every_kind(|store| async move {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for turn in 0..50 {
                        store.commit(put(&format!("/apisix/r/{writer}-{turn}"), "x")).await.unwrap();
                    }
                })
            })
            .collect();
        let listing = store.list("/apisix/r/").await.unwrap();
        let mut watch = store.watch("/apisix/r/", listing.revision + 1);
        let mut seen: Vec<String> = listing.entries.iter().map(|entry| entry.key.to_string()).collect();
        let mut newest: Revision = listing.revision;
        while seen.len() < 200 {
            let batch = next(&mut watch).await.unwrap();
            assert!(batch.revision > newest);
            if store.capabilities().alone {
                assert_eq!(batch.revision, newest + 1);
            }
            newest = batch.revision;
            seen.extend(batch.events.iter().map(|event| event.key.to_string()));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 200);
    });
}

#[test]
fn a_watcher_that_fell_behind_is_told() {
    against_every_kind(|store| async move {
        let begin = store.revision();
        let mut watch = store.watch("/", begin + 1);
        // More than the ring keeps, in few transactions.
        let size = store.capabilities().most_bytes.min(4 << 20) - 100;
        for _ in 0..10 {
            store.commit(put("/apisix/a/1", &"x".repeat(size))).await.unwrap();
        }
        match watch.next().await {
            Err(WatchError::Compacted { oldest }) => {
                assert!(oldest > begin + 1);
                let mut again = store.watch("/", oldest);
                assert!(next(&mut again).await.unwrap().revision >= oldest);
            }
            other => panic!("{:?}", other.map(|batch| batch.revision)),
        }
    });
}

#[test]
fn many_entries_are_loaded_and_listed_at_once() {
    against_every_kind(|store| async move {
        let value = Bytes::from(vec![b'x'; 400]);
        let fitting = store.capabilities().most_writes.min(store.capabilities().most_bytes / 500).min(20_000);
        let mut newest = 0;
        for ids in (0..20_000).collect::<Vec<_>>().chunks(fitting) {
            let transaction = ids
                .iter()
                .fold(Transaction::default(), |all, id| all.put(format!("/apisix/r/{id:06}"), value.clone()));
            newest = store.commit(transaction).await.unwrap().revision;
        }
        let listing = store.list("/apisix/r/").await.unwrap();
        assert_eq!((listing.revision, listing.entries.len()), (newest, 20_000));
    });
}

#[test]
fn a_key_with_a_time_to_live_ends_by_itself() {
    against_every_kind(|store| async move {
        if !store.capabilities().leases {
            return;
        }
        let begin = store.revision();
        let mut watch = store.watch("/apisix/r/", begin + 1);
        let lives = Transaction::default()
            .put_for("/apisix/r/1", "short", Some(1))
            .put_for("/apisix/r/2", "kept after all", Some(1))
            .put_for("/apisix/r/3", "long", Some(600))
            .put("/apisix/r/4", "for ever");
        store.commit(lives).await.unwrap();
        let ends = store.leases().await.unwrap();
        let mut named: Vec<_> = ends.iter().map(|lease| &*lease.key).collect();
        named.sort_unstable();
        assert_eq!(named, ["/apisix/r/1", "/apisix/r/2", "/apisix/r/3"]);
        store.commit(put("/apisix/r/2", "kept")).await.unwrap();
        assert_eq!(next(&mut watch).await.unwrap().events.len(), 4);
        assert_eq!(next(&mut watch).await.unwrap().events.len(), 1);
        let over = next(&mut watch).await.unwrap();
        assert_eq!(over.events.len(), 1);
        assert_eq!((&*over.events[0].key, &over.events[0].after), ("/apisix/r/1", &None));
        assert_eq!(over.events[0].before.as_ref().unwrap().value, "short");
        assert_eq!(keys(&*store, "/apisix/r/").await, ["/apisix/r/2", "/apisix/r/3", "/apisix/r/4"]);
    });
}
