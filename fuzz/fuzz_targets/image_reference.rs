//! References to images.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_image::fuzz::reference(data));
