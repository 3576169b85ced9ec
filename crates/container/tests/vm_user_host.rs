//! The guest under systemd, as an ordinary user in a delegated scope of its session.
//!
//! Kernel objects: as in [`scene::guest`]. Invariant: the guest is unchanged.

mod oracle;
mod scene;

use std::os::unix::fs::MetadataExt;

use scene::{guest, in_tier};

in_tier!(vm, guest:
    every_controller_is_in_v2
    a_container_runs
);

#[test]
fn the_scope_belongs_to_the_user() {
    oracle::tier::vm();
    oracle::tier::user();
    let group = guest::own_group();
    assert!(group.starts_with("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service"));
    let delegated = guest::words(&group.join("cgroup.controllers"));
    assert_eq!(delegated, ["cpu", "cpuset", "io", "memory", "pids"]);
    let uid = rustix::process::geteuid().as_raw();
    for path in [group.clone(), group.join("cgroup.procs"), group.join("cgroup.subtree_control")] {
        assert_eq!(path.metadata().expect("a group's file").uid(), uid, "{}", path.display());
    }
}
