//! A store with any damage to its files: it comes back, or refuses by name.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::store::image(data) {
        panic!("{error}");
    }
});
