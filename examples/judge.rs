//! How do I judge a program that I do not trust: one shot, with input, a time limit and an output limit?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use ampoule::{Bytes, Container};
use ampoule_examples::arguments::{Failure, only_help};

const HELP: &str = "\
Judges three submissions: one that is right, one that never ends, one that writes without end.

Usage: judge
";

/// A submission is a shell script, so that the example runs on every machine.
const SUBMISSIONS: [(&str, &str); 3] = [
    ("doubles a number", "read n; echo $((n + n))"),
    ("never ends", "while :; do :; done"),
    ("writes without end", "while :; do echo spam; done"),
];

fn main() -> Result<(), Failure> {
    let Some(()) = only_help(HELP)? else { return Ok(()) };
    for (name, source) in SUBMISSIONS {
        let out = Container::host_view()
            .file("/src/main.sh", source)
            .command("sh")
            .arg("main.sh")
            .current_dir("/src")
            .stdin_bytes("21\n")
            .timeout(Duration::from_secs(1))
            .output_max(Bytes::kib(64))
            .output()?;
        let verdict = match (out.status.success(), out.stdout.as_slice()) {
            (true, b"42\n") => "accepted",
            (true, _) => "wrong answer",
            (false, _) => "failed",
        };
        let used = out.status.usage();
        println!(
            "{name:<20} {verdict:<10} {}, {} bytes, {:?} cpu",
            out.status,
            out.stdout.len(),
            used.user + used.system
        );
    }
    Ok(())
}
