//! The tests that run in virtual machines: one machine for each test program.
//!
//! Invariant: whatever goes wrong, in the machine or in making it, is a failure that is counted.

use std::ffi::OsString;

use super::Options;
use super::decide::Machine;
use super::tally::Tally;
use crate::error::Error;
use crate::vm::{Bed, End, Job, Stream, Version};
use crate::workspace::Artifact;

/// Variables of the caller that tests look at.
const KEPT: &[&str] = &["AMPOULE_", "PROPTEST_", "RUST_"];

/// Runs the programs on every kernel that was asked for.
pub(super) fn run(options: &Options, machine: &mut Machine, programs: &[&Artifact]) -> Tally {
    let bed = match machine.bed() {
        Ok(bed) => bed,
        Err(error) => return failed(&error.to_string()),
    };
    // cargo names them in the order in which they were ready.
    let mut programs = programs.to_vec();
    programs.sort_by_key(|program| (&program.package_dir, &program.target.name));
    let mut tally = Tally::default();
    for version in options.kernels {
        for program in &programs {
            let result = run_program(options, bed, *version, program);
            tally += result.unwrap_or_else(|error| failed(&error.to_string()));
        }
    }
    tally
}

fn failed(reason: &str) -> Tally {
    println!("FAILED: {}", reason.trim_end());
    Tally::ONE_FAILURE
}

fn run_program(
    options: &Options,
    bed: &Bed,
    version: Version,
    program: &Artifact,
) -> Result<Tally, Error> {
    let words: Vec<OsString> = options.rest.iter().map(OsString::from).collect();
    let name = &program.target.name;
    let mut job = Job::of_test(version, name);
    bed.set_program(&mut job, program, &words)?;
    job.limit = options.limit();
    let kept = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        KEPT.iter().any(|prefix| name.starts_with(prefix))
    });
    kept.for_each(|(name, value)| job.env(name, value));
    if options.long {
        job.env("AMPOULE_LONG", "1");
    }
    let package = program.package_dir.file_name().unwrap_or_default().display();
    println!("\n==> {package} {name} (virtual machine: {})", job.about());
    let mut heard = Heard::default();
    let end = bed.run(&job, &mut |stream, bytes| heard.add(stream, bytes))?;
    Ok(heard.finish(&end, &job))
}

/// The lines of both streams, printed as they become whole, and what they report.
#[derive(Default)]
struct Heard {
    out: Vec<u8>,
    err: Vec<u8>,
    tally: Tally,
}

impl Heard {
    fn add(&mut self, stream: Stream, bytes: &[u8]) {
        let pending = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        pending.extend_from_slice(bytes);
        let whole = pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = pending.drain(..whole).collect();
        for line in String::from_utf8_lossy(&whole).lines() {
            println!("{line}");
            self.tally += Tally::of_line(line).unwrap_or_default();
        }
    }

    fn finish(mut self, end: &End, job: &Job) -> Tally {
        if !self.out.is_empty() {
            self.add(Stream::Out, b"\n");
        }
        if !self.err.is_empty() {
            self.add(Stream::Err, b"\n");
        }
        let tally = self.tally;
        let own = match end {
            End::Exited(0) if tally == Tally::default() => failed("no test reported a result"),
            End::Exited(0) => Tally::default(),
            End::Exited(_) if tally.failed > 0 => Tally::default(),
            End::Exited(status) => failed(&format!("exit status {status} without a failed test")),
            End::TimedOut => failed(&format!("killed after {} s", job.limit.as_secs())),
            End::Died(words) => failed(&format!("the virtual machine ended\n{words}")),
        };
        self.tally += own;
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(pieces: &[&str], end: &End) -> Tally {
        let mut heard = Heard::default();
        pieces.iter().for_each(|piece| heard.add(Stream::Out, piece.as_bytes()));
        heard.finish(end, &Job::of_test(Version::USUAL, "vm_x"))
    }

    #[test]
    fn a_result_may_arrive_in_pieces() {
        let pieces = ["running\ntest result: ok. 3 pas", "sed; 0 failed; 0 ignored"];
        assert_eq!(tally(&pieces, &End::Exited(0)), Tally { passed: 3, failed: 0 });
    }

    #[test]
    fn what_is_not_a_success_counts() {
        let good = ["test result: ok. 3 passed; 0 failed\n"];
        let bad = ["test result: FAILED. 2 passed; 1 failed\n"];
        assert_eq!(tally(&good, &End::TimedOut).failed, 1);
        assert_eq!(tally(&good, &End::Died(String::new())).failed, 1);
        assert_eq!(tally(&good, &End::Exited(134)).failed, 1);
        assert_eq!(tally(&bad, &End::Exited(101)), Tally { passed: 2, failed: 1 });
        assert_eq!(tally(&["started\n"], &End::Exited(0)), Tally { passed: 0, failed: 1 });
    }
}
