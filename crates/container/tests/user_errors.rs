//! Bad input, and containers without payload, for an ordinary user.
//!
//! Kernel objects: as in [`scene::errors`] and [`scene::idle`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, errors:
    nul_bytes
    every_problem_is_listed
    programs_that_cannot_be_executed
    arguments_that_are_too_long
    working_directories
    roots_that_cannot_be
    mounts_that_cannot_be
    sources_that_are_replaced_or_removed
    names_that_are_too_long
    wrong_variables
    detached_containers_have_no_pipes
    a_launch_that_hangs_is_ended
    an_init_that_dies_is_seen
    a_missing_call_is_named
);

in_tier!(user, idle:
    it_runs_until_it_is_stopped
    its_namespaces_and_root_can_be_opened
    files_can_be_read_and_written
    links_are_resolved_inside
    what_is_no_file_is_refused_at_once
    a_payload_as_first_process_can_be_looked_into
    questions_may_come_from_many_threads
    a_question_does_not_lose_the_end
);
