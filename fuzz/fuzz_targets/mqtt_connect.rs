//! Any bytes that come first on a connection of MQTT.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::mqtt::connect(data) {
        panic!("{error}");
    }
});
