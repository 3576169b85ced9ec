//! Programs for the kernel's filter machine: what passes the check runs to a return, in bounded steps.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_seccomp::fuzz::program(data));
