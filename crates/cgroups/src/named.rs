//! Groups for a program that has one job for them: made at the place that fits, found by path, joined by a process
//! that runs already.
//!
//! Kernel objects: the group's directories and their `cgroup.procs`. Invariant: finding makes nothing and changes
//! nothing; a process id is checked before any file is written, because `0` would mean the caller.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, openat};

use crate::controller::Controllers;
use crate::error::{Error, Reason, Result};
use crate::group::Group;
use crate::hierarchy::Hierarchies;
use crate::limits::Limits;
use crate::path::GroupPath;
use crate::place::{Dir, Place};
use crate::placement::Placement;

/// What [`Group::stat`] shows a user: memory, CPU time, block devices, processes.
const COUNTED: Controllers = Controllers::MEMORY
    .union(Controllers::CPU)
    .union(Controllers::CPUACCT)
    .union(Controllers::IO)
    .union(Controllers::PIDS);

impl Group {
    /// Makes a group with limits at the place that fits the caller and the limits ([`Placement::Auto`](crate::Placement)), with
    /// everything that is counted.
    ///
    /// ```no_run
    /// use ampoule_cgroups::{Bytes, Group, Limits};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut child = std::process::Command::new("true").spawn()?;
    /// let limits = Limits::default().memory_max(Bytes::mib(64)).pids_max(32);
    /// let group = Group::create("job", &limits)?;
    /// group.add(child.id())?;
    /// println!("{:?}", group.stat()?.memory.current);
    /// child.wait()?;
    /// group.remove()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Hierarchies::detect`], [`Place::choose`] and [`Group::create_in`]; a name that is taken is
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists), and [`owned_name`](crate::owned_name) makes one that is not.
    pub fn create(name: &str, limits: &Limits) -> Result<Self> {
        let place = Place::choose(&Hierarchies::detect()?, &Placement::Auto, limits, COUNTED)?;
        Self::create_in(&place, name, limits, COUNTED)
    }

    /// The group at a path that is there already, whoever made it; in every hierarchy that has it.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when no hierarchy has it.
    pub fn find(path: &GroupPath) -> Result<Self> {
        let (place, name) = Place::above(&Hierarchies::detect()?, path)?;
        Self::open(&place, name)
    }

    /// Moves a running process with all of its threads into the group.
    ///
    /// What it used before stays counted where it was, and children that it has already stay there too: to have
    /// everything in the group, let it be born there ([`Group::membership`]), or let it wait until it is added. The id
    /// is one that cannot be used again meanwhile, such as that of a child nobody has waited for.
    ///
    /// # Errors
    /// [`InvalidValue`](crate::ErrorKind::InvalidValue) for an id that no process can have,
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is no such process,
    /// [`Denied`](crate::ErrorKind::Denied) for a process or a group of somebody else,
    /// [`Busy`](crate::ErrorKind::Busy) on v2 for a group with controllers enabled below it. On v1 it may then be in
    /// some of the group's hierarchies.
    pub fn add(&self, pid: u32) -> Result<()> {
        if pid == 0 || i32::try_from(pid).is_err() {
            let range = Reason::OutOfRange(1, i64::from(i32::MAX));
            return Err(Error::text("id of a process", &pid.to_string(), range));
        }
        // All are opened before the process moves in any.
        for (procs, path) in self.open_procs()? {
            rustix::io::retry_on_intr(|| rustix::io::write(&procs, pid.to_string().as_bytes()))
                .map_err(|errno| Error::at("write", &path, errno))?;
        }
        Ok(())
    }

    fn open_procs(&self) -> Result<Vec<(OwnedFd, PathBuf)>> {
        let file = format!("{}/cgroup.procs", self.name);
        let open = |dir: &Dir| {
            let path = dir.path.join(&file);
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            match openat(&dir.fd, file.as_str(), flags, Mode::empty()) {
                Ok(procs) => Ok((procs, path)),
                Err(errno) => Err(Error::at("open", &path, errno)),
            }
        };
        self.dirs().map(open).collect()
    }
}
