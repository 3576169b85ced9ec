//! How does an agent keep one sandbox, and put files into it and take them out?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use ampoule::{Bytes, Container, Namespace};
use ampoule_examples::arguments::{Failure, only_help};

const HELP: &str = "\
Starts a sandbox without a program, writes a file into it, reads it back, and tries to get out of it.

Usage: agent
";

fn main() -> Result<(), Failure> {
    let Some(()) = only_help(HELP)? else { return Ok(()) };
    let mut sandbox = Container::host_view().link("/tmp/way-out", "/etc/shadow").idle()?;
    println!("process 1 is init, here {}", sandbox.pid());

    sandbox.write("/tmp/notes.txt", "remember the milk\n")?;
    let bytes = sandbox.read("/tmp/notes.txt", Bytes::kib(4))?;
    print!("read back: {}", String::from_utf8_lossy(&bytes));

    // Paths are resolved below the sandbox's root, links included: the host's file is not there.
    for path in ["/tmp/way-out", "/../../etc/shadow", "/proc/1/root/etc/shadow"] {
        match sandbox.read(path, Bytes::kib(64)) {
            Ok(bytes) => println!("{path}: {} bytes", bytes.len()),
            Err(error) => println!("{path}: {error}"),
        }
    }
    println!("its network namespace: {:?}", sandbox.namespace(Namespace::Net)?);
    println!("{}", sandbox.stop(Duration::from_secs(1))?);
    Ok(())
}
