//! Any bytes in front of a connection as a header of the PROXY protocol.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::proxy::proxy_protocol(data) {
        panic!("{error}");
    }
});
