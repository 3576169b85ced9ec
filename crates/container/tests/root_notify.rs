//! Filters that ask the host, and recordings, for a host that is root.
//!
//! Kernel objects: as in [`scene::notify`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(root, notify:
    directories_are_made_by_the_host
    without_notification_there_is_no_listener
    each_process_that_joins_has_its_own_listener
    a_notification_that_is_never_answered
    what_was_recorded_runs_again
    nothing_is_recorded_for_nothing
    a_recording_has_a_deadline
    a_recording_of_a_usual_program
);
