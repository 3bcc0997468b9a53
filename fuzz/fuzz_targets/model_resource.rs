//! Any JSON that is written as a resource: checked alike each time, refused with a sentence.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::model::resource(data) {
        panic!("{error}");
    }
});
