//! Subnets, hardware addresses, published ports, egress rules, names.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_net::fuzz::settings(data));
