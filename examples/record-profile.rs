//! How do I get a filter of system calls that fits my program, without writing it by hand?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::ffi::OsString;

use ampoule::Container;
use ampoule_examples::arguments::{Failure, print};

const HELP: &str = "\
Runs a command in a view of this machine while every system call is noted, prints the smallest filter that lets it run,
and runs it again with that one.

Usage: record-profile [--oci] [COMMAND [ARGUMENTS]]

  --oci       print the profile as OCI, Docker and Podman read it, in place of Rust code
  -h, --help  this text

The command is `ls /` unless another one is given.
";

fn main() -> Result<(), Failure> {
    use lexopt::prelude::*;
    let (mut oci, mut words) = (None, vec![OsString::from("ls"), OsString::from("/")]);
    let mut from = lexopt::Parser::from_env();
    while let Some(argument) = from.next()? {
        match argument {
            Short('h') | Long("help") => return print(HELP),
            Long("oci") => oci = Some(()),
            Value(word) => words = std::iter::once(word).chain(from.raw_args()?).collect(),
            _ => return Err(argument.unexpected().into()),
        }
    }
    let command = |builder: ampoule::Builder| {
        let mut words = words.iter();
        builder.command(words.next().cloned().unwrap_or_default()).args(words)
    };
    let (status, recording) = command(Container::host_view()).record()?;
    println!("recorded: {status}, {} calls", recording.calls().count());
    for (arch, number) in recording.unknown() {
        println!("not in the filter: call {number} of {arch:?}, which has no name here");
    }
    let filter = recording.smallest();
    match oci {
        Some(()) => print(&format!("{}\n", filter.to_oci_json()?))?,
        None => print(&format!("{}\n", filter.to_rust()))?,
    }
    // The proof: the same command, with nothing else permitted.
    let again = command(Container::host_view().seccomp(filter)).status()?;
    println!("with this filter: {again}");
    if again.outcome() == status.outcome() {
        Ok(())
    } else {
        Err("it does not run as before".into())
    }
}
