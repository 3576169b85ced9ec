//! Limits on pure cgroup v2 with every controller: what happens at them.
//!
//! Kernel objects: as in [`scene::groups`]. Invariant: the guest is unchanged.

mod oracle;
mod scene;

use oracle::tier;
use scene::groups::{self, in_places};

#[test]
fn a_busy_loop_gets_its_share() {
    tier::vm();
    in_places(groups::a_busy_loop_gets_its_share);
}

#[test]
fn a_frozen_group_does_not_hang_the_host() {
    tier::vm();
    in_places(groups::a_frozen_group_does_not_hang_the_host);
}

#[test]
fn the_host_survives_an_oom_loop() {
    tier::vm();
    in_places(groups::the_host_survives_an_oom_loop);
}

#[test]
fn a_writer_gets_its_rate() {
    tier::vm();
    in_places(groups::a_writer_gets_its_rate);
}
