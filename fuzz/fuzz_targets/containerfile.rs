//! Build files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_image::fuzz::containerfile(data));
