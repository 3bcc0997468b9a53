//! Replays the corpus of the fuzz target, so that what a fuzzer once found stays found on every machine.

#[path = "../../../../fuzz/src/proxy.rs"]
pub mod checks;

#[path = "../../../../fuzz/replay.rs"]
pub mod replay;

#[test]
fn headers_of_balancers_of_the_corpus_are_read_the_same_however_they_come_in() {
    replay::replay("proxy_protocol", 18, checks::proxy_protocol);
}
