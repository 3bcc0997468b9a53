//! Any text as a certificate, an authority, a key and a pair.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::texts::certificates(data) {
        panic!("{error}");
    }
});
