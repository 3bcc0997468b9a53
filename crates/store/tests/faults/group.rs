//! What waits for the writer is committed together, and keeps all promises that it would have alone.

use usher_store::simulated::Simulated;
use usher_store::{Compare, Store as _, StoreError, Transaction};

use crate::workload::{commit_together, open, wait};

fn put(key: &str, value: &str) -> Transaction {
    Transaction::default().put(key, value.to_owned())
}

/// Keeps the writer busy long enough that what is asked meanwhile waits.
fn long() -> Transaction {
    (0..30_000).fold(Transaction::default(), |long, id| long.put(format!("/long/{id}"), "x"))
}

#[test]
fn what_waits_shares_one_sync_and_has_its_own_revision() {
    let disk = Simulated::new();
    let store = open(&disk).unwrap();
    let mut watch = store.watch("/r/", 1);
    let mut transactions = vec![long()];
    transactions.extend((0..100).map(|id| put(&format!("/r/{id}"), "x")));
    let before = disk.syncs();
    let revisions: Vec<u64> =
        commit_together(&store, &transactions).into_iter().map(|outcome| outcome.unwrap().revision).collect();
    assert_eq!(revisions, (1..=101).collect::<Vec<_>>());
    let syncs = disk.syncs() - before;
    assert!(syncs < 50, "{syncs} syncs for 101 transactions, of which 100 waited for the first");
    for id in 0..100 {
        let batch = wait(watch.next()).unwrap();
        assert_eq!((batch.revision, &*batch.events[0].key), (id + 2, &*format!("/r/{id}")));
        let entry = batch.events[0].after.as_ref().unwrap();
        assert_eq!((entry.created, entry.modified), (id + 2, id + 2));
    }
}

#[test]
fn each_compares_with_what_those_before_it_did() {
    let disk = Simulated::new();
    let store = open(&disk).unwrap();
    let transactions = [
        long(),
        put("/a", "first").expect("/a", Compare::Absent),
        put("/a", "second").put("/b", "never").expect("/a", Compare::Absent),
        put("/a", "third").expect("/a", Compare::Modified(2)),
        put("/a", "fourth").put("/b", "never").expect("/a", Compare::Modified(2)),
        Transaction::default().delete("/a").expect("/b", Compare::Absent),
        put("/b", "never").expect("/a", Compare::Exists),
        put("/a", "fifth").expect("/a", Compare::Absent),
    ];
    let outcomes: Vec<Option<u64>> = commit_together(&store, &transactions)
        .into_iter()
        .map(|outcome| match outcome {
            Ok(committed) => Some(committed.revision),
            Err(StoreError::Conflict { .. }) => None,
            Err(error) => panic!("{error}"),
        })
        .collect();
    assert_eq!(outcomes, [Some(1), Some(2), None, Some(3), None, Some(4), None, Some(5)]);
    let entry = wait(store.get("/a")).unwrap().unwrap();
    assert_eq!((&*entry.value, entry.created, entry.modified), (&b"fifth"[..], 5, 5));
    assert_eq!(wait(store.get("/b")).unwrap(), None);
    assert_eq!(store.revision(), 5);
}

#[test]
fn a_disk_that_is_full_in_the_middle_refuses_all_that_went_together() {
    let disk = Simulated::new();
    let store = open(&disk).unwrap();
    wait(store.commit(put("/counted/first", "x"))).unwrap();
    disk.set_room(Some(disk.pages() + 4));
    let transactions: Vec<Transaction> =
        (0..40).map(|id| put(&format!("/counted/{id}"), &"x".repeat(20_000))).collect();
    let mut watch = store.watch("/", 2);
    let outcomes = commit_together(&store, &transactions);
    let good: Vec<usize> = (0..40).filter(|id| outcomes[*id].is_ok()).collect();
    assert!(good.len() < 40);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(StoreError::Full))), "{outcomes:?}");
    let listing = wait(store.list("/counted/")).unwrap();
    assert_eq!((listing.entries.len(), listing.revision), (1 + good.len(), 1 + good.len() as u64));
    for id in &good {
        assert!(wait(store.get(&format!("/counted/{id}"))).unwrap().is_some());
    }
    disk.set_room(None);
    let again = commit_together(&store, &transactions);
    assert!(again.iter().all(Result::is_ok), "{again:?}");
    // Watchers saw each of them once, in order.
    for revision in 2..=store.revision() {
        assert_eq!(wait(watch.next()).unwrap().revision, revision);
    }
}
