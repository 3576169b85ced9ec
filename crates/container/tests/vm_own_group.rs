//! The group of a container that has no limits, and names of containers: on pure cgroup v2.
//!
//! Kernel objects: as in [`scene::own_group`]. Invariant: the guest is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(vm, own_group:
    without_limits_its_id_is_in_the_path
    the_payload_sees_its_group_as_the_root
    it_can_be_switched_off
    a_detached_one_has_none_unless_it_is_asked_for
    names_are_given_or_made
    names_that_lead_elsewhere_are_refused
    many_plans_share_one_descriptor
);
