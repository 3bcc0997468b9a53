//! Any scope, and whether a route lies in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::texts::scope(data) {
        panic!("{error}");
    }
});
