//! Replays the corpus of the Admin API's fuzz target, so that what a fuzzer once found stays found on every machine.

#[path = "../../../../fuzz/src/admin.rs"]
pub mod checks;

#[path = "../../../../fuzz/replay.rs"]
pub mod replay;

#[test]
fn requests_of_the_corpus_never_make_the_admin_api_fail() {
    replay::replay("admin_requests", 14, checks::requests);
}
