//! A process that is killed while it writes: every acknowledged write is there after the restart, and none is there by half.
//!
//! At moments by chance, and with strace at the n-th write, sync, cut or rename of the operating system. `USHER_TORTURE_KILLS` puts a kill at
//! every n of each; an ordinary run takes some.
#![cfg(test)]

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use usher_store::embedded::Embedded;
use usher_store::{Store as _, Transaction};

const CHILD: &str = "USHER_STORE_KILL_TEST_FOLDER";
/// How many writes the child does; for ever without it.
const WRITES: &str = "USHER_STORE_KILL_TEST_WRITES";
const KILLS: usize = 300;

/// Held by whoever starts processes: between its fork and its exec a child holds all that this process has open, also the lock of a store that
/// another test is just closing.
static FORKING: Mutex<()> = Mutex::new(());

/// In the child process: writes pairs of keys and says each one that was acknowledged.
#[test]
fn child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let writes = std::env::var(WRITES).ok().and_then(|writes| writes.parse().ok());
    let store = Embedded::open(Path::new(&folder)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for _ in 0..writes.unwrap_or(u64::MAX) {
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
    let _alone = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let (mut acknowledged, mut in_all) = (0, 0);
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
        let reader = std::thread::spawn(move || newest_acknowledged(output));
        std::thread::sleep(Duration::from_micros(fastrand_micros(kill)));
        child.kill().unwrap();
        child.wait().unwrap();
        let said = reader.join().unwrap();
        in_all += said.saturating_sub(acknowledged);
        acknowledged = check(&path, acknowledged.max(said), &format!("kill {kill}"));
    }
    // A child that never writes survives everything.
    assert!(in_all >= KILLS as u64, "only {in_all} writes were acknowledged");
}

/// The largest revision that the child says was acknowledged.
fn newest_acknowledged(output: impl Read) -> u64 {
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    // The test runner's own words may stand before ours on the line.
    let numbers = lines.filter_map(|line| line.split_once("acknowledged ")?.1.trim().parse().ok());
    numbers.max().unwrap_or_default()
}

/// Opens what a killed process left; gives its revision.
fn check(folder: &Path, acknowledged: u64, when: &str) -> u64 {
    let store = Embedded::open(folder).unwrap_or_else(|error| panic!("{when}: {error}"));
    assert_eq!(store.describe().recovered, None, "{when}");
    assert!(store.revision() >= acknowledged, "{when}: {} < {acknowledged}", store.revision());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let left = store.get("/pair/left").await.unwrap().map(|entry| entry.value);
        let right = store.get("/pair/right").await.unwrap().map(|entry| entry.value);
        assert_eq!(left, right, "{when}");
        let all = store.list("/all/").await.unwrap();
        assert_eq!(all.entries.len() as u64, store.revision(), "{when}");
    });
    store.revision()
}

/// What became of a child whose system calls were meddled with.
struct Meddled {
    acknowledged: u64,
    /// Whether it came as far as to the call.
    reached: bool,
}

/// Runs the child and lets the n-th of these system calls, of any of its threads, end as `inject` says.
fn meddle(folder: &Path, call: &str, inject: &str, nth: usize) -> Meddled {
    let calls = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new("strace")
        .args(["--follow-forks", "--quiet=attach,exit"])
        .arg(format!("--output={}", calls.path().display()))
        .arg(format!("--trace={call}"))
        .arg(format!("--inject={call}:{inject}:when={nth}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .env(WRITES, "6")
        // Where a child gives up doesn't matter, and to find that out takes longer than all it does.
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let calls = std::fs::read_to_string(calls.path()).unwrap();
    Meddled {
        acknowledged: newest_acknowledged(&*output.stdout),
        reached: calls.contains("INJECTED") || calls.contains("killed by SIGKILL"),
    }
}

fn can_meddle() -> bool {
    let words = ["--trace=read", "--inject=read:error=EINTR:when=999", "true"];
    Command::new("strace").args(words).output().is_ok_and(|output| output.status.success())
}

/// Puts this at the n-th of each of these calls, and once more while the store comes back.
fn meddle_everywhere(inject: &str, calls: &[&str]) {
    let _alone = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
    if !can_meddle() {
        println!("skipped: strace isn't here, or may not look into processes");
        return;
    }
    let step = if std::env::var_os("USHER_TORTURE_KILLS").is_some() { 1 } else { 5 };
    let mut points = 0;
    for call in calls {
        for nth in (1..).step_by(step) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("data");
            let first = meddle(&path, call, inject, nth);
            if !first.reached {
                break;
            }
            let when = format!("{inject} at {call} {nth}");
            let copy = folder.path().join("copy");
            if path.exists() {
                copy_folder(&path, &copy);
            }
            let revision = check(&path, first.acknowledged, &when);
            let second = meddle(&copy, call, inject, nth);
            check(&copy, first.acknowledged.max(second.acknowledged), &format!("{when}, twice"));
            assert!(revision <= 6, "{when}");
            points += 1;
        }
    }
    assert!(points >= 5, "only {points} points");
    println!("{inject} at {points} system calls, at each also while coming back: all opened, nothing lost");
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_kill_at_the_nth_system_call_loses_nothing_not_even_at_the_first_start() {
    meddle_everywhere("signal=KILL", &["pwrite64", "fdatasync", "fsync", "ftruncate", "rename", "mkdir"]);
}

#[test]
fn an_error_at_the_nth_system_call_loses_nothing() {
    for error in ["error=EIO", "error=ENOSPC"] {
        meddle_everywhere(error, &["pwrite64", "fdatasync", "fsync", "ftruncate", "rename"]);
    }
}

/// Between nothing and 60 ms, spread evenly over the kills.
fn fastrand_micros(kill: usize) -> u64 {
    (kill as u64).wrapping_mul(7919) % 60_000
}
