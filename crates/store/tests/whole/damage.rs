//! Damaged files: the last good state is served and said, or the store refuses by name; it never starts empty by itself.

use std::fs;
use std::path::{Path, PathBuf};

use usher_store::embedded::Embedded;
use usher_store::{Store as _, StoreError, Transaction};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A folder with 50 keys, written one by one.
fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    runtime().block_on(async {
        for id in 0..50 {
            store
                .commit(Transaction::default().put(format!("/r/{id:02}"), format!("value {id}")))
                .await
                .unwrap();
        }
    });
    folder
}

fn named(folder: &Path, start: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start))
        .collect();
    found.sort();
    found
}

fn count(store: &Embedded) -> usize {
    runtime().block_on(store.list("/r/")).unwrap().entries.len()
}

#[test]
fn a_destroyed_data_file_is_brought_back_whole() {
    for damage in ["zeroes", "cut", "empty", "gone", "flipped"] {
        let folder = filled();
        let path = folder.path().join("usher.redb");
        let mut bytes = fs::read(&path).unwrap();
        match damage {
            "zeroes" => bytes.fill(0),
            "cut" => bytes.truncate(bytes.len() / 3),
            "empty" => bytes.clear(),
            "flipped" => bytes.iter_mut().skip(4096).for_each(|byte| *byte ^= 0x55),
            _ => {}
        }
        if damage == "gone" {
            fs::remove_file(&path).unwrap()
        } else {
            fs::write(&path, &bytes).unwrap()
        }
        let store = Embedded::open(folder.path()).unwrap_or_else(|error| panic!("{damage}: {error}"));
        assert_eq!(count(&store), 50, "{damage}");
        assert_eq!(store.revision(), 50, "{damage}");
        let recovered = store.describe().recovered.unwrap_or_else(|| panic!("{damage}: says nothing"));
        assert_eq!(recovered.revision, 50);
        assert_eq!(
            named(folder.path(), "usher.redb.damaged-").len(),
            usize::from(damage != "gone"),
            "{damage}"
        );
        // It goes on from there, and the next start finds nothing to repair.
        runtime().block_on(store.commit(Transaction::default().put("/r/next", "x"))).unwrap();
        drop(store);
        let again = Embedded::open(folder.path()).unwrap();
        assert_eq!((again.revision(), count(&again), again.describe().recovered), (51, 51, None), "{damage}");
    }
}

#[test]
fn any_flipped_byte_is_repaired_or_harmless() {
    let folder = filled();
    let path = folder.path().join("usher.redb");
    let good = fs::read(&path).unwrap();
    let mut repaired = 0;
    for at in (0..good.len()).step_by(good.len() / 97) {
        let copy = tempfile::tempdir().unwrap();
        for file in fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        fs::write(copy.path().join("usher.redb"), &bytes).unwrap();
        match Embedded::open(copy.path()) {
            Ok(store) => {
                assert_eq!((count(&store), store.revision()), (50, 50), "byte {at}");
                repaired += usize::from(store.describe().recovered.is_some());
            }
            // A flipped version number reads as a file of a later version: refused, nothing touched.
            Err(StoreError::Folder { .. }) => {
                assert_eq!(fs::read(copy.path().join("usher.redb")).unwrap().len(), good.len())
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(repaired > 0);
}

#[test]
fn a_torn_end_of_the_log_is_cut_off() {
    let folder = filled();
    let log = named(folder.path(), "changes-").pop().unwrap();
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 7]).unwrap();
    fs::write(folder.path().join("usher.redb"), b"nothing of sense").unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    assert_eq!((count(&store), store.revision()), (49, 49));
}

#[test]
fn a_log_that_ends_early_is_replaced_by_a_snapshot() {
    let folder = filled();
    let log = named(folder.path(), "changes-").pop().unwrap();
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() / 2]).unwrap();
    drop(Embedded::open(folder.path()).unwrap());
    assert_eq!(named(folder.path(), "snapshot-").len(), 1);
    fs::write(folder.path().join("usher.redb"), b"").unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    assert_eq!((count(&store), store.revision()), (50, 50));
    assert!(store.describe().recovered.unwrap().snapshot.is_some());
}

#[test]
fn damage_with_nothing_to_recover_from_is_refused_by_name() {
    let folder = filled();
    for file in named(folder.path(), "changes-").into_iter().chain(named(folder.path(), "snapshot-")) {
        fs::remove_file(file).unwrap();
    }
    let path = folder.path().join("usher.redb");
    fs::write(&path, b"nothing of sense").unwrap();
    match Embedded::open(folder.path()) {
        Err(error @ StoreError::Damaged { .. }) => {
            assert!(error.to_string().contains("usher.redb"), "{error}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(&path).unwrap(), b"nothing of sense");
}

#[test]
fn a_second_process_is_refused_by_name() {
    let folder = filled();
    let _first = Embedded::open(folder.path()).unwrap();
    match Embedded::open(folder.path()) {
        Err(error @ StoreError::Locked { .. }) => {
            assert!(error.to_string().contains("usher.lock"), "{error}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_is_folded_once_it_is_large() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    runtime().block_on(async {
        for turn in 0..12 {
            store.commit(Transaction::default().put("/r/same", vec![turn; 200_000])).await.unwrap();
        }
    });
    drop(store);
    assert!(!named(folder.path(), "snapshot-").is_empty());
    fs::write(folder.path().join("usher.redb"), b"").unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    assert_eq!(store.revision(), 12);
    let entry = runtime().block_on(store.get("/r/same")).unwrap().unwrap();
    assert_eq!((entry.created, entry.modified, entry.value[0]), (1, 12, 11));
}

#[test]
fn a_data_file_that_is_behind_its_change_log_is_brought_forward() {
    let folder = filled();
    let path = folder.path().join("usher.redb");
    let before = fs::read(&path).unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    runtime().block_on(store.commit(Transaction::default().put("/r/later", "x"))).unwrap();
    drop(store);
    fs::write(&path, before).unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    assert_eq!((count(&store), store.revision()), (51, 51));
    assert!(store.describe().recovered.unwrap().reason.contains("revision 50 is not the newest"));
}
