//! What a cache on disk gives again: after a new start, and not what was purged, torn or altered.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use usher_pipeline::harness::{Harness, try_harness_with};

use super::{Origin, PLUGIN, told, with_origin};
use crate::proxy_cache::Zones;

/// A gateway with a zone in this folder; each call is a new process.
fn start(folder: &Path, room: &str) -> (Harness, Origin) {
    let zone = json!({ "name": "files", "memory_size": "1m", "disk_size": room, "disk_path": folder.join("zone"), "cache_levels": "1:2" });
    let attributes = Map::from_iter([("proxy-cache".to_owned(), json!({ "zones": [zone] }))]);
    let body = json!({ "cache_strategy": "disk", "cache_zone": "files" });
    let bodies = Map::from_iter([("proxy-cache".to_owned(), body)]);
    let (bench, origin) = with_origin(try_harness_with(&[&PLUGIN], bodies, attributes).unwrap());
    origin.says(&[("Cache-Control", "max-age=1000")]);
    (bench, origin)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.join("zone")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found
}

/// Waits until what earlier processes left is there.
fn until_read(bench: &Harness, wanted: u64) {
    let zone = Zones::of(bench.process()).zone("files", true).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while zone.count() != wanted {
        assert!(Instant::now() < end, "{} of {wanted}", zone.count());
        std::thread::yield_now();
    }
}

#[test]
fn answers_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (mut bench, _) = start(folder.path(), "10m");
        assert_eq!(told(&bench.get("/a")), "MISS");
        let hit = bench.get("/a");
        assert_eq!(
            (told(&hit), hit.text(), hit.field("content-type")),
            ("HIT", "answer 1", Some("text/plain"))
        );
        bench.get("/b");
        let all = files(folder.path());
        assert_eq!(all.len(), 2);
        let below = all[0].strip_prefix(folder.path().join("zone")).unwrap();
        assert_eq!(below.iter().map(|part| part.len()).collect::<Vec<_>>(), [1, 2, 49], "levels 1:2");
    }
    let (mut bench, origin) = start(folder.path(), "10m");
    until_read(&bench, 2);
    let hit = bench.get("/a");
    assert_eq!((told(&hit), hit.text(), origin.count.get()), ("HIT", "answer 1", 0));
    assert!(hit.field("age").is_some());
    assert_eq!(bench.send("PURGE", "/a", &[], "").status(), 200);
    assert_eq!(bench.send("PURGE", "/a", &[], "").status(), 404);
    assert_eq!(files(folder.path()).len(), 1);
    drop(bench);
    let (mut bench, _) = start(folder.path(), "10m");
    until_read(&bench, 1);
    assert_eq!((told(&bench.get("/a")), told(&bench.get("/b"))), ("MISS", "HIT"));
}

#[test]
fn a_purge_takes_away_what_is_not_known_yet() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path(), "10m").0.get("/a");
    assert_eq!(files(folder.path()).len(), 1);
    let (mut bench, _) = start(folder.path(), "10m");
    bench.send("PURGE", "/a", &[], "");
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
    assert_eq!(told(&bench.get("/a")), "MISS");
}

#[test]
fn what_was_torn_or_altered_is_dropped_and_what_is_not_ours_is_left() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (mut bench, _) = start(folder.path(), "10m");
        for path in ["/a", "/b", "/c"] {
            bench.get(path);
        }
    }
    let all = files(folder.path());
    let whole = fs::read(&all[0]).unwrap();
    fs::write(&all[0], &whole[..whole.len() - 3]).unwrap();
    let mut record = fs::read(&all[1]).unwrap();
    let at = record.len() - 60;
    record[at] ^= 1;
    fs::write(&all[1], record).unwrap();
    let mut body = fs::read(&all[2]).unwrap();
    body[0] ^= 1;
    fs::write(&all[2], body).unwrap();
    fs::create_dir_all(folder.path().join("zone/unfinished")).unwrap();
    fs::write(folder.path().join("zone/unfinished/0000000000000000"), "half").unwrap();
    fs::write(folder.path().join("zone/notes.txt"), "somebody's").unwrap();
    let (mut bench, origin) = start(folder.path(), "10m");
    until_read(&bench, 1);
    for path in ["/a", "/b", "/c"] {
        assert_eq!(told(&bench.get(path)), "MISS", "{path}");
    }
    assert_eq!(origin.count.get(), 3);
    assert_eq!(told(&bench.get("/a")), "HIT");
    assert!(folder.path().join("zone/notes.txt").exists());
    assert!(!folder.path().join("zone/unfinished/0000000000000000").exists());
    assert_eq!(files(folder.path()).len(), 4);
}

#[test]
fn an_answer_is_kept_as_long_as_it_says_and_otherwise_for_the_zones_time() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bench, origin) = start(folder.path(), "10m");
    for (fields, secs) in [
        (&[("Cache-Control", "max-age=100")][..], 100),
        (&[("Cache-Control", "max-age=100, s-maxage=50")], 50),
        (&[], 10),
    ] {
        origin.says(fields);
        let path = format!("/{secs}");
        assert_eq!(told(&bench.get(&path)), "MISS");
        bench.pass(Duration::from_secs(secs - 1));
        assert_eq!(told(&bench.get(&path)), "HIT", "{secs}");
        bench.pass(Duration::from_secs(1));
        assert_eq!(told(&bench.get(&path)), "EXPIRED", "{secs}");
    }
}

#[test]
fn a_zone_keeps_to_its_size_and_serves_without_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bench, _) = start(folder.path(), "20k");
    for number in 0..200 {
        bench.get(&format!("/{number}"));
    }
    let zone = Zones::of(bench.process()).zone("files", true).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while files(folder.path()).len() > 40 {
        zone.count();
        assert!(Instant::now() < end, "{}", files(folder.path()).len());
    }
    let blocked = tempfile::tempdir().unwrap();
    fs::write(blocked.path().join("zone"), "a file where the folder should be").unwrap();
    let (mut bench, _) = start(blocked.path(), "10m");
    for _ in 0..2 {
        let outcome = bench.get("/a");
        assert_eq!((outcome.status(), told(&outcome)), (200, "MISS"));
    }
}

#[test]
fn a_zone_has_to_fit_the_strategy() {
    let refused = |body: Value| {
        usher_pipeline::harness::try_harness(&PLUGIN, body)
            .err()
            .map(|error| error.message)
            .unwrap_or_default()
    };
    assert_eq!(refused(json!({})), "", "the zone on disk is there by default");
    for (body, sentence) in [
        (
            json!({ "cache_zone": "memory_cache" }),
            "invalid or empty cache_zone for cache_strategy: disk; set cache_zone to a disk zone: disk_cache_one",
        ),
        (
            json!({ "cache_strategy": "memory" }),
            "invalid or empty cache_zone for cache_strategy: memory; set cache_zone to a memory zone: memory_cache",
        ),
        (
            json!({ "cache_zone": "none" }),
            "cache_zone none not found; set cache_zone to a disk zone: disk_cache_one",
        ),
    ] {
        assert!(refused(body.clone()).contains(sentence), "{body}: {}", refused(body.clone()));
    }
}
