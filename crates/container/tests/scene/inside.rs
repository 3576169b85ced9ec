//! Files in a running container, read and written from outside.
//!
//! Kernel objects: the container's mounts. Invariant: what is made belongs to the container's root, never to the host's.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use ampoule::{Bytes, Container, ErrorKind};

const LIMIT: Bytes = Bytes::kib(4);

/// A file is made, replaced in place, and read back; inside it belongs to user 0.
pub(crate) fn files_are_made_and_replaced() {
    let mut idle = Container::host_view().idle().unwrap();
    for bytes in [&b"first, and longer"[..], b"second"] {
        idle.write("/tmp/file", bytes).unwrap();
        assert_eq!(idle.read("/tmp/file", LIMIT).unwrap(), bytes);
    }
    let root = idle.root_fd().unwrap();
    let path = format!("/proc/self/fd/{}/tmp/file", std::os::fd::AsRawFd::as_raw_fd(&root));
    let found = std::fs::metadata(path).unwrap();
    let top =
        std::fs::metadata(format!("/proc/self/fd/{}/", std::os::fd::AsRawFd::as_raw_fd(&root)));
    assert_eq!((found.uid(), found.mode() & 0o7777), (top.unwrap().uid(), 0o644));
    assert!(idle.stop(Duration::from_secs(5)).unwrap().success());
}

/// What may not be written or is not there is an error with the kernel's reason, and nothing hangs.
pub(crate) fn what_cannot_be_written_is_refused() {
    let builder = Container::host_view().link("/out", "/../../../tmp/escaped");
    let idle = builder.idle().unwrap();
    let errno = |path: &str| idle.write(path, "x").unwrap_err().errno();
    assert_eq!(errno("/etc/new"), Some(30), "EROFS");
    assert_eq!(errno("/tmp/missing/new"), Some(2), "ENOENT");
    assert_eq!(errno("/tmp"), Some(21), "EISDIR");
    assert_eq!(idle.read("/tmp/none", LIMIT).unwrap_err().errno(), Some(2));
    idle.write("/tmp/big", vec![0; 4097]).unwrap();
    assert_eq!(idle.read("/tmp/big", LIMIT).unwrap_err().kind(), ErrorKind::TooLarge);
    // A link is followed below the container's root only.
    idle.write("/out", "inside").unwrap();
    assert_eq!(idle.read("/tmp/escaped", LIMIT).unwrap(), b"inside");
    assert!(!std::path::Path::new("/tmp/escaped").exists());
}
