//! The contenders of the table. Touches no kernel object.
//!
//! Invariant: each runs in a worker process of its own; the raw calls stand first.

use super::contender::Contender;
use super::hierarchy::Hierarchies;
use super::raw::Raw;
use super::worker::Assignment;
use crate::failure::Failure;

/// One contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// Its name.
    pub name: &'static str,
    /// Which program its worker is.
    pub program: Program,
    /// In what its work differs; empty when in nothing.
    pub remark: &'static str,
}

/// Which program a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// This package's own binary.
    Bench,
    /// The binary of `benches/peers`.
    Peers,
}

const RAW: &str = "makes the directories, writes the limits and reads the files that ours does, by paths from an open directory; \
    parses nothing; its start is the floor of `bench spawn` with these calls";
const CGROUPS_RS: &str = "no one call for statistics: memory, memsw, pids, cpu, cpuacct and blkio in turn; what it cannot read \
    it leaves out";
const LIBCGROUPS: &str = "makes directories only together with a process: here the bench makes those of v1 that ours has, and \
    devices, which its limits need; writes some twenty rules for devices (v1); adding makes all other directories";

/// Ampoule's crate.
pub const OURS: Entrant = Entrant { name: "ours", program: Program::Bench, remark: "" };

/// All, in the table's order.
pub const ENTRANTS: [Entrant; 4] = [
    Entrant { name: "raw", program: Program::Bench, remark: RAW },
    OURS,
    Entrant { name: "cgroups-rs", program: Program::Peers, remark: CGROUPS_RS },
    Entrant { name: "libcgroups", program: Program::Peers, remark: LIBCGROUPS },
];

/// Makes the contender of a worker that is this package's own binary.
///
/// # Errors
/// [`Failure::Unknown`] for a name that is none of ours, or what its preparation reports.
pub fn contender(
    assignment: &Assignment,
    hierarchies: &Hierarchies,
) -> Result<Box<dyn Contender>, Failure> {
    match assignment.contender.as_str() {
        "raw" => Ok(Box::new(Raw::new(hierarchies, &assignment.work)?)),
        "ours" => ours(assignment),
        name => Err(Failure::Unknown { what: "contender", name: name.into() }),
    }
}

#[cfg(feature = "ours")]
fn ours(assignment: &Assignment) -> Result<Box<dyn Contender>, Failure> {
    super::ours::contender(&assignment.place)
}

#[cfg(not(feature = "ours"))]
fn ours(_: &Assignment) -> Result<Box<dyn Contender>, Failure> {
    Err(Failure::Unknown { what: "contender (feature `ours` is off)", name: "ours".into() })
}
