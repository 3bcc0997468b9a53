//! Keys with a time to live in the embedded store: they end on time, also across restarts and the loss of the data file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use usher_store::embedded::{Embedded, Options};
use usher_store::simulated::Simulated;
use usher_store::{Batch, Store as _, Transaction};

/// A store on a simulated disk, by a clock that is moved by hand.
struct Bench {
    disk: Simulated,
    now: Arc<AtomicU64>,
    least_fold_bytes: u64,
}

impl Bench {
    fn new() -> Self {
        Self { disk: Simulated::new(), now: Arc::new(AtomicU64::new(1_000_000)), least_fold_bytes: 1 << 20 }
    }

    fn open(&self) -> Embedded {
        self.open_on(&self.disk)
    }

    fn open_on(&self, disk: &Simulated) -> Embedded {
        let now = Arc::clone(&self.now);
        let options = Options {
            disk: Arc::new(disk.clone()),
            clock: Arc::new(move || now.load(Ordering::SeqCst)),
            least_fold_bytes: self.least_fold_bytes,
        };
        Embedded::open_on(Path::new("/data"), options).unwrap()
    }

    fn pass(&self, secs: u64) {
        self.now.fetch_add(secs * 1000, Ordering::SeqCst);
    }

    /// The same disk without its data file.
    fn without_data_file(&self) -> Simulated {
        let mut files = self.disk.content();
        files.retain(|(path, _)| !path.ends_with("usher.redb"));
        Simulated::with_files(files)
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn put(store: &Embedded, key: &str, ttl_secs: Option<u64>) {
    wait(store.commit(Transaction::default().put_for(key, "value", ttl_secs))).unwrap();
}

fn keys(store: &Embedded) -> Vec<String> {
    wait(store.list("/")).unwrap().entries.iter().map(|entry| entry.key.to_string()).collect()
}

fn deleted(batch: &Batch) -> Vec<&str> {
    batch.events.iter().filter(|event| event.after.is_none()).map(|event| &*event.key).collect()
}

#[test]
fn a_key_ends_by_itself_in_a_transaction_of_its_own() {
    let bench = Bench::new();
    let store = bench.open();
    put(&store, "/a", Some(10));
    put(&store, "/b", Some(10));
    put(&store, "/c", Some(20));
    put(&store, "/stays", None);
    let mut watch = store.watch("/", 5);
    bench.pass(10);
    let batch = wait(watch.next()).unwrap();
    assert_eq!((batch.revision, deleted(&batch)), (5, vec!["/a", "/b"]));
    assert_eq!(batch.events[0].before.as_ref().unwrap().modified, 1);
    assert_eq!(keys(&store), ["/c", "/stays"]);
    bench.pass(10);
    assert_eq!(deleted(&wait(watch.next()).unwrap()), ["/c"]);
    assert_eq!((store.revision(), wait(store.leases()).unwrap()), (6, Vec::new()));
}

#[test]
fn a_later_write_gives_another_end_or_none() {
    let bench = Bench::new();
    let store = bench.open();
    for key in ["/longer", "/stays", "/made-anew", "/ends"] {
        put(&store, key, Some(10));
    }
    put(&store, "/longer", Some(100));
    put(&store, "/stays", None);
    wait(store.commit(Transaction::default().delete("/made-anew"))).unwrap();
    put(&store, "/made-anew", None);
    let mut watch = store.watch("/", store.revision() + 1);
    bench.pass(10);
    assert_eq!(deleted(&wait(watch.next()).unwrap()), ["/ends"]);
    assert_eq!(keys(&store), ["/longer", "/made-anew", "/stays"]);
    bench.pass(90);
    assert_eq!(deleted(&wait(watch.next()).unwrap()), ["/longer"]);
    assert_eq!(keys(&store), ["/made-anew", "/stays"]);
}

#[test]
fn what_ended_while_the_store_was_closed_is_never_seen_again() {
    let bench = Bench::new();
    let store = bench.open();
    put(&store, "/a", Some(10));
    put(&store, "/b", Some(30));
    drop(store);
    bench.pass(5);
    let store = bench.open();
    assert_eq!((keys(&store), store.revision()), (vec!["/a".to_owned(), "/b".to_owned()], 2));
    drop(store);
    bench.pass(5);
    let store = bench.open();
    assert_eq!((keys(&store), store.revision()), (vec!["/b".to_owned()], 3));
    let leases = wait(store.leases()).unwrap();
    assert_eq!(leases.len(), 1);
    assert_eq!((leases[0].modified, leases[0].until_unix_ms), (2, 1_030_000));
}

#[test]
fn a_lost_data_file_takes_no_end_with_it() {
    // With the change log alone, and with a snapshot.
    for least_fold_bytes in [1 << 20, 64] {
        let bench = Bench { least_fold_bytes, ..Bench::new() };
        let store = bench.open();
        put(&store, "/a", Some(10));
        put(&store, "/b", Some(30));
        put(&store, "/b", None);
        put(&store, "/c", Some(10));
        put(&store, "/c", Some(30));
        drop(store);
        let without = bench.without_data_file();
        let snapshot = without.content().iter().any(|(path, _)| path.extension().unwrap() == "bin");
        assert_eq!(snapshot, least_fold_bytes == 64);
        bench.pass(5);
        let store = bench.open_on(&without);
        assert!(store.describe().recovered.is_some());
        assert_eq!(keys(&store), ["/a", "/b", "/c"]);
        drop(store);
        bench.pass(5);
        let store = bench.open_on(&without);
        assert_eq!(keys(&store), ["/b", "/c"]);
        let mut watch = store.watch("/", store.revision() + 1);
        bench.pass(20);
        assert_eq!(deleted(&wait(watch.next()).unwrap()), ["/c"]);
    }
}

#[test]
fn a_full_disk_only_delays_an_end() {
    let bench = Bench::new();
    let store = bench.open();
    put(&store, "/a", Some(10));
    let mut watch = store.watch("/", 2);
    bench.disk.fail(Some(usher_store::simulated::Failing {
        nth: 1,
        failure: usher_store::simulated::Failure::Full,
        lasting: true,
    }));
    bench.pass(10);
    assert!(wait(store.commit(Transaction::default().put("/b", "x"))).is_err());
    assert_eq!(store.revision(), 1);
    bench.disk.fail(None);
    assert_eq!(deleted(&wait(watch.next()).unwrap()), ["/a"]);
    assert_eq!(store.revision(), 2);
}
