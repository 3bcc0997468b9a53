//! Replays the corpora of the fuzz targets, so that what a fuzzer once found stays found on every machine.
#![cfg(test)]

#[path = "../../../fuzz/src/model.rs"]
pub mod checks;

#[path = "../../../fuzz/src/texts.rs"]
pub mod texts;

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

#[test]
fn expressions_of_the_corpus_hold_or_are_refused() {
    replay("model_expression", 25, texts::expression);
}

#[test]
fn templates_of_the_corpus_are_filled_the_same_each_time() {
    replay("model_template", 20, texts::template);
}

#[test]
fn references_of_the_corpus_read_back_as_they_are_written() {
    replay("model_reference", 20, texts::reference);
}

#[test]
fn scopes_of_the_corpus_hold_what_a_narrower_one_holds() {
    replay("model_scope", 17, texts::scope);
}

#[test]
fn certificates_of_the_corpus_are_read_or_refused() {
    replay("model_certificate", 12, texts::certificates);
}

#[test]
fn definitions_of_the_corpus_compile_or_are_refused() {
    replay("model_protobuf", 20, texts::protobuf);
}

#[test]
fn masks_of_the_corpus_hide_and_come_back() {
    replay("model_mask", 16, texts::mask);
}

#[test]
fn seals_of_the_corpus_open_only_where_they_were_made() {
    replay("model_seal", 15, texts::seal);
}
