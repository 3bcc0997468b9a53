//! Writers of different objects share a sync of the disk, and none of them overtakes what it was checked against.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::json;
use usher_admin::service::{Rules, ServiceError};
use usher_store::embedded::disk::{Disk, DiskFile, Real};
use usher_store::embedded::{Embedded, Options};
use usher_store::{Before, Committed, Store, StoreError, Transaction};

use crate::bench::{Bench, admin, gone, nodes, put, route, service, upstream, viewer, wanted};

/// A disk whose syncs are counted, and wait while it is told to.
#[derive(Clone, Debug, Default)]
struct Gate {
    shut: Arc<(Mutex<bool>, Condvar)>,
    syncs: Arc<AtomicUsize>,
}

impl Gate {
    fn shut(&self, shut: bool) {
        *self.shut.0.lock().unwrap() = shut;
        self.shut.1.notify_all();
    }

    fn pass(&self) {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        let shut = self.shut.0.lock().unwrap();
        drop(self.shut.1.wait_while(shut, |shut| *shut).unwrap());
    }
}

#[derive(Debug)]
struct File(Box<dyn DiskFile>, Gate);

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.pass();
        self.0.sync()
    }
}

impl Disk for Gate {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        Real.make_folder(folder)
    }

    fn lock(&self, file: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        Real.lock(file)
    }

    fn files(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Real.files(folder)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File(Real.create(file)?, self.clone())))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File(Real.open(file)?, self.clone())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Real.rename(from, to)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        Real.remove(file)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Real.sync_folder(folder)
    }
}

/// An embedded store that counts what it was asked to commit.
struct Counted {
    inner: Embedded,
    asked: AtomicUsize,
}

impl Before for Counted {
    fn behind(&self) -> &dyn Store {
        &self.inner
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        let asked = self.inner.commit(transaction);
        self.asked.fetch_add(1, Ordering::SeqCst);
        asked
    }
}

struct Slow {
    gate: Gate,
    store: Arc<Counted>,
    bench: Arc<Bench>,
    _folder: tempfile::TempDir,
}

impl Slow {
    async fn new() -> Self {
        let (gate, folder) = (Gate::default(), tempfile::tempdir().unwrap());
        let options = Options { disk: Arc::new(gate.clone()), ..Options::default() };
        let inner = Embedded::open_on(folder.path(), options).unwrap();
        let store = Arc::new(Counted { inner, asked: AtomicUsize::new(0) });
        let bench = Bench::with(Arc::clone(&store) as Arc<dyn Store>, Rules::default()).await;
        Self { gate, store, bench: Arc::new(bench), _folder: folder }
    }

    /// Waits until so many commits were asked for since.
    async fn asked(&self, since: usize, count: usize) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.store.asked.load(Ordering::SeqCst) < since + count {
            assert!(Instant::now() < end, "only {} were asked for", self.store.asked.load(Ordering::SeqCst));
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_writers_of_different_objects_share_a_few_syncs() {
    const WRITERS: usize = 64;
    let slow = Slow::new().await;
    slow.bench.put(upstream("u"), nodes()).await.unwrap();
    let (asked, syncs) = (slow.store.asked.load(Ordering::SeqCst), slow.gate.syncs.load(Ordering::SeqCst));
    slow.gate.shut(true);
    let tasks: Vec<_> = (0..WRITERS)
        .map(|at| {
            let bench = Arc::clone(&slow.bench);
            tokio::spawn(async move {
                let value = json!({ "uri": format!("/{at}"), "upstream_id": "u" });
                bench.put(route(&format!("r{at}")), value).await.unwrap().revision
            })
        })
        .collect();
    // The first one waits for the disk, and all others are on their way behind it.
    slow.asked(asked, WRITERS).await;
    slow.gate.shut(false);
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.push(task.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (2..2 + WRITERS as u64).collect::<Vec<_>>());
    let syncs = slow.gate.syncs.load(Ordering::SeqCst) - syncs;
    assert!(syncs <= 12, "{syncs} syncs for {WRITERS} writers");
    assert_eq!(slow.store.asked.load(Ordering::SeqCst) - asked, WRITERS, "nobody tried in vain");
    // History and audit are as if they had come one after another.
    let query = usher_admin::service::HistoryQuery { limit: 200, ..Default::default() };
    let history = slow.bench.service.history(&viewer(), query).await.unwrap();
    let told: Vec<u64> = history.iter().map(|entry| entry.revision).collect();
    assert_eq!(told, (1..2 + WRITERS as u64).rev().collect::<Vec<_>>());
    let verdict = slow.bench.service.verify_audit(&admin()).await.unwrap();
    assert_eq!((verdict.records, verdict.broken), (1 + WRITERS as u64, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_overtakes_what_it_was_checked_against() {
    let slow = Slow::new().await;
    slow.bench.put(upstream("u"), nodes()).await.unwrap();
    slow.bench.put(upstream("v"), nodes()).await.unwrap();
    let asked = slow.store.asked.load(Ordering::SeqCst);
    slow.gate.shut(true);
    let spawn = |edits: Vec<usher_model::change::Edit>| {
        let bench = Arc::clone(&slow.bench);
        tokio::spawn(async move { bench.service.write(&admin(), wanted(edits)).await })
    };
    let on = |upstream: &str| json!({ "uri": "/a", "upstream_id": upstream });
    // A route on an upstream is on its way; then that upstream is deleted, a service that needs a new one comes with it, and a route on that.
    let first = spawn(vec![put(route("1"), on("u"))]);
    slow.asked(asked, 1).await;
    let deleted = spawn(vec![gone(upstream("u"))]);
    let made = spawn(vec![put(upstream("n"), nodes()), put(service("s"), json!({ "upstream_id": "n" }))]);
    let same = spawn(vec![put(route("1"), on("v"))]);
    slow.gate.shut(false);
    first.await.unwrap().unwrap();
    let refused = deleted.await.unwrap();
    // Whether the route had left it already when its turn came is a matter of order; it never dangles.
    let route_now = {
        made.await.unwrap().unwrap();
        same.await.unwrap().unwrap();
        slow.bench.value(route("1")).await
    };
    assert_eq!(route_now["upstream_id"], "v");
    match refused {
        Ok(_) => assert!(slow.bench.service.get(&viewer(), &upstream("u")).await.unwrap().is_none()),
        Err(error) => assert!(matches!(error, ServiceError::StillUsed(_)), "{error}"),
    }
    // What is refused because of what was just on its way is refused, and what only needed that is taken.
    let unknown = slow.bench.refusal(route("2"), on("nowhere")).await;
    assert!(unknown.contains("nowhere"), "{unknown}");
    assert_eq!(slow.bench.service.verify_audit(&admin()).await.unwrap().broken, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_needs_what_is_on_its_way_waits_for_it() {
    let slow = Slow::new().await;
    slow.bench.put(upstream("u"), nodes()).await.unwrap();
    let asked = slow.store.asked.load(Ordering::SeqCst);
    slow.gate.shut(true);
    let bench = Arc::clone(&slow.bench);
    let made = tokio::spawn(async move { bench.put(upstream("n"), nodes()).await });
    slow.asked(asked, 1).await;
    let bench = Arc::clone(&slow.bench);
    let needs =
        tokio::spawn(async move { bench.put(route("1"), json!({ "uri": "/a", "upstream_id": "n" })).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!needs.is_finished(), "its upstream isn't there yet, and isn't missing either");
    slow.gate.shut(false);
    made.await.unwrap().unwrap();
    needs.await.unwrap().unwrap();
}
