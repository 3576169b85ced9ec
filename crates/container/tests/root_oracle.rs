//! What only root can leak or put into a root file system: does the oracle see it, do the fixtures have it?
//!
//! Kernel objects: files below `/dev/shm` or the temporary directory, a control group, the bounding set of a process of its
//! own. Invariant: the host is unchanged.

mod oracle;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use oracle::fixture::{self, Rootfs};
use oracle::{Difference, Field, Host, alone, payload, tier, unchanged};

/// Long enough for the oracle to look twice.
const BRIEF: Duration = Duration::from_millis(30);

/// Runs a shell script inside the root.
fn inside(root: &Rootfs, enter: &[&str], script: &str) -> String {
    let mut command = Command::new(root.at("bin/busybox"));
    command.args(enter).arg(root.path()).args(["/bin/sh", "-c", script]);
    let output = command.output().expect("busybox");
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Leaks, and asserts that the oracle names it; returns what it said.
#[track_caller]
fn sees<T>(field: Field, key: &str, leak: impl FnOnce() -> T) -> Difference {
    let before = Host::snapshot();
    let kept = leak();
    let found = before.differences(BRIEF);
    drop(kept);
    let hit = found.iter().find(|one| one.field == field && one.key.contains(key)).cloned();
    hit.unwrap_or_else(|| panic!("{field} {key} was not seen, only {found:?}"))
}

#[test]
fn users_of_the_root() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let ids = inside(&root, &["chroot"], "id app; id -G root; ls /");
        assert!(
            ids.starts_with("uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"),
            "{ids}"
        );
    });
}

#[test]
fn devices_and_owners() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs().with_wrong_null().with_owner("etc/passwd", 1000, 1000);
        let root = root.with_xattr("etc/passwd", "trusted.overlay.opaque", b"y");
        let tree = fixture::Tree::record(root.path());
        let passwd = tree.entry("etc/passwd").expect("the file");
        assert_eq!((passwd.owner, passwd.attributes.len()), ((1000, 1000), 1));
        assert_eq!(tree.entry("dev/null").expect("the node").device, rustix::fs::makedev(1, 11));
    });
}

#[test]
fn real_group() {
    tier::root();
    alone(|| {
        let table =
            payload::mountinfo(&fs::read_to_string("/proc/self/mountinfo").expect("mounts"));
        let mounts = table.expect("a mount table");
        let unified = mounts.iter().find(|mount| mount.kind == "cgroup2").expect("cgroup2");
        let group = Path::new(&unified.point).join(format!("ampoule-test-{}", std::process::id()));
        let seen = sees(Field::Groups, "ampoule-test-", || fs::create_dir(&group));
        fs::remove_dir(&group).expect("an empty group");
        assert_eq!(Path::new(&seen.key), group);
    });
}

#[test]
fn capabilities() {
    tier::root();
    alone(|| {
        let raw = rustix::thread::CapabilitySet::SYS_BOOT;
        let drop = || rustix::thread::remove_capability_from_bounding_set(raw);
        sees(Field::Thread, "CapBnd", drop);
    });
}
