//! The directories that a place is: reached, made where they are missing, and made ready for groups below them.
//!
//! Kernel objects: directories of cgroupfs; `cgroup.subtree_control` on the way to them (v2). Invariant: a directory that
//! others remove meanwhile is made again.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::controller::Controllers;
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::place::{read, write};
use crate::table::Version;
use crate::uses::{Keep, Used};

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// A directory in one hierarchy.
#[derive(Debug)]
pub(crate) struct Dir {
    pub(crate) version: Version,
    /// What groups made here have.
    pub(crate) controllers: Controllers,
    pub(crate) path: PathBuf,
    pub(crate) fd: OwnedFd,
    way: Way,
    _used: Used,
}

/// How a directory was reached, to reach it again.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) top: PathBuf,
    pub(crate) names: Vec<String>,
    pub(crate) hand_down: HandDown,
    pub(crate) keep: Keep,
}

/// Whether controllers are enabled on the way (v2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandDown {
    /// Every one that is there.
    All,
    /// None: the group above goes on having processes of its own.
    Nothing,
}

/// How often a directory is made again that others remove meanwhile.
const TRIES: usize = 100;

impl Dir {
    /// The same directory, made again where it was removed.
    pub(crate) fn again(&self) -> Result<Self> {
        self.way.clone().open()
    }

    /// Where its hierarchy is mounted.
    pub(crate) fn mount(&self) -> &Path {
        &self.way.hierarchy.mount
    }
}

impl Way {
    pub(crate) fn open(self) -> Result<Dir> {
        let top = openat(CWD, &self.top, DIRECTORY, Mode::empty())
            .map_err(|errno| Error::at("open", &self.top, errno))?;
        self.enable(&top, &self.top)?;
        let all = self.names.iter().scan(self.top.clone(), |path, name| {
            path.push(name);
            Some(path.clone())
        });
        let used = Used::new(all.collect(), self.keep);
        let mut tried = 0;
        let (path, fd) = loop {
            tried += 1;
            match self.descend(&top) {
                Err(error) if was_removed(&error) && tried < TRIES => {}
                descended => break descended?,
            }
        };
        if self.hierarchy.beside_v1 && self.hand_down == HandDown::All {
            hand_down(&fd);
        }
        Ok(self.opened(path, fd, used))
    }

    /// As [`Way::open`], for what is there: makes nothing, and nothing goes with it.
    pub(crate) fn look(self) -> Result<Dir> {
        let mut path = self.top.clone();
        let failed = |path: &Path, errno| Error::at("open", path, errno);
        let mut fd = openat(CWD, &self.top, DIRECTORY, Mode::empty())
            .map_err(|errno| failed(&path, errno))?;
        for name in &self.names {
            path.push(name);
            fd = openat(&fd, name.as_str(), DIRECTORY, Mode::empty())
                .map_err(|errno| failed(&path, errno))?;
        }
        let used = Used::new(Vec::new(), Keep::Found);
        Ok(self.opened(path, fd, used))
    }

    fn opened(self, path: PathBuf, fd: OwnedFd, used: Used) -> Dir {
        let controllers = match self.hierarchy.version {
            Version::V1 => self.hierarchy.controllers,
            Version::V2 => Controllers::of_v2(&read(&fd, SUBTREE).unwrap_or_default()),
        };
        Dir { version: self.hierarchy.version, controllers, path, fd, way: self, _used: used }
    }

    /// Makes what is missing.
    fn descend(&self, top: &OwnedFd) -> Result<(PathBuf, OwnedFd)> {
        let mut path = self.top.clone();
        let mut below: Option<OwnedFd> = None;
        for name in &self.names {
            path.push(name);
            let above = below.as_ref().unwrap_or(top);
            match rustix::fs::mkdirat(above, name.as_str(), Mode::from(0o755)) {
                Ok(()) => Used::made(&path),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::not_delegated(path, errno)),
            }
            let fd = openat(above, name.as_str(), DIRECTORY, Mode::empty())
                .map_err(|errno| Error::at("open", &path, errno))?;
            self.prepare(&fd, &path)?;
            below = Some(fd);
        }
        let fd = below.ok_or_else(|| Error::at("open", &path, Errno::NOENT))?;
        Ok((path, fd))
    }

    /// Makes a new directory ready for groups below it.
    fn prepare(&self, fd: &OwnedFd, path: &Path) -> Result<()> {
        match self.hierarchy.version {
            Version::V1 if self.hierarchy.controllers.contains(Controllers::CPUSET) => {
                inherit_cpuset(fd, path)
            }
            _ => self.enable(fd, path),
        }
    }

    fn enable(&self, fd: &OwnedFd, path: &Path) -> Result<()> {
        match self.hand_down {
            HandDown::All => enable(&self.hierarchy, fd, path),
            HandDown::Nothing => Ok(()),
        }
    }
}

/// Whether a directory was removed under our hands.
fn was_removed(error: &Error) -> bool {
    let gone = [Errno::NOENT, Errno::NODEV].map(Errno::raw_os_error);
    error.errno().is_some_and(|errno| gone.contains(&errno))
}

/// Gives a directory of v1 the CPUs and memory nodes of the one above: it has none at first, and takes no process.
pub(crate) fn inherit_cpuset(fd: &OwnedFd, path: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !read(fd, file).unwrap_or_default().trim().is_empty() {
            continue;
        }
        let above = read(fd, &format!("../{file}"))
            .map_err(|errno| Error::at("read", &path.join("..").join(file), errno))?;
        write(fd, file, above.trim())
            .map_err(|errno| Error::at("write", &path.join(file), errno))?;
    }
    Ok(())
}

/// Hands every controller that is there to the groups below.
fn enable(hierarchy: &Hierarchy, fd: &OwnedFd, path: &Path) -> Result<()> {
    // On a hybrid machine the tree of v2 belongs to the host, which uses v1 for limits.
    if hierarchy.version == Version::V1 || hierarchy.beside_v1 {
        return Ok(());
    }
    match enable_all(fd) {
        // Whoever made this group keeps the controllers: a limit that needs one says so.
        Ok(()) | Err(Errno::ACCESS | Errno::PERM) => Ok(()),
        Err(errno) => Err(Error::at("write", &path.join(SUBTREE), errno)),
    }
}

/// On a hybrid machine: hands down what the host gave to the place itself, such as `hugetlb` where v1 does not have it.
fn hand_down(place: &OwnedFd) {
    // Where processes are in the place it has none to give; a limit that needs one says so.
    let _kept = enable_all(place).is_err();
}

pub(crate) const SUBTREE: &str = "cgroup.subtree_control";

fn enable_all(fd: &OwnedFd) -> Result<(), Errno> {
    let list = |name| read(fd, name).map(|line| Controllers::of_v2(&line)).unwrap_or_default();
    let missing = list("cgroup.controllers").difference(list(SUBTREE));
    if missing.is_empty() { Ok(()) } else { write(fd, SUBTREE, &missing.to_enable()) }
}
