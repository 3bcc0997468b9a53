//! Members are killed, stalled, slowed and compacted while three gateways write and watch. `USHER_TORTURE_FAULTS` sets how often; the order
//! is drawn from `USHER_TORTURE_SEED`, which is printed.

use std::time::{Duration, Instant};

use crate::checker;
use crate::{open, server};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Waits for as long as a fault should last. It isn't a condition that comes true: the fault has to last.
async fn last(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_in_trouble_lose_nothing() {
    let seed = setting("USHER_TORTURE_SEED", u64::from(std::process::id()));
    let faults = setting("USHER_TORTURE_FAULTS", 10);
    println!("USHER_TORTURE_SEED={seed} USHER_TORTURE_FAULTS={faults}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    // Words of progress come all the time, so that they race with events.
    let often = "--experimental-watch-progress-notify-interval=100ms";
    let mut members = server::start(&folder.path().join("etcd"), 3, &[often]);
    let mut stores = Vec::new();
    for name in ["a", "b", "c"] {
        stores.push(open(&members, Some(&folder.path().join(name))).await);
    }
    let running = checker::start(stores, &members[0]);
    for fault in 0..faults {
        let at = random.usize(..3);
        let begin = Instant::now();
        // The first five are one of each kind.
        let kind = if fault < 5 { fault } else { random.u64(..5) };
        match kind {
            0 => {
                members[at].kill();
                last(random.u64(200..2000)).await;
                members[at].restart();
            }
            1 => {
                members[at].stall();
                last(random.u64(1000..4000)).await;
                members[at].go_on();
                members[at].wait();
            }
            2 => {
                // Stalled for long enough that nobody is sure of anything: no majority.
                members[at].stall();
                members[(at + 1) % 3].stall();
                last(random.u64(500..4000)).await;
                members[at].go_on();
                members[(at + 1) % 3].go_on();
                members.iter().for_each(server::Member::wait);
            }
            3 => {
                for _ in 0..20 {
                    members[at].stall();
                    last(random.u64(10..80)).await;
                    members[at].go_on();
                    last(random.u64(1..20)).await;
                }
                members[at].wait();
            }
            _ => {
                members[at].kill();
                last(random.u64(100..500)).await;
                members[(at + 1) % 3].compact();
                members[at].restart();
            }
        }
        println!(
            "fault {fault} of kind {kind} at member {at}: {:?}, revisions {:?}",
            begin.elapsed(),
            running.revisions()
        );
    }
    let steps = running.finish(&members[0]).await;
    // Reading, writing, settling and seeing each have their own limit.
    assert!(steps.longest < Duration::from_secs(13), "{:?}", steps.longest);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_in_trouble_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut members = server::start(&folder.path().join("etcd"), 1, &[]);
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(open(&members, None).await);
    }
    let running = checker::start(stores, &members[0]);
    for _ in 0..4 {
        last(300).await;
        members[0].kill();
        members[0].restart();
        last(300).await;
        members[0].compact();
        members[0].stall();
        last(200).await;
        members[0].go_on();
    }
    running.finish(&members[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_are_enough_to_start_and_to_serve() {
    let folder = tempfile::tempdir().unwrap();
    let mut members = server::start(folder.path(), 3, &[]);
    for at in 0..3 {
        members[at].kill();
        let begin = Instant::now();
        let store = open(&members, None).await;
        let running = checker::start(vec![store], &members[(at + 1) % 3]);
        last(300).await;
        running.finish(&members[(at + 1) % 3]).await;
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
        members[at].restart();
    }
}
