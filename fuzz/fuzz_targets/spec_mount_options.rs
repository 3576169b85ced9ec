//! Mount options and paths of groups: what is understood is written and reads back the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_spec::fuzz::mount_options(data));
