//! Replays the corpora of the fuzz targets, so that what a fuzzer once found stays found on every machine.

use std::path::Path;

fn replay(target: &str, least: usize, check: fn(&[u8]) -> Result<(), String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if let Err(error) = check(&std::fs::read(&path).unwrap()) {
            panic!("{}: {error}", path.display());
        }
        replayed += 1;
    }
    assert!(replayed >= least, "only {replayed} inputs lie in {}", folder.display());
}

#[test]
fn requests_of_the_corpus_are_read_the_same_however_they_are_cut() {
    replay("http1_request", 100, usher_http1::check::check);
}

#[test]
fn answers_of_the_corpus_are_read_the_same_however_they_are_cut() {
    replay("http1_answer", 15, usher_http1::check::check_answers);
}
