//! Any requests to the Admin API: bodies, PATCH paths, ids and filters never make it fail.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::admin::requests(data) {
        panic!("{error}");
    }
});
