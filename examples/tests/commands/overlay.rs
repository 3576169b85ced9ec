//! What `only-overlay` must show to whoever runs it.

use super::{command, finish};

pub(crate) fn layers_alone() {
    let done = finish(command("only-overlay", &[]).spawn().unwrap());
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    for line in [
        "merged: a descriptor; nothing is mounted on the host",
        "/etc/motd: from the image",
        "/etc/hostname: from the base",
        "  Deleted /etc/hostname",
        "  Modified /etc/motd",
        "  Added /etc/new",
        "the lower layer still says: from the image",
        "after discard: 0 changes",
    ] {
        assert!(done.out.lines().any(|shown| shown == line), "no {line:?} in {}", done.out);
    }
}
