//! Any text as a reference to a secret that is kept elsewhere.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::texts::reference(data) {
        panic!("{error}");
    }
});
