//! What is measured: something that makes groups of processes. Touches no kernel object.
//!
//! Invariant: a group has the limits of [`super::limits`] when `create` returned, and is gone when `remove` returned.

use std::path::Path;

use crate::contender::Contender as Starter;
use crate::failure::Failure;

/// A library that makes groups, or the raw calls.
pub trait Contender {
    /// Makes a group in the directory of the run, with the limits.
    ///
    /// # Errors
    /// What the library reports.
    fn create(&self, name: &str) -> Result<Box<dyn Group>, Failure>;

    /// Prepares starting containers with the root file system `rootfs`, each in a group of its own with the limits;
    /// groups that it names itself begin with `prefix`.
    ///
    /// # Errors
    /// [`Failure::Unknown`] for a library that makes groups only; else what the library reports.
    fn starter(&self, rootfs: &Path, prefix: &str) -> Result<Box<dyn Starter>, Failure> {
        let _unused = rootfs;
        Err(Failure::Unknown { what: "start of containers by", name: prefix.into() })
    }
}

/// A group that was made.
pub trait Group {
    /// Reads the statistics of processor, memory and processes.
    ///
    /// # Errors
    /// What the library reports.
    fn stat(&self) -> Result<Usage, Failure>;

    /// Moves a process into the group.
    ///
    /// # Errors
    /// What the library reports.
    fn add(&self, process: u32) -> Result<(), Failure>;

    /// Removes the group.
    ///
    /// # Errors
    /// What the library reports.
    fn remove(self: Box<Self>) -> Result<(), Failure>;
}

/// A few numbers of the statistics, so that they can be compared with what must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in bytes.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u64,
}
