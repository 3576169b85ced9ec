//! Containers that are written down, for a host that is root.
//!
//! Kernel objects: as in [`scene::kept`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(root, kept:
    a_container_goes_through_its_life
    an_exec_is_confined_as_the_payload_is
    what_cannot_be_is_refused
    files_that_cannot_be_used_say_so
    a_file_of_another_boot_means_a_stopped_container
    a_group_is_found_again
    a_stop_asks_and_then_kills
);
