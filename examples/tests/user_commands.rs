//! The example programs, run by an ordinary user.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod commands;

use commands::{overlay, runner, sandbox, terminal};

#[test]
fn exit_codes() {
    sandbox::exit_codes();
}

#[test]
fn failures_are_125() {
    sandbox::failures_are_125();
}

#[test]
fn plan_report_and_timings() {
    sandbox::shown();
}

#[test]
fn settings() {
    sandbox::settings();
}

#[test]
fn binds() {
    sandbox::binds();
}

#[test]
fn ids_and_capabilities() {
    sandbox::ids();
}

#[test]
fn join_another_sandbox() {
    sandbox::join();
}

#[test]
fn signals_are_handed_on() {
    sandbox::signals();
}

#[test]
fn terminal_both_ways() {
    terminal::both_ways();
}

#[test]
fn terminal_is_resized() {
    terminal::resized();
}

#[test]
fn terminal_from_a_pipe() {
    terminal::from_a_pipe();
}

#[test]
fn test_process_as_in_the_plain_run() {
    runner::as_in_the_plain_run();
}

#[test]
fn what_a_test_process_sees() {
    runner::what_it_sees();
}

#[test]
fn more_is_shown_to_a_test_process() {
    runner::more_is_shown();
}

#[test]
fn modes_and_owners_of_a_test_process() {
    runner::modes_mean_what_they_meant();
}

#[test]
fn layers_alone() {
    overlay::layers_alone();
}

#[test]
fn system_calls() {
    sandbox::system_calls();
}
