//! A layer written into a directory, with a canary beside it.
#![no_main]

use std::fs::{self, File};
use std::os::fd::AsFd;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let place = tempfile::tempdir_in("/dev/shm").expect("a directory on a tmpfs");
    let root = place.path().join("root");
    fs::create_dir(&root).expect("a directory");
    fs::write(place.path().join("canary"), "alive").expect("a file");
    ampoule_image::fuzz::layer::apply(data, File::open(&root).expect("the root").as_fd());
    assert_eq!(fs::read(place.path().join("canary")).expect("a file"), b"alive");
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 2);
});
