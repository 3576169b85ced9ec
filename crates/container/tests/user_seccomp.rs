//! Filters of system calls, for an ordinary user.
//!
//! Kernel objects: as in [`scene::seccomp`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, seccomp:
    the_kernels_surface_is_closed
    terminal_input_is_refused_in_all_its_spellings
    the_kernel_shows_what_the_report_says
    the_default_profile_follows_the_capabilities
    a_filter_that_locks_out_the_exec_is_refused
    the_least_filter_is_enough
    init_is_not_filtered_and_children_are
);

#[cfg(target_arch = "x86_64")]
in_tier!(user, seccomp:
    other_entries_are_no_way_around
    other_entries_are_no_way_around_for_what_joins
);
