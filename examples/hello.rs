//! How do I run one program isolated, and see how it ended?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use ampoule::Container;
use ampoule_examples::arguments::{Failure, only_help};

const HELP: &str = "\
Runs a shell in a read-only view of this machine's programs, and prints how it ended.

Usage: hello
";

fn main() -> Result<(), Failure> {
    let Some(()) = only_help(HELP)? else { return Ok(()) };
    Ok(hello()?)
}

fn hello() -> Result<(), ampoule::Error> {
    let status = Container::host_view()
        .hostname("ampoule")
        .command("sh")
        .args(["-c", "echo process $$ on $(hostname); id; ls -A /home /root 2>&1; exit 3"])
        .status()?;
    println!("the sandbox {status}");
    Ok(())
}
