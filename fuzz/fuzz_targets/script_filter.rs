//! Any source of a `filter_func`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::script::filter(data) {
        panic!("{error}");
    }
});
