//! Any text as a protobuf definition.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::texts::protobuf(data) {
        panic!("{error}");
    }
});
