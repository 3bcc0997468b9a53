//! One suite for every kind of store.
#![cfg(test)]

use std::sync::Arc;

use bytes::Bytes;
use usher_store::embedded::Embedded;
use usher_store::memory::Memory;
use usher_store::{Compare, Store, StoreError, Transaction, WatchError, Write};

/// Runs a test against every kind, each on an empty store of its own.
fn against_every_kind<F: Future<Output = ()>>(test: impl Fn(Arc<dyn Store>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(Arc::new(Memory::new())));
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(test(Arc::new(Embedded::open(folder.path()).unwrap())));
}

fn put(key: &str, value: &str) -> Transaction {
    Transaction::default().put(key, Bytes::from(value.to_owned()))
}

async fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().entries.iter().map(|entry| entry.key.to_string()).collect()
}

#[test]
fn what_is_written_is_read() {
    against_every_kind(|store| async move {
        assert_eq!(store.revision(), 0);
        assert_eq!(store.get("/a").await.unwrap(), None);
        assert_eq!(store.commit(put("/a", "one")).await.unwrap().revision, 1);
        assert_eq!(store.commit(put("/a", "two")).await.unwrap().revision, 2);
        let entry = store.get("/a").await.unwrap().unwrap();
        assert_eq!((&*entry.value, entry.created, entry.modified), (&b"two"[..], 1, 2));
        store.commit(Transaction::default().delete("/a")).await.unwrap();
        store.commit(put("/a", "three")).await.unwrap();
        let entry = store.get("/a").await.unwrap().unwrap();
        assert_eq!((entry.created, entry.modified), (4, 4));
        assert_eq!(store.revision(), 4);
    });
}

#[test]
fn lists_are_sorted_and_end_with_their_prefix() {
    against_every_kind(|store| async move {
        for key in ["/b/2", "/b/10", "/b/1", "/a/9", "/c", "/b", "/b0"] {
            store.commit(put(key, key)).await.unwrap();
        }
        assert_eq!(keys(&*store, "/b/").await, ["/b/1", "/b/10", "/b/2"]);
        assert_eq!(keys(&*store, "").await.len(), 7);
        assert_eq!(keys(&*store, "/x").await, Vec::<String>::new());
        let page = |after: Option<&'static str>, reverse| {
            let store = Arc::clone(&store);
            async move {
                let page = store.list_page("/b/", after, 2, reverse).await.unwrap();
                page.entries.iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>()
            }
        };
        assert_eq!(page(None, false).await, ["/b/1", "/b/10"]);
        assert_eq!(page(Some("/b/10"), false).await, ["/b/2"]);
        assert_eq!(page(None, true).await, ["/b/2", "/b/10"]);
        assert_eq!(page(Some("/b/10"), true).await, ["/b/1"]);
    });
}

#[test]
fn a_transaction_is_all_or_nothing() {
    against_every_kind(|store| async move {
        store.commit(put("/a", "1")).await.unwrap();
        for (refused, expected) in [
            (put("/b", "2").put("/c", "3").expect("/a", Compare::Absent), "nothing"),
            (put("/b", "2").expect("/x", Compare::Exists), "something"),
            (put("/b", "2").expect("/a", Compare::Modified(7)), "revision 7"),
            (put("/b", "2").behind(9), "revision 9"),
            (put("/b", "2").expect("/a", Compare::Exists).expect("/b", Compare::Exists), "something"),
        ] {
            match store.commit(refused).await {
                Err(StoreError::Conflict { expected: said, .. }) => assert_eq!(said, expected),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(keys(&*store, "").await, ["/a"]);
        assert_eq!(store.revision(), 1);
        let good = put("/b", "2")
            .delete("/a")
            .expect("/a", Compare::Modified(1))
            .expect("/b", Compare::Absent)
            .behind(1);
        assert_eq!(store.commit(good).await.unwrap().revision, 2);
        assert_eq!(keys(&*store, "").await, ["/b"]);
    });
}

#[test]
fn a_transaction_that_is_too_large_is_refused_whole() {
    against_every_kind(|store| async move {
        let large = put("/small", "1").put("/large", vec![0_u8; usher_store::MAX_TRANSACTION_BYTES]);
        assert!(matches!(store.commit(large).await, Err(StoreError::TooLarge { .. })));
        assert_eq!(store.revision(), 0);
    });
}

#[test]
fn a_watch_sees_every_transaction_from_its_revision_on() {
    against_every_kind(|store| async move {
        store.commit(put("/r/1", "a")).await.unwrap();
        store.commit(put("/x/1", "other")).await.unwrap();
        let mut early = store.watch("/r/", 1);
        let mut late = store.watch("/r/", 3);
        store.commit(put("/r/2", "b").put("/x/2", "other").delete("/r/1")).await.unwrap();
        let first = early.next().await.unwrap();
        assert_eq!((first.revision, first.events.len()), (1, 1));
        let second = early.next().await.unwrap();
        assert_eq!((second.revision, second.events.len()), (3, 2));
        assert_eq!(second.events[1].before.as_ref().unwrap().value, "a");
        assert_eq!(second.events[1].after, None);
        assert_eq!(late.next().await.unwrap(), second);
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
                        store.commit(put(&format!("/r/{writer}-{turn}"), "x")).await.unwrap();
                    }
                })
            })
            .collect();
        let listing = store.list("/r/").await.unwrap();
        let mut watch = store.watch("/r/", listing.revision + 1);
        let mut seen: Vec<String> = listing.entries.iter().map(|entry| entry.key.to_string()).collect();
        assert_eq!(seen.len() as u64, listing.revision);
        let mut newest = listing.revision;
        while newest < 200 {
            let batch = watch.next().await.unwrap();
            assert_eq!(batch.revision, newest + 1);
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
        let mut watch = store.watch("/", 1);
        // More than the ring keeps, in few transactions.
        for _ in 0..10 {
            store.commit(put("/a", &"x".repeat(4 << 20))).await.unwrap();
        }
        match watch.next().await {
            Err(WatchError::Compacted { oldest }) => {
                assert!(oldest > 1);
                let mut again = store.watch("/", oldest);
                assert_eq!(again.next().await.unwrap().revision, oldest);
            }
            other => panic!("{:?}", other.map(|batch| batch.revision)),
        }
    });
}

#[test]
fn many_entries_are_loaded_and_listed_at_once() {
    against_every_kind(|store| async move {
        let value = Bytes::from(vec![b'x'; 400]);
        let mut transaction = Transaction::default();
        for id in 0..20_000 {
            transaction.writes.push(Write::Put { key: format!("/r/{id:06}"), value: value.clone() });
        }
        store.commit(transaction).await.unwrap();
        let listing = store.list("/r/").await.unwrap();
        assert_eq!((listing.revision, listing.entries.len()), (1, 20_000));
    });
}
