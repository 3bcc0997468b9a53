//! A disk without room: writes are refused by name, reads go on, and once there is room so do writes, without a restart.

use std::path::Path;
use std::process::Command;

use usher_store::embedded::Embedded;
use usher_store::simulated::Simulated;
use usher_store::{Health, Store as _, StoreError, Transaction};

use crate::workload::{FOLDER, Workload, open, wait};

fn fill(workload: &mut Workload, store: &Embedded) {
    for turn in 0.. {
        assert!(turn < 10_000, "it never is full");
        let transaction = workload.next();
        match wait(store.commit(transaction.clone())) {
            Ok(_) => {
                workload.applied(&transaction);
            }
            Err(StoreError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_once_there_is_room() {
    let disk = Simulated::new();
    let mut workload = Workload::new(1);
    let mut store = open(&disk).unwrap();
    for more in [0, 1, 7, 40] {
        disk.set_room(Some(disk.pages() + more));
        fill(&mut workload, &store);
        workload.check(&store);
        let health = store.health();
        assert!(health.writes_fail.unwrap().contains("full"), "it says nothing");
        assert_eq!(health.away, None);
        disk.set_room(None);
        let transaction = workload.next();
        wait(store.commit(transaction.clone())).unwrap();
        workload.applied(&transaction);
        workload.check(&store);
        assert_eq!(store.health(), Health::default());
        // A start without room serves what is there.
        drop(store);
        disk.set_room(Some(0));
        store = open(&disk).unwrap();
        workload.check(&store);
    }
    disk.set_room(None);
    let transaction = workload.next();
    wait(store.commit(transaction.clone())).unwrap();
    workload.applied(&transaction);
    drop(store);

    // Log and snapshots are whole again as well: they bring all of it back.
    let mut files = disk.content();
    files.retain(|(path, _)| path != &Path::new(FOLDER).join("usher.redb"));
    assert!(
        !files.iter().any(|(path, _)| path.extension().is_some_and(|ending| ending == "tmp")),
        "{files:?}"
    );
    let store = open(&Simulated::with_files(files)).unwrap();
    assert!(store.describe().recovered.is_some());
    workload.check(&store);
}

/// A small file system of its own; unmounted in the end.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(folder.path())
            .output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(unmounted.unwrap().success());
    }
}

#[test]
fn a_real_file_system_without_room_is_gone_on_with_too() {
    let Some(place) = Mounted::new(6 << 20) else {
        println!("skipped: a small file system can't be mounted here (that needs root)");
        return;
    };
    let folder = place.0.path().join("data");
    let ballast = place.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let mut workload = Workload::new(2);
    let mut store = Embedded::open(&folder).unwrap();
    let value = vec![b'x'; 200_000];
    let mut written = 0;
    loop {
        let transaction = Transaction::default().put(format!("/apisix/routes/{written}"), value.clone());
        match wait(store.commit(transaction)) {
            Ok(_) => written += 1,
            Err(StoreError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(written > 3);
    let read = |store: &Embedded| wait(store.list("/")).unwrap().entries.len();
    assert_eq!(read(&store), written);
    drop(store);
    store = Embedded::open(&folder).unwrap();
    assert_eq!((read(&store), store.revision()), (written, written as u64));
    std::fs::remove_file(&ballast).unwrap();
    let transaction = workload.next();
    wait(store.commit(transaction.clone())).unwrap();
    drop(store);
    let store = Embedded::open(&folder).unwrap();
    assert_eq!((store.revision(), store.describe().recovered), (written as u64 + 1, None));
}
