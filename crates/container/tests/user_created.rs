//! Containers that are created before they are started, for a host without privilege.
//!
//! Kernel objects: as in [`scene::created`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, created:
    a_program_runs_only_after_its_start
    one_that_is_dropped_ends
    states_follow_the_operations
    a_program_that_cannot_be_is_found_when_it_is_created
    what_the_kernel_cannot_execute_is_found_when_it_is_started
    a_time_limit_counts_from_the_start
    a_signal_ends_what_was_never_started
);
