//! Any value whose secrets are masked, and which is written back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::texts::mask(data) {
        panic!("{error}");
    }
});
