//! SELinux contexts, and the file of a policy with those of containers: what is understood is written and reads back.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_selinux::fuzz::contexts(data));
