//! The test binary as a payload: a dynamic Rust program that does what a shell cannot.
//!
//! Touches no kernel object. Invariant: without its variable in the environment the payload test
//! does nothing, so that an ordinary run of all tests is not disturbed.
//!
//! A test file that uses it has one test
//! `fn payload_main() { if let Some(verb) = payload::verb() { … payload::print_report(&text) } }`.

use std::path::PathBuf;

/// Says what `payload_main` is to do.
const VARIABLE: &str = "AMPOULE_TEST_PAYLOAD";
const BEGIN: &str = "<<<report ";
const END: &str = " report>>>";

/// How to start this test binary as a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnProgram {
    /// The test binary; its directory must be bound into the container.
    pub(crate) program: PathBuf,
    /// Arguments that select `payload_main`.
    pub(crate) args: Vec<&'static str>,
    /// The variable that must be set, name and value.
    pub(crate) env: (&'static str, String),
}

/// This test binary, to do what `payload_main` calls `verb`.
pub(crate) fn own_program(verb: &str) -> OwnProgram {
    OwnProgram {
        program: std::env::current_exe().expect("own executable"),
        args: vec!["--exact", "payload_main", "--nocapture", "--test-threads=1"],
        env: (VARIABLE, verb.to_owned()),
    }
}

/// In `payload_main`: what to do, or `None` in an ordinary run of the tests.
pub(crate) fn verb() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

/// Prints a report between marks, because the test harness prints lines of its own.
#[expect(clippy::print_stdout, reason = "a payload reports on its standard output")]
pub(crate) fn print_report(text: &str) {
    println!("{BEGIN}{text}{END}");
}

/// The report in the output of a payload.
pub(crate) fn report(output: &str) -> Option<&str> {
    let (_, rest) = output.split_once(BEGIN)?;
    rest.rsplit_once(END).map(|(report, _)| report)
}
