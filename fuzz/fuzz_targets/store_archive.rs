//! Any bytes as an archive: refused, or a store is made of it that holds the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::store::archive(data) {
        panic!("{error}");
    }
});
