//! How containers end, for an ordinary user.
//!
//! Kernel objects: as in [`scene::ends`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, ends:
    exit_codes_are_the_payloads
    signals_are_the_payloads
    try_wait_and_wait_timeout
    kill_sends_the_signal_to_the_payload
    stop_kills_what_ignores_the_signal
    stop_waits_for_a_polite_payload
    the_stop_signal_can_be_chosen
    a_time_limit_is_kept
    a_time_limit_is_kept_when_nobody_waits
    drop_kills_everything
    the_end_of_the_payload_ends_everything
    orphans_are_reaped_by_init
    usage_and_wall_time_are_reported
    timings_are_measured_on_request
    the_payload_can_be_the_first_process
    detached_containers_write_their_end
);
