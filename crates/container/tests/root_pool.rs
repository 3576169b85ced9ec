//! Containers that are parked, for a host that is root.
//!
//! Kernel objects: as in [`scene::pool`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(root, pool:
    each_is_used_once_and_all_go
    further_descriptors_arrive_with_their_numbers
    a_claim_that_fails_says_why
);
