//! Settings that are read from short texts: what is accepted reads back the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_ns::fuzz::settings(data));
