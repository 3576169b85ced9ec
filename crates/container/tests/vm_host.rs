//! The plain guest: pure cgroup v2, no system manager, root.
//!
//! Kernel objects: as in [`scene::guest`]. Invariant: the guest is unchanged.

mod oracle;
mod scene;

use scene::{guest, in_tier};

in_tier!(vm, guest:
    every_controller_is_in_v2
    a_container_runs
);

#[test]
fn children_of_the_root_group_get_every_controller() {
    oracle::tier::vm();
    assert_eq!(guest::own_group(), guest::groups(), "this process is in the root group");
    let enabled = guest::words(&guest::groups().join("cgroup.subtree_control"));
    assert_eq!(enabled, guest::CONTROLLERS);
    assert_ne!(guest::process_1(), "systemd");
}
