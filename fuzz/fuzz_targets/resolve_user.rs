//! A user as an image names it, resolved in its passwd and group files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_ns::fuzz::resolve_user(data));
