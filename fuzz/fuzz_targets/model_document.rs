//! Any YAML or JSON as a document: refused with a sentence, or what is written of it reads back as the same objects.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = usher_fuzz::model::document(data) {
        panic!("{error}");
    }
});
