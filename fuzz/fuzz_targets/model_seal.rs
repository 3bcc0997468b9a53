//! Any text as a sealed one, and sealed itself.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::texts::seal(data) {
        panic!("{error}");
    }
});
