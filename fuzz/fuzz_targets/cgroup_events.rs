//! Files of control groups that tell of events and pressure.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_cgroups::fuzz::events(data));
