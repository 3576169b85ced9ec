//! Configurations and answers of CNI plugins.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_net::fuzz::cni(data));
