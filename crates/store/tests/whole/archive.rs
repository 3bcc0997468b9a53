//! Backups: a consistent cut of a store that is written to, whole or refused, and a store made of it again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use usher_store::archive::{self, ArchiveError};
use usher_store::embedded::{Embedded, Options};
use usher_store::memory::Memory;
use usher_store::simulated::Simulated;
use usher_store::{Store, Transaction, Write};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn put(key: &str, value: impl Into<bytes::Bytes>) -> Transaction {
    Transaction::default().put(key, value)
}

/// An archive of a store with a bit of everything.
async fn small(store: &dyn Store) -> Vec<u8> {
    store.commit(put("/apisix/routes/1", r#"{"uri":"/a","key":"$seal$v1$abc"}"#)).await.unwrap();
    store.commit(put("/usher/history/1", "line\nbreak \"quoted\" \u{e9}\u{1f600}")).await.unwrap();
    store.commit(put("/elsewhere/1", "not kept")).await.unwrap();
    store.commit(put("/apisix/routes/1", r#"{"uri":"/b"}"#)).await.unwrap();
    store.commit(put("/apisix/protos/1", vec![0xff, 0, 0xfe])).await.unwrap();
    let mut out = Vec::new();
    archive::write(store, &mut out).await.unwrap();
    out
}

#[test]
fn what_is_written_is_read_and_restored() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        for store in [
            Arc::new(Memory::new()) as Arc<dyn Store>,
            Arc::new(Embedded::open(&folder.path().join("first")).unwrap()),
        ] {
            let bytes = small(&*store).await;
            let read = archive::read(&*bytes).unwrap();
            assert_eq!((read.info.store.as_str(), read.info.revision), (store.describe().kind, 5));
            assert_eq!((read.info.entries, read.info.bytes), (3, bytes.len() as u64));
            assert!(read.info.one_revision && read.info.written_unix_ms > 1_700_000_000_000);
            let mut expected = store.list("/apisix/").await.unwrap().entries;
            expected.extend(store.list("/usher/").await.unwrap().entries);
            let entries: Vec<_> = read.entries.into_iter().map(|archived| archived.entry).collect();
            assert_eq!(entries, expected);

            let place = folder.path().join(store.describe().kind);
            assert_eq!(archive::restore(&place, &*bytes).unwrap(), read.info);
            let restored = Embedded::open(&place).unwrap();
            assert_eq!((restored.revision(), restored.describe().recovered), (5, None));
            assert_eq!(restored.list("/").await.unwrap().entries, expected);
            assert_eq!(restored.commit(put("/apisix/routes/2", "{}")).await.unwrap().revision, 6);
        }
    });
}

#[test]
fn ends_are_kept() {
    let (disk, now) = (Simulated::new(), Arc::new(AtomicU64::new(1_000_000)));
    let options = || {
        let now = Arc::clone(&now);
        let clock = Arc::new(move || now.load(Ordering::SeqCst));
        Options { disk: Arc::new(disk.clone()), clock, ..Options::default() }
    };
    let runtime = runtime();
    let store = Embedded::open_on(Path::new("/one"), options()).unwrap();
    let transaction = put("/apisix/routes/1", "{}").put_for("/apisix/routes/2", "{}", Some(60));
    runtime.block_on(store.commit(transaction)).unwrap();
    let mut bytes = Vec::new();
    runtime.block_on(archive::write(&store, &mut bytes)).unwrap();
    let ends: Vec<_> =
        archive::read(&*bytes).unwrap().entries.into_iter().map(|archived| archived.until_unix_ms).collect();
    assert_eq!(ends, [None, Some(1_060_000)]);
    archive::restore_on(Path::new("/two"), &*bytes, options()).unwrap();
    now.store(1_060_000, Ordering::SeqCst);
    let restored = Embedded::open_on(Path::new("/two"), options()).unwrap();
    let listing = runtime.block_on(restored.list("/")).unwrap();
    assert_eq!((listing.entries.len(), listing.revision), (1, 2));
}

#[test]
fn a_folder_with_a_store_is_refused_and_stays() {
    let runtime = runtime();
    let bytes = runtime.block_on(small(&Memory::new()));
    for leave in ["usher.redb", "changes-00000000000000000000.log"] {
        let folder = tempfile::tempdir().unwrap();
        drop(Embedded::open(folder.path()).unwrap());
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            if !path.ends_with(leave) {
                std::fs::remove_file(path).unwrap();
            }
        }
        let before = std::fs::read(folder.path().join(leave)).unwrap();
        match archive::restore(folder.path(), &*bytes) {
            Err(error @ ArchiveError::Taken { .. }) => {
                assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(std::fs::read(folder.path().join(leave)).unwrap(), before);
    }
}

#[test]
fn any_damage_is_refused_with_its_line() {
    let bytes = runtime().block_on(small(&Memory::new()));
    let folder = tempfile::tempdir().unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 7);
        assert!(archive::read(&*damaged).is_err(), "byte {at}");
        assert!(archive::read(&bytes[..at]).is_err(), "cut at {at}");
    }
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (name, wanted, damaged) in [
        ("a line too few", "line 4 of", [lines[0], lines[1], lines[2], lines[4]].join("\n") + "\n"),
        ("no end", "line 5 of", lines[..4].join("\n") + "\n"),
        ("more behind", "line 5 of", text.clone() + "{}\n"),
        ("another version", "has version 2", text.replace("\"usher_archive\":1", "\"usher_archive\":2")),
        ("nothing", "line 1 of", String::new()),
        ("something else", "line 1 of", "routes:\n  - uri: /\n".to_owned()),
    ] {
        let place = folder.path().join("data");
        let error = archive::restore(&place, damaged.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{name}: {error}");
        assert!(!place.exists(), "{name}");
    }
}

#[test]
fn a_backup_of_a_store_that_is_written_to_is_of_one_revision() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(&folder.path().join("data")).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let writer = runtime.spawn({
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::SeqCst) {
                let next = (store.revision() + 1).to_string();
                let both = put("/apisix/routes/left", next.clone()).put("/usher/right", next.clone());
                store.commit(both.put(format!("/usher/each/{next:0>9}"), next)).await.unwrap();
            }
        }
    });
    let mut revisions = Vec::new();
    while revisions.len() < 20 {
        let mut bytes = Vec::new();
        let info = runtime.block_on(archive::write(&*store, &mut bytes)).unwrap();
        if info.revision == *revisions.last().unwrap_or(&0) {
            std::thread::yield_now();
            continue;
        }
        revisions.push(info.revision);
        let read = archive::read(&*bytes).unwrap();
        let revision = info.revision.to_string();
        let of = |key: &str| {
            let found = read.entries.iter().find(|archived| &*archived.entry.key == key).unwrap();
            found.entry.value.clone()
        };
        assert_eq!(
            (of("/apisix/routes/left"), of("/usher/right")),
            (revision.clone().into(), revision.into())
        );
        assert_eq!(info.entries, 2 + info.revision);
    }
    stop.store(true, Ordering::SeqCst);
    runtime.block_on(writer).unwrap();
}

#[test]
fn ten_thousand_routes_are_backed_up_and_restored() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let store = Memory::new();
    let route = |id: u64| {
        format!(
            r#"{{"id":"{id}","uri":"/api/{id}/*","upstream":{{"type":"roundrobin","nodes":{{"10.0.0.{}:80":1}}}},"plugins":{{"limit-count":{{"count":10,"time_window":60,"rejected_code":429}}}}}}"#,
            id % 250
        )
    };
    let writes = (0..10_000)
        .map(|id| Write::Put { key: format!("/apisix/routes/{id}"), value: route(id).into(), ttl_secs: None })
        .collect();
    runtime.block_on(store.commit(Transaction { writes, ..Transaction::default() })).unwrap();
    let began = Instant::now();
    let mut bytes = Vec::new();
    runtime.block_on(archive::write(&store, &mut bytes)).unwrap();
    let backed_up = began.elapsed();
    let place = folder.path().join("data");
    archive::restore(&place, &*bytes).unwrap();
    let restored = began.elapsed() - backed_up;
    let opened = Embedded::open(&place).unwrap();
    let all = began.elapsed() - backed_up - restored;
    assert_eq!(runtime.block_on(opened.list("/apisix/")).unwrap().entries.len(), 10_000);
    println!(
        "10,000 routes, {} KiB: backed up in {backed_up:.0?}, restored in {restored:.0?}, opened in {all:.0?}",
        bytes.len() >> 10
    );
}
