//! The members of a layer: headers of tar, extended headers, maps of sparse files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_image::fuzz::layer::members(data));
