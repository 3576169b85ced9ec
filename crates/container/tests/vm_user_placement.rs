//! Containers in a scope of the user's own manager, as an ordinary user.
//!
//! Kernel objects: as in [`scene::placement`]. Invariant: the guest is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(vm, placement:
    a_container_in_a_scope
    auto_finds_a_scope
    a_scope_without_limits
    a_detached_container_keeps_its_scope
    two_places_are_refused
);
