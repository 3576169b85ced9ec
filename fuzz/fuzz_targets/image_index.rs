//! Indexes of images, and choosing from one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_image::fuzz::index(data));
