//! The rows of the table: who starts a container, how set up, from how big a host. Touches no kernel object.
//!
//! Invariant: each row runs in a worker process of its own.

use std::fmt;
use std::path::Path;

use crate::command_line;
use crate::configuration::Configuration;
use crate::contender::Contender;
use crate::failure::Failure;
use crate::floor::Floor;
use crate::floor_calls;
use crate::host_size::HostSize;
use crate::rootfs::rootfs_of;
use crate::worker::Assignment;

/// Which program the worker of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Program {
    /// This package's own binary.
    Bench,
    /// The same, where cgroup v2 is not mounted beside v1: crun 1.8 fails on such hybrid machines.
    BenchWithoutUnified,
    /// The binary of `benches/peers`.
    Peers,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The contender's name.
    pub contender: &'static str,
    /// How it sets a container up.
    pub configuration: Configuration,
    /// How big its host is.
    pub size: HostSize,
    /// Which program the worker is.
    pub program: Program,
    /// In what it differs from the floor's configuration; empty when in nothing.
    pub remark: &'static str,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.contender, self.configuration)?;
        if self.size == HostSize::default() { Ok(()) } else { write!(f, " ({})", self.size) }
    }
}

/// The host sizes of the table.
const SMALL: HostSize = HostSize { resident_mib: 0, threads: 0, files: 0 };
const ONE_GIB: HostSize = HostSize { resident_mib: 1 << 10, ..SMALL };
const EIGHT_GIB: HostSize = HostSize { resident_mib: 8 << 10, ..SMALL };
const MANY_THREADS: HostSize = HostSize { threads: 500, ..SMALL };
const MANY_FILES: HostSize = HostSize { files: 5000, ..SMALL };

const UNISOLATED: &str = "no isolation at all";
const DIRECTORY_ROOT: &str = "its root is the directory itself, not an overlay";
const BWRAP: &str = "one id mapped; its root is the directory itself; no capability left";
const HAKONIWA: &str = "one id mapped; its root is a tmpfs with a bind mount per top directory";
const LIBCONTAINER: &str =
    "no user namespace (with one it insists on systemd cgroups); its root is the directory itself";

/// All rows, in the table's order.
pub fn rows() -> Vec<Row> {
    let row = |contender, configuration, size, program, remark| Row {
        contender,
        configuration,
        size,
        program,
        remark,
    };
    let all = |contender, size, program, remark| {
        row(contender, Configuration::All, size, program, remark)
    };
    let directory = |contender| row(contender, Configuration::Directory, SMALL, Program::Bench, "");
    let floor = |size| all("floor", size, Program::Bench, "");
    let ours = |size| all("ours", size, Program::Bench, "");
    vec![
        floor(SMALL),
        floor(ONE_GIB),
        floor(MANY_THREADS),
        floor(MANY_FILES),
        ours(SMALL),
        ours(ONE_GIB),
        ours(EIGHT_GIB),
        ours(MANY_THREADS),
        ours(MANY_FILES),
        all("hakoniwa", SMALL, Program::Peers, HAKONIWA),
        all("hakoniwa", ONE_GIB, Program::Peers, HAKONIWA),
        all("libcontainer", SMALL, Program::Peers, LIBCONTAINER),
        all("libcontainer", ONE_GIB, Program::Peers, LIBCONTAINER),
        all("bwrap", SMALL, Program::Bench, BWRAP),
        all("crun", SMALL, Program::BenchWithoutUnified, DIRECTORY_ROOT),
        all("runc", SMALL, Program::Bench, DIRECTORY_ROOT),
        all("std", SMALL, Program::Bench, UNISOLATED),
        directory("floor"),
        directory("ours"),
    ]
}

/// Makes the contender of a worker that is this package's own binary.
///
/// # Errors
/// [`Failure::Unknown`] for a name that is none of ours, or what the contender's preparation reports.
pub fn contender(assignment: &Assignment) -> Result<Box<dyn Contender>, Failure> {
    let Assignment { configuration, stage, .. } = assignment;
    let rootfs = rootfs_of(stage);
    Ok(match assignment.contender.as_str() {
        "floor" => {
            Box::new(Floor::new(floor_calls::recipe(*configuration, &rootfs, &["/bin/true"])?))
        }
        "ours" => return ours(*configuration, &rootfs),
        "std" => Box::new(command_line::plain(stage)),
        "bwrap" => Box::new(command_line::bubblewrap(stage)),
        name @ ("crun" | "runc") => Box::new(command_line::runtime(name, stage)?),
        name => return Err(Failure::Unknown { what: "contender", name: name.into() }),
    })
}

#[cfg(feature = "ours")]
fn ours(configuration: Configuration, rootfs: &Path) -> Result<Box<dyn Contender>, Failure> {
    crate::ours::contender(configuration, rootfs)
}

#[cfg(not(feature = "ours"))]
fn ours(_: Configuration, _: &Path) -> Result<Box<dyn Contender>, Failure> {
    Err(Failure::Unknown { what: "contender (feature `ours` is off)", name: "ours".into() })
}
