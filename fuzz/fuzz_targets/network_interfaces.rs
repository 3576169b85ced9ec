//! What the interfaces of a network namespace counted: `/proc/PID/net/dev`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_ns::fuzz::interfaces(data));
