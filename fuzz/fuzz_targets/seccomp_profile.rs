//! Profiles of OCI, Docker and Podman: what is read is compiled, answers as its rules say, and is written back.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_seccomp::fuzz::profile(data));
