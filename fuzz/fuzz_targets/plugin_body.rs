//! Any body of any plugin.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::plugins::body(data) {
        panic!("{error}");
    }
});
