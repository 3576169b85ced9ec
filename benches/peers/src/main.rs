//! The worker of the peers that are Rust crates: the same protocol as `bench-spawn worker`.
//!
//! Touches what the peers touch. Invariant: a peer's preparation (its builder, its bundle) is made once, before
//! the first sample.
#![forbid(unsafe_code)]

mod hakoniwa_peer;
mod libcontainer_peer;

use std::env;
use std::process::ExitCode;

use ampoule_benches::contender::Contender;
use ampoule_benches::failure::Failure;
use ampoule_benches::rootfs::rootfs_of;
use ampoule_benches::worker::{self, Assignment};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("ampoule-bench-peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut parser = lexopt::Parser::from_env();
    if env::args_os().nth(1).is_none_or(|first| first != worker::VERB) {
        return Err(Failure::Unknown {
            what: "verb",
            name: env::args_os().nth(1).unwrap_or_default(),
        });
    }
    parser.next()?;
    worker::serve(&Assignment::parse(parser)?, contender)
}

fn contender(assignment: &Assignment) -> Result<Box<dyn Contender>, Failure> {
    match assignment.contender.as_str() {
        "hakoniwa" => Ok(Box::new(hakoniwa_peer::Hakoniwa::new(&rootfs_of(&assignment.stage))?)),
        "libcontainer" => Ok(Box::new(libcontainer_peer::Libcontainer::new(&assignment.stage)?)),
        name => Err(Failure::Unknown { what: "contender", name: name.into() }),
    }
}
