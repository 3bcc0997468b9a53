//! Any text with variables in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::texts::template(data) {
        panic!("{error}");
    }
});
