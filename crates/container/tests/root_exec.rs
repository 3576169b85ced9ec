//! Further processes in a running container, for a host that is root.
//!
//! Kernel objects: as in [`scene::exec`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(root, exec:
    it_works_in_the_sandbox
    it_is_confined_as_the_payload_is
    its_own_settings_count
    a_user_is_looked_up_in_its_root
    it_gets_a_terminal
    streams_and_signals_reach_it
    dropping_its_handle_ends_it
    one_that_is_not_reaped_blocks_nothing
    a_container_that_ended_says_so
    what_cannot_be_is_refused
    a_container_without_processes_of_its_own_is_refused
);

in_tier!(root, exec_limits:
    a_frozen_container_lets_the_time_pass
    a_container_that_freezes_meanwhile
    want_of_memory_ends_the_container_not_the_host
    a_container_that_is_full_is_a_typed_error
    many_threads_share_a_sandbox
    every_operation_can_fail
);
