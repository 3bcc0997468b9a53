//! Any bytes from an upstream: read the same however they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_http1::check::check_answers(data) {
        panic!("{error}");
    }
});
