//! A folder that one process lets go of, so that another one opens it, and takes back.

use usher_store::embedded::Embedded;
use usher_store::{Store as _, StoreError, Transaction, WatchError};

#[tokio::test]
async fn a_folder_changes_hands_and_comes_back_with_all_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let put = |key: &str| Transaction::default().put(key, "x");
    let first = Embedded::open(folder.path()).unwrap();
    first.commit(put("/a/1")).await.unwrap();
    assert!(matches!(Embedded::open(folder.path()), Err(StoreError::Locked { .. })));
    let mut watch = first.watch("/a/", 2);

    first.release().await.unwrap();
    assert!(matches!(first.commit(put("/a/lost")).await, Err(StoreError::Unavailable(_))));
    let second = Embedded::open(folder.path()).unwrap();
    assert!(second.get("/a/1").await.unwrap().is_some());
    assert_eq!(second.commit(put("/a/2")).await.unwrap().revision, 2);
    assert!(matches!(first.resume().await, Err(StoreError::Locked { .. })));
    drop(second);

    first.resume().await.unwrap();
    // Whoever watches has missed something, and is told so.
    assert_eq!(watch.next().await, Err(WatchError::Compacted { oldest: 3 }));
    assert_eq!(first.revision(), 2);
    assert!(first.get("/a/2").await.unwrap().is_some());
    assert_eq!(first.commit(put("/a/3")).await.unwrap().revision, 3);
    // Nothing happens where nothing was let go of.
    first.resume().await.unwrap();
    assert_eq!(first.list("/a/").await.unwrap().entries.len(), 3);

    // Nobody else has written: whoever watches goes on.
    let mut watch = first.watch("/a/", 4);
    first.release().await.unwrap();
    first.resume().await.unwrap();
    first.commit(put("/a/4")).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, 4);
    drop(first);
    assert_eq!(Embedded::open(folder.path()).unwrap().revision(), 4);
}

#[tokio::test]
async fn a_commit_that_waits_is_written_before_the_folder_is_let_go_of() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let commits: Vec<_> =
        (0..200).map(|at| store.commit(Transaction::default().put(format!("/a/{at}"), "x"))).collect();
    store.release().await.unwrap();
    let mut written = 0;
    for commit in commits {
        commit.await.unwrap();
        written += 1;
    }
    assert_eq!(Embedded::open(folder.path()).unwrap().list("/a/").await.unwrap().entries.len(), written);
}
