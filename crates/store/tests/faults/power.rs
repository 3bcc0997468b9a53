//! The process or the power ends at any moment, also while the store is made and while it is brought in order.

use usher_store::simulated::{Loss, Record, Replay, Simulated};
use usher_store::{Store as _, Transaction};

use crate::workload::{Workload, commit_together, open, wait};

/// Images in an ordinary run.
const IMAGES: usize = 2_000;
/// Images of one course of writes.
const IMAGES_OF_ONE: usize = 200;
/// How often the power is lost in a row at most: once while writing, then while coming back.
const DEEPEST: usize = 3;

/// A store is made, written to in bunches, closed and opened again; each acknowledged revision is marked.
fn write_for_a_while(disk: &Simulated, seed: u64, bunches: usize) -> (Workload, Record) {
    let mut workload = Workload::new(seed);
    disk.record();
    let mut store = open(disk).unwrap();
    for bunch in 0..bunches {
        let transactions: Vec<_> = (0..workload.random().usize(1..=4)).map(|_| workload.next()).collect();
        for (outcome, transaction) in commit_together(&store, &transactions).into_iter().zip(&transactions) {
            let revision = workload.applied(transaction);
            assert_eq!(outcome.unwrap().revision, revision);
            disk.mark(revision);
        }
        if bunch % 7 == 6 {
            drop(store);
            store = open(disk).unwrap();
        }
    }
    drop(store);
    (workload, disk.recorded())
}

/// Opens an image, and others of what happened while it was opened.
fn check_image(
    workload: &Workload,
    image: &Simulated,
    acknowledged: u64,
    depth: usize,
    random: &mut fastrand::Rng,
) -> Result<usize, String> {
    let again = depth < DEEPEST && random.u8(0..3) == 0;
    if again {
        image.record();
    }
    let store = open(image).map_err(|error| format!("it can't be opened: {error}"))?;
    let revision = workload.check_not_before(&store, acknowledged)?;
    image.mark(revision);
    let further = random.u8(0..4) == 0;
    if further {
        wait(store.commit(Transaction::default())).map_err(|error| format!("it takes no write: {error}"))?;
        if store.revision() != revision + 1 {
            return Err(format!("behind {revision} comes {}", store.revision()));
        }
    }
    drop(store);
    if !again {
        return Ok(1);
    }
    let record = image.recorded();
    let mut replay = Replay::new(&record);
    replay.go_to(random.usize(..=replay.steps()));
    let acknowledged = acknowledged.max(replay.mark());
    let loss = if random.bool() { Loss::Power } else { Loss::Process };
    let second = replay.image(loss, &mut |below| random.usize(..below));
    // The write that was added changes nothing, so the state behind it is that of before.
    Ok(1 + check_image(&workload.repeated_at(revision), &second, acknowledged, depth + 1, random)?)
}

/// Where the image that failed is kept, so that somebody can look into it.
fn keep(image: &Simulated) -> String {
    let folder = tempfile::tempdir().unwrap().keep();
    for (path, bytes) in image.content() {
        std::fs::write(folder.join(path.file_name().unwrap()), bytes).unwrap();
    }
    folder.display().to_string()
}

#[test]
fn any_loss_of_power_leaves_all_that_was_acknowledged() {
    let images = crate::tortured().unwrap_or(IMAGES);
    let (mut made, mut opened, mut seed) = (0, 0, 0);
    while made < images {
        seed += 1;
        let (workload, record) = write_for_a_while(&Simulated::new(), seed, 22);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut replay = Replay::new(&record);
        let count = IMAGES_OF_ONE.min(images - made);
        let mut moments: Vec<usize> = (0..count).map(|_| random.usize(..=replay.steps())).collect();
        moments.sort_unstable();
        for moment in moments {
            replay.go_to(moment);
            let image = replay.image(Loss::Power, &mut |below| random.usize(..below));
            let before = image.content();
            match check_image(&workload, &image, replay.mark(), 1, &mut random) {
                Ok(count) => opened += count,
                Err(error) => {
                    let kept = keep(&Simulated::with_files(before));
                    panic!("seed {seed}, step {moment}: {error}; the image is in {kept}");
                }
            }
            made += 1;
        }
    }
    println!(
        "{made} images of lost power, {opened} with those of power lost again while coming back: all opened, nothing lost"
    );
}

#[test]
fn a_kill_at_any_change_leaves_all_that_was_acknowledged() {
    let courses = if crate::tortured().is_some() { 30 } else { 2 };
    let mut points = 0;
    for seed in 0..courses {
        let (workload, record) = write_for_a_while(&Simulated::new(), seed, 16);
        let mut replay = Replay::new(&record);
        let mut random = fastrand::Rng::with_seed(seed);
        for moment in 0..=replay.steps() {
            replay.go_to(moment);
            let image = replay.image(Loss::Process, &mut |_| 0);
            if let Err(error) = check_image(&workload, &image, replay.mark(), DEEPEST, &mut random) {
                panic!("seed {seed}, step {moment}: {error}");
            }
            points += 1;
        }
    }
    println!("{points} points of a kill: all opened, nothing lost");
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    let disk = Simulated::new();
    disk.lie(true);
    let (workload, record) = write_for_a_while(&disk, 5, 22);
    let mut random = fastrand::Rng::with_seed(5);
    let mut replay = Replay::new(&record);
    replay.go_to(replay.steps());
    let found_out = (0..200).filter(|_| {
        let image = replay.image(Loss::Power, &mut |below| random.usize(..below));
        check_image(&workload, &image, replay.mark(), DEEPEST, &mut random).is_err()
    });
    assert!(found_out.count() > 100, "these tests would not see what they look for");
}
