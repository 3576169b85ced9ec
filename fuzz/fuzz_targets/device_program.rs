//! Device rules and the program that is made of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_cgroups::fuzz::device_program(data));
