//! Any PATCH: merging is the same twice, and what a sub-path names is there afterwards.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::model::patch(data) {
        panic!("{error}");
    }
});
