//! Payloads under Landlock, for an ordinary user.
//!
//! Kernel objects: as in [`scene::landlock`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, landlock:
    files_outside_the_rules_are_denied
    what_may_be_written_can_be_made_and_moved_but_not_run
    a_rule_for_a_file_holds_for_it_alone
    paths_are_those_of_the_containers_root
    every_launch_of_a_plan_has_the_same_rules
    ports_without_a_rule_are_denied
    scopes_end_at_the_payloads_own_processes
    what_cannot_be_opened_is_an_error
    the_report_says_what_is_denied
);

in_tier!(user, landlock_exec:
    what_joins_has_the_rules
    what_joins_an_idle_container_has_the_rules
    the_container_cannot_change_what_the_rules_name
    a_scope_ends_at_what_joins
    a_terminal_is_opened_before_the_rules_hold
    what_joins_is_told_what_it_may_not_execute
);

#[test]
fn payload_main() {
    scene::landlock::payload_main();
}
