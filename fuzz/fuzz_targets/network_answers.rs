//! Answers of netlink.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_net::fuzz::answers(data));
