//! Replays the corpora of the fuzz targets, so that what a fuzzer once found stays found on every machine.

#[path = "../../../../fuzz/src/store.rs"]
pub mod checks;

#[path = "../../../../fuzz/replay.rs"]
pub mod replay;

use replay::replay;

#[test]
fn archives_of_the_corpus_are_refused_or_restored() {
    replay("store_archive", 14, checks::archive);
}

#[test]
fn damaged_stores_of_the_corpus_come_back_or_refuse_by_name() {
    replay("store_image", 90, checks::image);
}
