//! Attributes of the payload's process and its files, for an ordinary user.
//!
//! Kernel objects: as in [`scene::attributes`] and [`scene::files`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, attributes:
    every_limit_can_be_set
    a_descriptor_limit_of_three_is_enough
    limits_that_cannot_be_are_refused
    umask
    oom_score_adj
    scheduling_policies
    io_priorities
    affinity
    personality
    a_session_keyring_of_its_own
    environment_is_what_was_asked_for
    arguments_and_directory_are_what_was_asked_for
);

in_tier!(user, files:
    binds_are_read_only_unless_asked
    mounts_below_a_bind_are_read_only_too
    writable_binds_reach_the_host
    a_file_can_be_bound_over_a_file
    memory_is_limited
    every_memory_of_the_container_is_limited
    an_ephemeral_root_is_limited
    a_read_only_root_cannot_be_written
    a_persistent_root_keeps_what_was_written
    a_root_in_place_is_changed
    files_and_links_appear
    masks_and_read_only_paths_can_be_chosen
    mounts_of_every_kind
    no_mount_spreads_and_none_of_the_hosts_is_seen
    the_nodes_of_dev_work
);
