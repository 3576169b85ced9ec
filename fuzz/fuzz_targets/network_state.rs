//! The file with the leases of networks.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_net::fuzz::state(data));
