//! Statistics files of control groups, v1 and v2.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_cgroups::fuzz::statistics(data));
