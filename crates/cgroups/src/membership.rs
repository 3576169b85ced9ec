//! What a launch needs so that the first process is born in its group.
//!
//! Kernel objects: descriptors of `tasks` (v1) and of the group's directory (v2, for `CLONE_INTO_CGROUP`,
//! clone3(2), Linux 5.7). Invariant: opened by the host, whose credentials count; used by the launcher, which shares no
//! memory with it.

use std::os::fd::OwnedFd;

use ampoule_init::Fd;
use ampoule_init::Step;
use ampoule_init::steps::file;

use crate::group::Shape;

/// Descriptors of one group.
#[derive(Debug)]
#[non_exhaustive]
pub struct Membership {
    /// `tasks` of each v1 directory.
    pub joins: Vec<OwnedFd>,
    /// The directory on v2.
    pub group: Option<OwnedFd>,
}

impl Membership {
    /// How many descriptors it has.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape { joins: self.joins.len(), group: self.group.is_some() }
    }
}

/// The launcher's step that joins a v1 group, given its descriptor.
///
/// The launcher has one thread, so that `tasks` moves all of it. The kernel does not stop the forks of the whole machine for
/// a thread that moves itself, as it does for `cgroup.procs`: that takes until RCU has seen every processor, ten
/// milliseconds and more.
#[must_use]
pub fn join(tasks: Fd) -> Step {
    file::write_open(tasks, b"0")
}
