//! Replays the corpora of the fuzz targets, so that what a fuzzer once found stays found on every machine.
#![cfg(test)]

#[path = "../../../fuzz/src/model.rs"]
pub mod checks;

#[path = "../../../fuzz/replay.rs"]
pub mod replay;

use replay::replay;

#[test]
fn resources_of_the_corpus_are_checked_with_a_sentence() {
    replay("model_resource", 40, checks::resource);
}

#[test]
fn patches_of_the_corpus_do_what_they_say() {
    replay("model_patch", 14, checks::patch);
}

#[test]
fn keys_of_the_corpus_are_written_as_they_are_read() {
    replay("model_key", 26, checks::key);
}

#[test]
fn documents_of_the_corpus_read_back_as_they_are_written() {
    replay("model_document", 20, checks::document);
}
