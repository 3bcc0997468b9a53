//! What a backup holds in memory while it is made, counted by the allocator.
#![cfg(test)]

use tikv_jemalloc_ctl::{epoch, stats};
use usher_store::embedded::Embedded;
use usher_store::{Store as _, Transaction, archive};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes that this process holds at the moment.
fn held() -> usize {
    epoch::advance().unwrap();
    stats::allocated::read().unwrap()
}

#[tokio::test]
async fn a_backup_never_holds_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    for some in 0..10 {
        let put = (0..1_000).fold(Transaction::default(), |put, at| {
            put.put(format!("/apisix/routes/{some}-{at}"), "x".repeat(4000))
        });
        store.commit(put).await.unwrap();
    }
    // The store's own pages are at hand by now, as far as it keeps any.
    assert_eq!(archive::write(&store, std::io::sink()).await.unwrap().entries, 10_000);
    let before = held();
    let mut pieces = archive::pieces(&store).await.unwrap();
    let mut most = 0;
    while let Some(piece) = pieces.next().await {
        piece.unwrap();
        most = most.max(held().saturating_sub(before));
    }
    println!("a backup of {} MiB held {} KiB at most", pieces.info().bytes >> 20, most >> 10);
    assert!(pieces.info().bytes > 38 << 20);
    assert!(most < 4 << 20, "{most} bytes");
}

#[tokio::test]
async fn a_backup_of_a_store_that_is_handed_over_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let put = (0..2_000)
        .fold(Transaction::default(), |put, at| put.put(format!("/apisix/routes/{at:04}"), "x".repeat(1000)));
    store.commit(put).await.unwrap();
    let mut pieces = archive::pieces(&store).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    store.release().await.unwrap();
    let mut error = None;
    while let Some(piece) = pieces.next().await {
        error = piece.err();
    }
    assert!(error.is_some(), "it ended as if it were whole");
}
