//! The guest under systemd, as root in a service with a delegated group.
//!
//! Kernel objects: as in [`scene::guest`]. Invariant: the guest is unchanged.

mod oracle;
mod scene;

use std::process::Command;

use scene::{guest, in_tier};

in_tier!(vm, guest:
    every_controller_is_in_v2
    a_container_runs
);

#[test]
fn systemd_is_process_1_and_delegates_a_group() {
    oracle::tier::vm();
    assert_eq!(guest::process_1(), "systemd");
    let group = guest::own_group();
    assert!(group.ends_with("system.slice/ampoule-job.service"), "{}", group.display());
    let delegated = guest::words(&group.join("cgroup.controllers"));
    assert!(["cpu", "memory", "pids"].iter().all(|name| delegated.contains(&(*name).to_owned())));
}

#[test]
fn the_system_is_up() {
    oracle::tier::vm();
    oracle::unchanged(|| {
        let state = Command::new("systemctl").arg("is-system-running").output();
        assert_eq!(String::from_utf8_lossy(&state.expect("systemctl").stdout), "running\n");
    });
}
