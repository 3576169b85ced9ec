//! Files of a process in procfs: id maps, stat, cmdline.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ampoule_ns::fuzz::proc_files(data));
