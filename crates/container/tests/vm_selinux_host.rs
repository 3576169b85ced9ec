//! The guest with SELinux enforcing, as root in an unconfined domain.
//!
//! Kernel objects: selinuxfs, and as in [`scene::guest`]. Invariant: the guest is unchanged.

mod oracle;
mod scene;
mod svirt;

use std::fs::read_to_string;
use std::process::Command;

use scene::in_tier;

in_tier!(vm, guest:
    every_controller_is_in_v2
    a_container_runs
);

#[test]
fn selinux_enforces() {
    oracle::tier::vm();
    assert_eq!(read_to_string("/sys/fs/selinux/enforce").expect("selinuxfs"), "1");
    let context = read_to_string("/proc/self/attr/current").expect("a context");
    assert_eq!(context.trim_end_matches('\0'), "unconfined_u:unconfined_r:unconfined_t:s0");
}

/// The policy has the container types, and categories keep containers apart.
#[test]
fn a_category_is_for_its_container_only() {
    oracle::tier::vm();
    oracle::unchanged(|| {
        let dir = tempfile::tempdir_in("/root").expect("a directory on the disk");
        let script = "cp /bin/busybox busybox && echo mine > mine && echo other > other
            chcon -t container_file_t -l s0 . busybox
            chcon -t container_file_t -l s0:c601,c602 mine
            chcon -t container_file_t -l s0:c601,c604 other
            runcon -t container_t -l s0:c601,c602 ./busybox cat mine other";
        let output = Command::new("sh").args(["-c", script]).current_dir(dir.path()).output();
        let output = output.expect("sh");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.stdout, b"mine\n", "{stderr}");
        assert_eq!(stderr, "cat: can't open 'other': Permission denied\n");
        assert!(!output.status.success());
        let logged = svirt::denials(&["{ read }", "s0:c601,c602", "s0:c601,c604", "tclass=file"]);
        assert!(!logged.is_empty(), "nothing was logged");
    });
}
