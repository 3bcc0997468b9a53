//! How fast the embedded store commits: printed, with what was committed checked. `USHER_TORTURE_SPEED` makes the counts ten times as large.
#![cfg(test)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use usher_store::embedded::Embedded;
use usher_store::{Store as _, Transaction};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn times() -> usize {
    if std::env::var_os("USHER_TORTURE_SPEED").is_some() { 10 } else { 1 }
}

fn route(id: usize) -> String {
    format!(
        r#"{{"id":"{id}","uri":"/api/{id}/*","upstream":{{"type":"roundrobin","nodes":{{"10.0.0.1:80":1}}}}}}"#
    )
}

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

#[test]
fn large_sets_are_committed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let runtime = runtime();
    let (sets, each) = (times(), 10_000);
    let began = Instant::now();
    for set in 0..sets {
        let ids = set * each..(set + 1) * each;
        let transaction = ids.fold(Transaction::default(), |transaction, id| {
            transaction.put(format!("/apisix/routes/{id:06}"), route(id))
        });
        runtime.block_on(store.commit(transaction)).unwrap();
    }
    let time = began.elapsed();
    drop(store);
    let closed = began.elapsed() - time;
    let began = Instant::now();
    let store = Embedded::open(folder.path()).unwrap();
    let opened = began.elapsed();
    assert_eq!(runtime.block_on(store.list("/apisix/routes/")).unwrap().entries.len(), sets * each);
    println!(
        "{} routes in sets of {each}: {time:.1?} ({:.0}/s); closed in {closed:.1?}, opened and checked in {opened:.1?}",
        sets * each,
        rate(sets * each, time),
    );
}

#[test]
fn single_writes_share_their_syncs_where_there_are_many() {
    let runtime = runtime();
    for writers in [1, 8, 64] {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::open(folder.path()).unwrap());
        let each = (times() * 200 * writers.min(16)) / writers;
        let began = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let store = Arc::clone(&store);
                runtime.spawn(async move {
                    for turn in 0..each {
                        let id = turn * writers + writer;
                        let put = Transaction::default().put(format!("/apisix/routes/{id}"), route(id));
                        store.commit(put).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
        let time = began.elapsed();
        assert_eq!(store.revision(), (writers * each) as u64);
        assert_eq!(runtime.block_on(store.list("/apisix/")).unwrap().entries.len(), writers * each);
        println!(
            "{} durable writes by {writers} at once: {time:.1?} ({:.0}/s)",
            writers * each,
            rate(writers * each, time)
        );
    }
}
