//! Any bytes from a client: read the same however they are cut, and what is forwarded reads back as the one request it is.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_http1::check::check(data) {
        panic!("{error}");
    }
});
