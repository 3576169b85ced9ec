//! /etc/subuid and /etc/subgid.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_ns::fuzz::sub_ids(data));
