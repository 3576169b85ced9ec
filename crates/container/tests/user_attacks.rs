//! Attacks that must fail, for an ordinary user.
//!
//! Kernel objects: as in [`scene::attacks`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, attacks:
    proc_and_sys_are_links
    proc_and_sys_are_forged
    dev_is_a_link_or_forged
    targets_are_links_to_the_outside
    the_own_executable_is_out_of_reach
    init_survives_changes_of_its_mode
    working_directories_lead_nowhere
    users_are_read_without_waiting_and_within_limits
    the_hosts_terminal_is_not_the_payloads
    locked_mounts_are_promised_only_where_they_are
    control_groups_cannot_be_escaped_through
    devices_of_a_root_cannot_be_opened
    nothing_is_left_of_a_launch_that_fails_half_way
    init_cannot_be_traced
    lengths_do_not_wrap
);

in_tier!(user, exec_attacks:
    what_joins_finds_no_way_out_in_procfs
    what_joins_meets_the_containers_own_file_systems
    users_of_what_joins_are_read_within_limits
    the_kernels_surface_is_closed_to_what_joins
    the_hosts_terminal_is_not_that_of_what_joins
    init_survives_changes_of_its_mode_by_what_joined
    capabilities_of_what_joins_are_those_that_were_asked_for
    lengths_of_what_joins_do_not_wrap
    what_floods_its_streams_is_ended
);

in_tier!(user, exec_surface:
    control_groups_cannot_be_escaped_through_by_what_joins
    devices_cannot_be_opened_by_what_joins
    mounts_are_locked_for_what_joins
    terminals_come_from_no_forged_device
    a_notification_of_what_joins_that_is_never_answered
);
