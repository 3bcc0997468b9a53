//! A change of the disk fails, once or from then on: the writer says so, reads go on, and once the disk is good again so do writes.

use usher_store::embedded::Embedded;
use usher_store::simulated::{Failing, Failure, Loss, Replay, Simulated};
use usher_store::{Health, Store as _, StoreError, Transaction};

use crate::workload::{Workload, open, wait};

/// Writes of one run.
const WRITES: usize = 14;

/// Commits, and checks what the answer says against what is there.
fn commit(workload: &mut Workload, store: &Embedded, transaction: &Transaction) -> Result<u64, StoreError> {
    match wait(store.commit(transaction.clone())) {
        Ok(committed) => {
            assert_eq!(committed.revision, workload.applied(transaction));
            workload.check(store);
            Ok(committed.revision)
        }
        Err(error @ (StoreError::Full | StoreError::Unavailable(_))) => {
            // Nothing was written, and reads go on.
            workload.check(store);
            Err(error)
        }
        Err(error @ StoreError::Unknown(_)) => {
            workload.look_for(store, transaction);
            Err(error)
        }
        Err(error) => panic!("{error}"),
    }
}

/// One run with this failure; false where it never came so far.
fn run(failing: Failing, seed: u64) -> bool {
    let mut workload = Workload::new(seed);
    let disk = Simulated::new();
    disk.record();
    disk.fail(Some(failing));
    let mut store = None;
    for _ in 0..2 {
        match open(&disk) {
            Ok(opened) => {
                store = Some(opened);
                break;
            }
            // Nothing is there yet: the disk refuses the start, and lets the next one go well.
            Err(StoreError::Full | StoreError::Folder { .. }) => disk.fail(None),
            Err(error) => panic!("{error}"),
        }
    }
    let mut store = store.expect("opened at the second try");
    let (mut failed, mut lifted) = (0, false);
    for turn in 0..WRITES {
        let transaction = workload.next();
        match commit(&mut workload, &store, &transaction) {
            Ok(revision) => disk.mark(revision),
            Err(_) => {
                failed += 1;
                assert!(failing.lasting || failed <= 2, "it failed once, but the store {failed} times");
                if failing.lasting && failed == 3 {
                    disk.fail(None);
                    lifted = true;
                }
            }
        }
        if lifted && failed == 3 {
            // The disk is good again: the very next write goes well, without a restart.
            let transaction = workload.next();
            disk.mark(commit(&mut workload, &store, &transaction).unwrap());
            assert_eq!(store.health(), Health::default());
        }
        if turn == WRITES / 2 {
            drop(store);
            if lifted {
                // What the change log could not take while the disk failed is in it, or in a snapshot, by now.
                let mut files = disk.content();
                files.retain(|(path, _)| !path.ends_with("usher.redb"));
                workload.check(&open(&Simulated::with_files(files)).unwrap());
            }
            store = open(&disk)
                .or_else(|_| {
                    disk.fail(None);
                    open(&disk)
                })
                .unwrap();
            workload.check(&store);
        }
    }
    drop(store);
    let reached = disk.changes() >= failing.nth;
    disk.fail(None);
    let store = open(&disk).unwrap();
    assert_eq!(store.describe().recovered, None);
    workload.check(&store);
    drop(store);

    // The power is lost somewhere on the way as well.
    let record = disk.recorded();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut replay = Replay::new(&record);
    let mut moments = [random.usize(..=replay.steps()), random.usize(..=replay.steps())];
    moments.sort_unstable();
    for moment in moments {
        replay.go_to(moment);
        let image = replay.image(Loss::Power, &mut |below| random.usize(..below));
        let store = open(&image).unwrap_or_else(|error| panic!("power lost at {moment}: {error}"));
        if let Err(error) = workload.check_not_before(&store, replay.mark()) {
            panic!("power lost at {moment}: {error}");
        }
    }
    reached
}

#[test]
fn a_failing_disk_loses_nothing_and_is_gone_on_with() {
    let step = if crate::tortured().is_some() { 1 } else { 5 };
    let mut runs = 0;
    for failure in [Failure::Broken, Failure::Full, Failure::Short] {
        for lasting in [false, true] {
            let mut nth = 1 + runs % step;
            loop {
                let failing = Failing { nth, failure, lasting };
                let outcome = std::panic::catch_unwind(|| run(failing, nth));
                runs += 1;
                match outcome {
                    Ok(true) => nth += step,
                    Ok(false) => break,
                    Err(_) => panic!("{failing:?}"),
                }
            }
        }
    }
    println!("{runs} runs with a failure each: nothing lost, all gone on with");
}

#[test]
fn reads_that_fail_are_read_again_once_the_disk_is_good() {
    let disk = Simulated::new();
    let store = open(&disk).unwrap();
    // More than is kept in memory, so that something has to be read from the disk.
    for id in 0..12 {
        let large = Transaction::default().put(format!("/large/{id}"), vec![id; 4 << 20]);
        wait(store.commit(large)).unwrap();
    }
    for count in [1, 3] {
        disk.fail_reads(count);
        let failed = wait(store.list("/"));
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "it was all in memory");
        // The next write goes well, or says that it didn't; from then on reads do too.
        let mut tries = 0;
        while wait(store.list("/")).is_err() {
            let _ = wait(store.commit(Transaction::default().put("/small", "x")));
            tries += 1;
            assert!(tries < 10, "it never reads again");
        }
        assert!(wait(store.list("/large/")).unwrap().entries.len() == 12);
    }
}
