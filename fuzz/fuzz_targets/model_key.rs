//! Any text as a key of the store: what is read is written back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::model::key(data) {
        panic!("{error}");
    }
});
