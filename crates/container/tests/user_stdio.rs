//! The payload's streams, descriptors and terminal, for an ordinary user.
//!
//! Kernel objects: as in [`scene::stdio`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, stdio:
    output_has_both_streams_and_an_empty_input
    piped_streams_go_both_ways
    wait_closes_the_input
    large_input_bytes_arrive_whole
    input_bytes_cannot_reach_the_host
    a_file_is_a_stream
    null_is_empty_and_takes_everything
    flooded_streams_do_not_lock
    output_max_kills
    a_payload_may_close_its_output_early
    a_grandchild_that_keeps_the_pipe_open_ends_with_the_payload
    descriptors_get_their_numbers
    the_number_of_a_descriptor_may_be_another_ones_source
    a_terminal_of_its_own
    a_terminal_can_be_resized
    a_terminal_sends_its_signals
    the_end_of_a_terminal_ends_the_session
    no_other_descriptor_of_the_host_arrives
);
