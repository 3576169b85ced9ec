//! Runtime configurations: what is read is written and reads back the same; what is refused says where.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_spec::fuzz::config(data));
