//! The workers of the peers that are Rust crates: the same protocols as those of `bench-spawn` and `bench-cgroups`.
//!
//! Touches what the peers touch. Invariant: a peer's preparation (its builder, its bundle) is made once, before
//! the first sample.
#![forbid(unsafe_code)]

mod cgroups_rs_peer;
mod hakoniwa_peer;
mod libcgroups_peer;
mod libcontainer_peer;

use std::env;
use std::process::ExitCode;

use ampoule_benches::cgroups;
use ampoule_benches::cgroups::hierarchy::Hierarchies;
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
    let verb = env::args_os().nth(1).unwrap_or_default();
    if verb == worker::VERB {
        parser.next()?;
        return worker::serve(&Assignment::parse(parser)?, contender);
    }
    if verb == cgroups::worker::VERB {
        parser.next()?;
        return cgroups::worker::serve(&cgroups::worker::Assignment::parse(parser)?, groups);
    }
    Err(Failure::Unknown { what: "verb", name: verb })
}

fn contender(assignment: &Assignment) -> Result<Box<dyn Contender>, Failure> {
    match assignment.contender.as_str() {
        "hakoniwa" => Ok(Box::new(hakoniwa_peer::Hakoniwa::new(&rootfs_of(&assignment.stage))?)),
        "libcontainer" => Ok(Box::new(libcontainer_peer::Libcontainer::new(&assignment.stage)?)),
        name => Err(Failure::Unknown { what: "contender", name: name.into() }),
    }
}

fn groups(
    assignment: &cgroups::worker::Assignment,
    hierarchies: &Hierarchies,
) -> Result<Box<dyn cgroups::contender::Contender>, Failure> {
    match assignment.contender.as_str() {
        "cgroups-rs" => Ok(Box::new(cgroups_rs_peer::CgroupsRs::new(hierarchies, assignment))),
        "libcgroups" => Ok(Box::new(libcgroups_peer::Libcgroups::new(hierarchies, assignment)?)),
        name => Err(Failure::Unknown { what: "contender", name: name.into() }),
    }
}
