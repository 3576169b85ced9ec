//! Launches into groups that are limited or frozen, on this machine's own hierarchies.
//!
//! Kernel objects: as in [`scene::groups`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use oracle::tier;
use scene::groups::{self, in_places};

#[test]
fn a_busy_loop_gets_its_share() {
    tier::root();
    in_places(groups::a_busy_loop_gets_its_share);
}

#[test]
fn a_frozen_group_does_not_hang_the_host() {
    tier::root();
    in_places(groups::a_frozen_group_does_not_hang_the_host);
}
