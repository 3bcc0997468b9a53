//! A process that is killed while it writes: every acknowledged write is there after the restart, and none is there by half.
#![cfg(test)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use usher_store::embedded::Embedded;
use usher_store::{Store as _, Transaction};

const CHILD: &str = "USHER_STORE_KILL_TEST_FOLDER";
const KILLS: usize = 300;

/// In the child process: writes pairs of keys for ever and says each one that was acknowledged.
#[test]
fn child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let store = Embedded::open(Path::new(&folder)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        loop {
            let next = store.revision() + 1;
            let pair = Transaction::default()
                .put("/pair/left", next.to_string())
                .put("/pair/right", next.to_string());
            let revision =
                store.commit(pair.put(format!("/all/{next:08}"), vec![b'x'; 900])).await.unwrap().revision;
            write_line(&format!("acknowledged {revision}"));
        }
    });
}

fn write_line(line: &str) {
    println!("{line}");
}

#[test]
fn every_acknowledged_write_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        // Every tenth run begins with an empty folder, so that the creation itself is killed too.
        let path = folder.path().join(format!("data-{}", kill / 10));
        if kill % 10 == 0 {
            acknowledged = 0;
        }
        let mut child = Command::new(&program)
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut newest = 0;
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The test runner's own words may stand before ours on the line.
                if let Some((_, number)) = line.split_once("acknowledged ") {
                    newest = number.trim().parse::<u64>().unwrap_or(newest);
                }
            }
            newest
        });
        std::thread::sleep(Duration::from_micros(fastrand_micros(kill)));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = acknowledged.max(reader.join().unwrap());

        let store = Embedded::open(&path).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        assert_eq!(store.describe().recovered, None, "kill {kill}");
        assert!(store.revision() >= acknowledged, "kill {kill}: {} < {acknowledged}", store.revision());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let left = store.get("/pair/left").await.unwrap().map(|entry| entry.value);
            let right = store.get("/pair/right").await.unwrap().map(|entry| entry.value);
            assert_eq!(left, right, "kill {kill}");
            let all = store.list("/all/").await.unwrap();
            assert_eq!(all.entries.len() as u64, store.revision(), "kill {kill}");
        });
        acknowledged = store.revision();
    }
}

/// Between nothing and 60 ms, spread evenly over the kills.
fn fastrand_micros(kill: usize) -> u64 {
    (kill as u64).wrapping_mul(7919) % 60_000
}
