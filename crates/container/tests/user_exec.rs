//! Further processes in a running container, for an ordinary user.
//!
//! Kernel objects: as in [`scene::exec`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, exec:
    it_works_in_the_sandbox
    it_is_confined_as_the_payload_is
    its_own_settings_count
    it_gets_a_terminal
    streams_and_signals_reach_it
    dropping_its_handle_ends_it
    one_that_is_not_reaped_blocks_nothing
    a_container_that_ended_says_so
    what_cannot_be_is_refused
);

in_tier!(user, exec_limits:
    many_threads_share_a_sandbox
    every_operation_can_fail
);
